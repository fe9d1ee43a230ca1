"""How checkpoints are written: plain data only, so that a reload never changes a type."""

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer


def strict_serializer() -> JsonPlusSerializer:
    """A serializer that rebuilds no classes but LangGraph's own."""
    return JsonPlusSerializer(allowed_msgpack_modules=())
