"""How a function becomes a tool: by its types, its docstring, and what it declares of itself."""

import inspect
import re
from collections import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import (
    Annotated,
    Any,
    Never,
    NoReturn,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from langgraph.store.base import BaseStore
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import SchemaError

from tools.toolbox import (
    MOST_SCHEMAS,
    NO_AWAITABLE,
    NO_BYTES,
    NO_FORM,
    NO_FUNCTION,
    NO_ITERATOR,
    NO_KEYS,
    NO_SET,
    InDoubt,
    Tool,
    UnfitOutput,
    schema_of,
    warn_of_repeatable,
)

F = TypeVar("F", bound=Callable[..., Any])


class ToolError(Exception):
    """A failure that a tool announces; `retryable` says whether another attempt may succeed."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable


class InvalidTool(Exception):
    """A function that cannot be turned into a tool; the message says what is missing."""


@dataclass(frozen=True)
class ToolProgress:
    """How far a call says that it is: `done` of `total`, where that is known, and in words."""

    done: float
    total: float | None = None
    message: str | None = None


def _nobody(progress: ToolProgress) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class ToolCall:
    """What a tool may ask about the call it serves.

    A tool receives it by declaring a parameter of this type; it is hidden from the schema.
    `step_key` is the same for every attempt at one step, also after a crash: a tool whose
    effect must happen once keeps it beside the effect. `planned` is the input as the plan has it,
    references and all: what a person approved, where one was asked. `max_output`: bytes of the
    longest output that is kept as JSON. `progress` tells who watches the run how far it is, from
    any thread; nothing of it is stored.
    """

    owner: str
    step_key: str
    store: BaseStore
    planned: Mapping[str, Any] | None = None
    max_output: int | None = None
    progress: Callable[[ToolProgress], None] = _nobody


@dataclass(frozen=True)
class Declaration:
    """What `@tool` notes on a function; the defaults hold for a function without it.

    `declared`: it says of its effects what they are.
    """

    name: str | None = None
    effects: bool = True
    idempotent: bool = False
    in_doubt: InDoubt | None = None
    declared: bool = False
    phrases: tuple[str, ...] = ()
    noun: str = "item"
    sets: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    attempts: int | None = None


def tool(
    name: str | None = None,
    *,
    effects: bool | None = None,
    idempotent: bool | None = None,
    in_doubt: InDoubt | None = None,
    repeatable: bool | None = None,
    phrases: Sequence[str] = (),
    noun: str = "item",
    sets: Mapping[str, str] | None = None,
    timeout: float | None = None,
    attempts: int | None = None,
) -> Callable[[F], F]:
    """Declare a function as a tool under `name` (default: the function's own).

    What is not declared counts as the worst: it has effects, and is not idempotent. `repeatable`
    is the former name of `idempotent`.
    """
    if callable(name):
        raise InvalidTool("write @tool(), with parentheses")
    if isinstance(phrases, str):  # it would be a phrase for each letter
        raise InvalidTool(f"write phrases=[{phrases!r}], a list")

    if repeatable is not None:
        warn_of_repeatable(caller=3)
        idempotent = repeatable if idempotent is None else idempotent
    if in_doubt not in (None, *get_args(InDoubt)):
        raise InvalidTool(f"in_doubt={in_doubt!r} should be one of {', '.join(get_args(InDoubt))}")

    def declare(function: F) -> F:
        declaration = Declaration(
            name,
            effects=effects is not False,
            idempotent=bool(idempotent),
            in_doubt=in_doubt,
            declared=(effects, idempotent, in_doubt) != (None, None, None),
            phrases=tuple(phrases),
            noun=noun,
            sets=sets or {},
            timeout=timeout,
            attempts=attempts,
        )
        function.__tool__ = declaration  # type: ignore[attr-defined]  # a note on the function itself
        return function

    return declare


def make_tool(function: Callable[..., Any]) -> Tool:
    """Turn a typed function with a docstring into a tool.

    Raises `InvalidTool` when it is not a function, when its docstring or a parameter's type is
    missing or of no use to a planner, or when what it returns could not be kept.
    """
    if not inspect.isroutine(function):
        raise InvalidTool(f"{function!r} is not a function; write one that calls it")
    declared: Declaration = getattr(function, "__tool__", Declaration())
    name = declared.name or function.__name__
    description = inspect.getdoc(function)
    if not description:
        raise InvalidTool(f"tool {name!r} has no docstring; it is what planners read")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidTool(f"tool {name!r} yields; a tool returns its whole output")
    schema, call_parameter = _signature_of(function, name)
    is_async = inspect.iscoroutinefunction(function)
    try:
        return Tool(
            name=name,
            description=description,
            args_schema=schema,
            func=None if is_async else function,
            coroutine=function if is_async else None,
            effects=declared.effects,
            idempotent=declared.idempotent,
            in_doubt=declared.in_doubt,
            declared=declared.declared,
            phrases=declared.phrases,
            noun=declared.noun,
            sets=declared.sets,
            timeout=declared.timeout,
            attempts=declared.attempts,
            call_parameter=call_parameter,
        )
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place, reason = fault["loc"][0], fault["msg"]
        raise InvalidTool(f"{place} of tool {name!r}: {reason}") from error


def make_tools(functions: Iterable[Callable[..., Any]]) -> Mapping[str, Tool]:
    """Tools by name, in the given order; raises `InvalidTool` when two share a name."""
    tools: dict[str, Tool] = {}
    for made in map(make_tool, functions):
        if made.name in tools:
            raise InvalidTool(f"two tools are called {made.name!r}")
        tools[made.name] = made
    return tools


@lru_cache(MOST_SCHEMAS)
def _signature_of(function: Callable[..., Any], name: str) -> tuple[type[BaseModel], str | None]:
    """The model of its input, and the parameter that is the call; made once, as its schema is."""
    hints = _hints(name, function)
    fields, call_parameter = _parameters(name, function, hints)
    _check_output(name, function, hints)
    return _schema(name, fields), call_parameter


def _schema(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
    try:
        schema: type[BaseModel] = create_model(name, __config__=config, **fields)
        schema_of(schema)  # what planners and people are shown; some types have none
    except (PydanticUserError, SchemaError, TypeError, ValueError) as error:
        lines = str(error).splitlines()
        reason = lines[-1 if isinstance(error, SchemaError) else 0].strip()  # where it is told
        raise InvalidTool(f"the parameters of tool {name!r} have no schema: {reason}") from error
    return schema


def _hints(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:  # a type that is written as text is executed here
        raise InvalidTool(f"a type of tool {name!r} is not known at run time: {error}") from error


def _check_output(name: str, function: Callable[..., Any], hints: Mapping[str, Any]) -> None:
    if "return" not in hints:  # its values tell
        return
    try:
        check_type(hints["return"])
    except UnfitOutput as error:
        written = inspect.formatannotation(hints["return"], base_module=function.__module__)
        raise InvalidTool(f"tool {name!r} returns {written}: {error}") from error


def _parameters(
    name: str, function: Callable[..., Any], hints: Mapping[str, Any]
) -> tuple[dict[str, Any], str | None]:
    fields: dict[str, Any] = {}
    call_parameter = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise InvalidTool(f"tool {name!r} takes *args or **kwargs; name its parameters")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise InvalidTool(f"parameter {parameter.name!r} of tool {name!r} is positional-only")
        if parameter.name not in hints:
            raise InvalidTool(f"parameter {parameter.name!r} of tool {name!r} has no type")
        if parameter.name.startswith("_"):
            raise InvalidTool(f"parameter {parameter.name!r} of tool {name!r} begins with '_'")
        if parameter.name == "model_config":  # what pydantic takes for something else
            raise InvalidTool(f"parameter 'model_config' of tool {name!r} needs another name")
        hint = hints[parameter.name]
        if hint is ToolCall and call_parameter is None:
            call_parameter = parameter.name
            continue
        if hint is ToolCall or ToolCall in get_args(hint):
            raise InvalidTool(f"tool {name!r} may have one parameter of type ToolCall, just that")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (WRITTEN if hint is str else hint, default)
    return fields, call_parameter


def number_text(number: float) -> str:
    """A finite number as people write it within words: 36 for 36.0, and never an exponent."""
    return format(Decimal(repr(number or 0.0)), "f").removesuffix(".0")


def _written_out(value: Any) -> Any:
    # What coerces other numbers would write 1e-07 here.
    return number_text(value) if isinstance(value, float) and isfinite(value) else value


#: Text for which a number may stand.
WRITTEN = Annotated[str, BeforeValidator(_written_out)]


# What a function returns: a type that has no form as JSON is refused before the first call.


#: Annotations of which no value can be kept, each with the reason.
_UNFIT: Mapping[Any, str] = {
    **dict.fromkeys((bytes, bytearray, memoryview), NO_BYTES),
    **dict.fromkeys((abc.Iterator, abc.Generator, abc.Iterable), NO_ITERATOR),
    **dict.fromkeys((abc.AsyncIterator, abc.AsyncGenerator, abc.AsyncIterable), NO_ITERATOR),
    **dict.fromkeys((abc.Awaitable, abc.Coroutine), NO_AWAITABLE),
    abc.Callable: NO_FUNCTION,
    type: NO_FORM,
}

#: The same for what pydantic makes of an annotation, also within models and dataclasses.
_UNFIT_SCHEMAS: Mapping[str, str] = {
    "bytes": NO_BYTES,
    "generator": NO_ITERATOR,
    "callable": NO_FUNCTION,
    "is-subclass": NO_FORM,
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
        raise UnfitOutput(f"{named[1]}: {NO_FORM}" if named else NO_FORM) from error
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
            return NO_SET
        case {"type": "dict", "keys_schema": {"type": "none" | "tuple"}}:
            return NO_KEYS
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
