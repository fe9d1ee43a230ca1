"""Storage that ends with its process: LangGraph's in-memory saver and store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from graph.memory_index import MemoryIndex
from graph.memory_removal import MemoryRemoval
from graph.memory_spending import MemorySpending
from graph.serializer import strict_serializer
from graph.storage import Storage


@asynccontextmanager
async def open_memory() -> AsyncIterator[Storage]:
    """A fresh, empty backend."""
    saver = InMemorySaver(serde=strict_serializer())
    store, index = InMemoryStore(), MemoryIndex()
    spending = MemorySpending(index)
    yield Storage(
        backend="memory",
        saver=saver,
        reader=saver,
        store=store,
        index=index,
        spending=spending,
        remove=MemoryRemoval(saver, store, index, spending),
        errors=(),
    )
