"""What a tool is: a typed function with a docstring, and what it declares about itself."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from langchain_core.tools import StructuredTool
from langgraph.store.base import BaseStore
from pydantic import BaseModel, ConfigDict, create_model

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
class ToolCall:
    """What a tool may ask about the call it serves.

    A tool receives it by declaring a parameter of this type; it is hidden from the schema.
    `step_key` is the same for every attempt at one step, also after a crash: a tool whose
    effect must happen once keeps it beside the effect.
    """

    owner: str
    step_key: str
    store: BaseStore


@dataclass(frozen=True)
class Declaration:
    """What `@tool` notes on a function; the defaults hold for a function without it."""

    name: str | None = None
    effects: bool = True
    repeatable: bool = False
    phrases: tuple[str, ...] = ()
    noun: str = "item"


class Tool(StructuredTool):
    """A LangChain tool that also says what a runtime has to know about it.

    `effects`: it changes something. `repeatable`: a second call while a first one may still be
    running does no harm. `phrases`: how people ask for it, for the pattern planner. `noun`: what
    one of its outputs is called in a summary ("2 to-dos").
    """

    effects: bool = True
    repeatable: bool = False
    phrases: tuple[str, ...] = ()
    noun: str = "item"
    call_parameter: str | None = None

    @property
    def schema_model(self) -> type[BaseModel]:
        """The pydantic model of the input, without the hidden `ToolCall` parameter."""
        schema = self.args_schema
        assert isinstance(schema, type)
        assert issubclass(schema, BaseModel)
        return schema


def tool(
    name: str | None = None,
    *,
    effects: bool = True,
    repeatable: bool = False,
    phrases: Sequence[str] = (),
    noun: str = "item",
) -> Callable[[F], F]:
    """Declare a function as a tool under `name` (default: the function's own)."""

    def declare(function: F) -> F:
        declaration = Declaration(name, effects, repeatable, tuple(phrases), noun)
        function.__tool__ = declaration  # type: ignore[attr-defined]  # a note on the function itself
        return function

    return declare


def make_tool(function: Callable[..., Any]) -> Tool:
    """Turn a typed function with a docstring into a tool.

    Raises `InvalidTool` when the docstring or a parameter's type is missing.
    """
    declared: Declaration = getattr(function, "__tool__", Declaration())
    name = declared.name or function.__name__
    description = inspect.getdoc(function)
    if not description:
        raise InvalidTool(f"tool {name!r} has no docstring; it is what planners read")
    fields, call_parameter = _parameters(name, function)
    schema = create_model(
        name,
        __config__=ConfigDict(extra="forbid", coerce_numbers_to_str=True),
        **fields,
    )
    is_async = inspect.iscoroutinefunction(function)
    return Tool(
        name=name,
        description=description,
        args_schema=schema,
        func=None if is_async else function,
        coroutine=function if is_async else None,
        effects=declared.effects,
        repeatable=declared.repeatable,
        phrases=declared.phrases,
        noun=declared.noun,
        call_parameter=call_parameter,
    )


def make_tools(functions: Iterable[Callable[..., Any]]) -> Mapping[str, Tool]:
    """Tools by name, in the given order; raises `InvalidTool` when two share a name."""
    tools: dict[str, Tool] = {}
    for made in map(make_tool, functions):
        if made.name in tools:
            raise InvalidTool(f"two tools are called {made.name!r}")
        tools[made.name] = made
    return tools


def _parameters(name: str, function: Callable[..., Any]) -> tuple[dict[str, Any], str | None]:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    call_parameter = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise InvalidTool(f"tool {name!r} takes *args or **kwargs; name its parameters")
        if parameter.name not in hints:
            raise InvalidTool(f"parameter {parameter.name!r} of tool {name!r} has no type")
        if hints[parameter.name] is ToolCall:
            call_parameter = parameter.name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    return fields, call_parameter
