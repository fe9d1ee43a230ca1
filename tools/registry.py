"""What a tool is: a typed function with a docstring, and what it declares about itself."""

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from langchain_core.tools import StructuredTool
from langgraph.store.base import BaseStore
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticUserError,
    ValidationError,
    create_model,
)
from pydantic_core import SchemaError

from tools.values import (
    WRITTEN,
    InputFault,
    Parameter,
    UnfitInput,
    UnfitOutput,
    check_type,
    faults_of,
    parameter_of,
)

#: The longest time of an attempt, in seconds, and the most attempts that a tool may ask for.
MAX_TIMEOUT, MAX_ATTEMPTS = 86_400.0, 100

#: So many tools' schemas are kept: making one takes milliseconds, and every opening asks for all.
MOST_SCHEMAS = 2_000

_SHOWN = 5  # names of a set

#: What becomes of a step of which nobody knows whether it acted: a person is asked, it fails, or it
#: is attempted again as if that did no harm.
InDoubt = Literal["ask", "fail", "retry"]

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


@lru_cache(MOST_SCHEMAS)
def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


class Tool(StructuredTool):
    """A LangChain tool that also says what a runtime has to know about it.

    `effects`: it changes something. `idempotent`: calling it again with the same step key has no
    second effect, also while a first call may still be running. `in_doubt`: what becomes of a step
    that may have acted; None is as everywhere. `declared`: its author said which of these hold.
    `phrases`: how people ask for it, for the pattern planner. `noun`: what
    one of its outputs is called in a summary ("2 to-dos"). `sets`: arguments that may name several
    things, as a list, or all, as the word "all", each with what all of them are ("every to-do").
    `timeout`: the longest time of an attempt, in seconds, and `attempts`: the most at one step;
    where it says nothing of them, the run's limits hold. `server`: the MCP server that has it, and
    `owners`: whose runs may call it; None is everybody's.
    """

    effects: bool = True
    idempotent: bool = False
    in_doubt: InDoubt | None = None
    declared: bool = False
    phrases: tuple[str, ...] = ()
    noun: str = "item"
    sets: Mapping[str, str] = Field(default_factory=dict)
    timeout: float | None = Field(None, gt=0, le=MAX_TIMEOUT, strict=True)
    attempts: int | None = Field(None, ge=1, le=MAX_ATTEMPTS, strict=True)
    call_parameter: str | None = None
    server: str | None = None
    owners: tuple[str, ...] | None = None

    @property
    def repeatable(self) -> bool:
        """The former name of `idempotent`."""
        _warn_of_repeatable()
        return self.idempotent

    @property
    def acts_once(self) -> bool:
        """Whether a second call may have a second effect, which nobody has asked for."""
        return self.effects and not self.idempotent

    @property
    def schema_model(self) -> type[BaseModel]:
        """The pydantic model of the input, without the hidden `ToolCall` parameter."""
        schema = self.args_schema
        assert isinstance(schema, type)
        assert issubclass(schema, BaseModel)
        return schema

    @property
    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of the input, as planners and people are shown it; nobody's to change."""
        return _schema_of(self.schema_model)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Its arguments by name."""
        return {name: parameter_of(field) for name, field in self.schema_model.model_fields.items()}

    def faults(self, value: Mapping[str, Any]) -> list[InputFault]:
        """What is wrong with an input; empty where nothing is."""
        try:
            self.schema_model.model_validate(value)
        except ValidationError as invalid:
            return faults_of(invalid)
        return []

    def arguments(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """What it is called with for this input. Raises `UnfitInput`."""
        try:
            model = self.schema_model.model_validate(value)
        except ValidationError as invalid:
            raise UnfitInput(faults_of(invalid)) from invalid
        return {name: getattr(model, name) for name in self.schema_model.model_fields}

    def scope(self, value: Mapping[str, Any]) -> str | None:
        """What a call with this input is about, in words, where it names a set; else None."""
        for argument, every in self.sets.items():
            match value.get(argument):
                case str() as word if is_all(word):
                    return every
                case list() as names:
                    shown = ", ".join(repr(str(name)) for name in names[:_SHOWN])
                    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                    count = f"{len(names)} {self.noun}{'s' if len(names) > 1 else ''}"
                    return f"{count}: {shown}{more}"
        return None


def is_all(word: str) -> bool:
    """Whether a word, where it stands alone for a set, says all of it."""
    return word.strip().lower() == "all"


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
        _warn_of_repeatable(caller=3)
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


def undeclared(tools: Mapping[str, Tool]) -> list[str]:
    """The names of the tools that do not say what their effects are, so that the worst holds."""
    return [name for name, one in tools.items() if not one.declared]


def undeclared_words(names: Sequence[str]) -> str:
    """What to say of tools that declare nothing."""
    one = len(names) == 1
    return (
        f"{', '.join(names)}: {'this tool does' if one else 'these tools do'} not say whether"
        f" {'it changes' if one else 'they change'} something (effects) or may be called twice"
        " (idempotent): after a timeout or a crash a person is asked"
    )


def _warn_of_repeatable(caller: int = 3) -> None:
    words = "`repeatable` is called `idempotent` from now on; the next version reads that only"
    warnings.warn(words, DeprecationWarning, stacklevel=caller)


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
        _schema_of(schema)  # what planners and people are shown; some types have none
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
