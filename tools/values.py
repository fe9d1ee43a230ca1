"""What tools take and return: an input checked by its schema, an output made plain data.

The type of an output is looked at before the first call.
"""

import inspect
import re
from collections import abc, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import (
    Annotated,
    Any,
    Never,
    NoReturn,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import (
    BaseModel,
    BeforeValidator,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, SchemaError, to_jsonable_python


@dataclass(frozen=True)
class InputFault:
    """What is wrong with one place of an input; `value` is what stands there."""

    place: tuple[int | str, ...]
    kind: str
    message: str
    value: Any = None

    def in_words(self) -> str:
        """The place with what is wrong there."""
        return f"{'.'.join(map(str, self.place)) or 'input'}: {self.message}"


class UnfitInput(Exception):
    """An input that does not fit the schema of its tool."""

    def __init__(self, faults: Sequence[InputFault]) -> None:
        super().__init__("; ".join(fault.in_words() for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Parameter:
    """One argument of a tool; `number`: the kind of number it takes, if it takes one."""

    required: bool
    number: type[int] | type[float] | None


def faults_of(invalid: ValidationError) -> list[InputFault]:
    """What pydantic says is wrong, place by place."""
    return [
        InputFault(error["loc"], error["type"], error["msg"], error["input"])
        for error in invalid.errors(include_url=False, include_context=False)
    ]


def parameter_of(field: FieldInfo) -> Parameter:
    """What a field of a pydantic model takes."""
    kinds: set[Any] = {field.annotation, *get_args(field.annotation)}
    number = float if float in kinds else int if int in kinds else None
    return Parameter(field.is_required(), number)


#: How deep a value is looked into; a record holds fewer levels, and says so.
DEEPEST = 200


class UnfitOutput(Exception):
    """A type or a value that has no form as JSON; the message says why, and what would be right."""


_BYTES = "bytes are no text; decode them, or return the name of a file"
_SET = "a set of what has no order is another list each time; return a list"
_ITERATOR = "what can be read only once cannot be kept; return a list"
_AWAITABLE = "nobody awaits it; declare the tool with `async def`"
_FUNCTION = "a function is no data; return what it returns"
_KEYS = "keys are text in JSON; return a list of pairs"
_UNKNOWN = "it has no form as JSON; return a dict, a list, a dataclass or a pydantic model"

#: Annotations of which no value can be kept, each with the reason.
_UNFIT: Mapping[Any, str] = {
    **dict.fromkeys((bytes, bytearray, memoryview), _BYTES),
    **dict.fromkeys((abc.Iterator, abc.Generator, abc.Iterable), _ITERATOR),
    **dict.fromkeys((abc.AsyncIterator, abc.AsyncGenerator, abc.AsyncIterable), _ITERATOR),
    **dict.fromkeys((abc.Awaitable, abc.Coroutine), _AWAITABLE),
    abc.Callable: _FUNCTION,
    type: _UNKNOWN,
}

#: The same for what pydantic makes of an annotation, also within models and dataclasses.
_UNFIT_SCHEMAS: Mapping[str, str] = {
    "bytes": _BYTES,
    "generator": _ITERATOR,
    "callable": _FUNCTION,
    "is-subclass": _UNKNOWN,
}

#: What holds other schemas, or what is written in their place, but is no value of the output.
_NO_VALUES = frozenset({"metadata", "serialization", "default", "config", "ref", "schema_ref"})

#: Values that have an order among themselves, as JSON writes them.
_ORDERED = frozenset(
    {"str", "int", "float", "bool", "decimal", "fraction", "uuid", "enum"}
    | {"date", "datetime", "time", "timedelta", "literal"}
)


def check_type(hint: Any) -> None:
    """Raises `UnfitOutput` where no value of this type, or not each, has a form as JSON."""
    if hint in (NoReturn, Never):
        return
    _check_annotation(hint, frozenset())
    try:
        schema = TypeAdapter(hint).core_schema
    except PydanticSchemaGenerationError as error:
        named = re.search(r"schema for (.+?)\. Set `", str(error))
        raise UnfitOutput(f"{named[1]}: {_UNKNOWN}" if named else _UNKNOWN) from error
    except (PydanticUserError, SchemaError, NameError, TypeError):
        # What pydantic cannot look at (before Python 3.12 a TypedDict of `typing`) is looked at by
        # its annotations only, and when there is a value.
        return
    _check_schema(schema)


def _check_annotation(hint: Any, within: frozenset[Any]) -> None:
    if is_typeddict(hint) and hint not in within:
        for field in get_type_hints(hint).values():
            _check_annotation(field, within | {hint})
    origin = get_origin(hint)
    for kind in (origin, hint):
        if isinstance(kind, abc.Hashable) and kind in _UNFIT:
            raise UnfitOutput(_UNFIT[kind])
    if origin is not None:
        for argument in get_args(hint):
            if isinstance(argument, type) or get_origin(argument) is not None:
                _check_annotation(argument, within)


def _check_schema(schema: Any) -> None:
    """Look at every type within: pydantic's own form has those of fields as well."""
    if isinstance(schema, list | tuple):
        for part in schema:
            _check_schema(part)
    # Where a serialization is given, it says as what the value is written.
    elif isinstance(schema, dict) and not ("type" in schema and schema.get("serialization")):
        if reason := _unfit_schema(schema):
            raise UnfitOutput(reason)
        for name, part in schema.items():
            if name not in _NO_VALUES:
                _check_schema(part)


def _unfit_schema(schema: dict[str, Any]) -> str | None:
    match schema:
        case {"type": "set" | "frozenset"} if not _ordered(schema.get("items_schema")):
            return _SET
        case {"type": "dict", "keys_schema": {"type": "none" | "tuple"}}:
            return _KEYS
        case {"type": str() as kind}:
            return _UNFIT_SCHEMAS.get(kind)
        case _:
            return None


def _ordered(schema: Any) -> bool:
    match schema:
        case {"type": "tuple", "items_schema": list() as parts}:
            return all(map(_ordered, parts))
        case {"type": "literal", "expected": [*values]}:
            return len({type(value) for value in values}) == 1
        case {"type": "json-or-python", "json_schema": inner}:
            return _ordered(inner)
        case {"type": "function-after" | "nullable", "schema": inner}:
            return _ordered(inner)
        case {"type": str() as kind}:
            return kind in _ORDERED
        case _:
            return False


# A value, when it is there.


def plain_data(value: Any, depth: int = 0) -> Any:
    """The value with what JSON has no form for converted, as pydantic does it.

    Models, dataclasses and named tuples, dates and times, decimals, paths, members of enumerations
    and the like are written as pydantic writes them; sets become lists in order. Raises
    `UnfitOutput`.
    """
    if value is None or isinstance(value, str | int | float) or depth > DEEPEST:
        return value
    match value:
        case Mapping():
            return _plain_mapping(value, depth)
        case BaseModel():
            return _sorted_sets(value.model_dump(), _converted(value))
        case _ if reason := _unfit_value(value):
            raise UnfitOutput(reason)
        case abc.KeysView() | abc.ItemsView() | abc.ValuesView() | abc.Sequence() | deque():
            return [plain_data(item, depth + 1) for item in value]
        case abc.Set():
            return _in_order([plain_data(item, depth + 1) for item in value])
        case _ if is_dataclass(value) and not hasattr(value, "__pydantic_serializer__"):
            values = {part.name: getattr(value, part.name) for part in fields(value)}
            return _plain_mapping(values, depth)
        case _:
            return _converted(value)


def _unfit_value(value: Any) -> str | None:
    match value:
        case bytes() | bytearray() | memoryview():
            return _BYTES
        case abc.Awaitable():
            if inspect.iscoroutine(value):
                value.close()  # or Python would complain that it was never awaited
            return _AWAITABLE
        case abc.Iterator() | abc.AsyncIterator():
            return _ITERATOR
        case abc.Callable():
            return _FUNCTION
        case _:
            return None


def _sorted_sets(value: Any, written: Any) -> Any:
    """What a model has `written`, in which each list that was a set of the `value` is in order."""
    match value, written:
        case dict(), dict() if len(value) == len(written):
            pairs = zip(value.values(), written.items(), strict=True)
            return {name: _sorted_sets(item, text) for item, (name, text) in pairs}
        case list() | tuple(), list() if len(value) == len(written):
            return [_sorted_sets(*pair) for pair in zip(value, written, strict=True)]
        case set() | frozenset(), list():
            return _in_order(written)
        case _:
            return written


def _plain_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in value.items():
        name = _plain_key(key)
        if name in plain:
            raise UnfitOutput(f"two keys would both be {name!r}; keys are text in JSON")
        plain[name] = plain_data(item, depth + 1)
    return plain


def _plain_key(key: Any) -> str:
    if isinstance(key, str) and type(key).__str__ is str.__str__:
        return key
    if key is None or isinstance(key, tuple | frozenset | bytes):
        raise UnfitOutput(f"the key {key!r}: {_KEYS}")
    [name] = _converted({key: None})
    return str(name)


def _in_order(values: list[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        raise UnfitOutput(_SET) from None


def _converted(value: Any) -> Any:
    try:
        return to_jsonable_python(value, fallback=_by_its_type)
    except UnicodeDecodeError:
        raise UnfitOutput(_BYTES) from None
    except PydanticSerializationError as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, UnfitOutput):
            raise cause from None
        why = f"{type(value).__name__} cannot be written as JSON: {error}"
        raise UnfitOutput(" ".join(why.split())) from None


def _by_its_type(value: Any) -> Any:
    """What pydantic writes only where it is told the type."""
    adapter = _adapter(cast("Any", type(value)))
    if adapter is None:
        raise UnfitOutput(f"{type(value).__name__}: {_UNKNOWN}")
    return adapter.dump_python(value, mode="json")


@lru_cache(64)
def _adapter(kind: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(kind)
    except (PydanticUserError, SchemaError, TypeError):
        return None


def number_text(number: float) -> str:
    """A finite number as people write it within words: 36 for 36.0, and never an exponent."""
    return format(Decimal(repr(number or 0.0)), "f").removesuffix(".0")


def _written_out(value: Any) -> Any:
    # What coerces other numbers would write 1e-07 here.
    return number_text(value) if isinstance(value, float) and isfinite(value) else value


#: Text for which a number may stand.
WRITTEN = Annotated[str, BeforeValidator(_written_out)]
