"""Functions that planners cannot use as tools, each for one reason."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from tools.registry import ToolCall, tool


def without_docstring(a: int) -> int:
    return a


def without_type(a) -> int:  # type: ignore[no-untyped-def]
    """Doc."""
    return int(a)


def with_arguments(*values: int) -> int:
    """Doc."""
    return sum(values)


def with_options(**values: int) -> int:
    """Doc."""
    return sum(values.values())


def positional_only(a: int, /) -> int:
    """Doc."""
    return a


def private(_a: int) -> int:
    """Doc."""
    return _a


def unknown_type(a: "Missing") -> int:  # type: ignore[name-defined]  # noqa: F821
    """Doc."""
    return int(a)


def misspelt_type(a: "asyncio.Lok") -> bool:  # type: ignore[name-defined]
    """Doc."""
    return bool(a)


def model_settings(model_config: str) -> str:
    """Doc."""
    return model_config


def no_pattern(a: Annotated[str, Field(pattern="(?=x)")]) -> str:
    """Doc."""
    return a


@tool(noun=None)  # type: ignore[arg-type]
def no_noun() -> str:
    """Doc."""
    return ""


@tool(phrases=[5])  # type: ignore[list-item]
def no_phrase() -> str:
    """Doc."""
    return ""


def two_calls(first: ToolCall, second: ToolCall) -> str:
    """Doc."""
    return first.owner + second.owner


def maybe_call(call: ToolCall | None = None) -> str:
    """Doc."""
    return call.owner if call else ""


def no_json(a: Callable[[], int]) -> int:
    """Doc."""
    return a()


def no_schema(a: asyncio.Lock) -> bool:
    """Doc."""
    return a.locked()


def reserved(model_dump: int) -> int:
    """Doc."""
    return model_dump


def lists_of_bytes() -> list[bytes]:
    """Doc."""
    return [b"a"]


@tool(timeout=0)
def no_time() -> str:
    """Doc."""
    return ""


@tool(attempts=1.5)  # type: ignore[arg-type]
def no_number() -> str:
    """Doc."""
    return ""


async def yields(a: int) -> AsyncIterator[int]:
    """Doc."""
    yield a


class NoFunction:
    """Doc."""


UNFIT: Mapping[str, Callable[..., Any]] = {
    "without-docstring": without_docstring,
    "without-type": without_type,
    "with-arguments": with_arguments,
    "with-options": with_options,
    "positional-only": positional_only,
    "private": private,
    "model-settings": model_settings,
    "unknown-type": unknown_type,
    "misspelt-type": misspelt_type,
    "no-pattern": no_pattern,
    "no-noun": no_noun,
    "no-phrase": no_phrase,
    "two-calls": two_calls,
    "maybe-call": maybe_call,
    "no-json": no_json,
    "no-schema": no_schema,
    "reserved": reserved,
    "yields": yields,
    "bytes": lists_of_bytes,
    "no-time": no_time,
    "no-number": no_number,
    "no-function": NoFunction,
    "partial": partial(maybe_call, call="Bob"),
    "built-in": math.sqrt,
}
