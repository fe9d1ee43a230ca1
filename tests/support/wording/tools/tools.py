"""Why a function is no tool, why a phrase is none, and how a call of a tool fails."""

import asyncio
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel, Field

from nodes.patterns.own_phrases import InvalidPhrase
from nodes.patterns.planner import PatternPlanner
from tests.support.own_tools.unfit_tools import UNFIT
from tests.support.wording.messages import masked, refusal
from tools.invocation import invoke
from tools.loading import load
from tools.registry import InvalidTool, ToolCall, ToolError, make_tool, make_tools, tool
from tools.threads import ToolThreads

#: Phrases of `odd`, by what is wrong with them.
PHRASES = {
    "unknown": "do {c} now",
    "unknown.call": "do {call} now",
    "missing": "do it with {b}",
    "adjacent": "do {a} {b}",
    "twice": "do {a} and {a}",
    "bare": "{a}",
    "open": "do {a now",
}


def odd(*phrases: str) -> Callable[..., Any]:
    """A tool with these phrases."""

    @tool("odd", phrases=phrases)
    def odd(a: str, call: ToolCall, b: str = "") -> None:
        """Odd."""

    return odd


#: Where something lies in memory, which is elsewhere in every process.
_ADDRESS = re.compile(r"0x[0-9a-f]+")


class _Place(BaseModel):
    x: int
    y: int = 0


@tool()
async def _where(place: _Place, scale: Annotated[int, Field(ge=1)] = 1) -> None:
    """Say where something is."""


@tool("unreachable")
async def _unreachable() -> None:
    """Find nobody."""
    raise ConnectionError


@tool("broken")
async def _broken() -> None:
    """Break."""
    raise ZeroDivisionError


class _Unprintable:
    def __str__(self) -> str:
        raise RuntimeError


@tool("unprintable")
async def _unprintable() -> None:
    """Fail with what is no message."""
    raise ToolError(_Unprintable())  # type: ignore[arg-type]


@tool("slow")
async def _slow() -> None:
    """Never end."""
    await asyncio.Event().wait()


def _refused(call: Any, *args: Any, **options: Any) -> str:
    return refusal(InvalidTool, call, *args, **options)


async def messages() -> dict[str, str]:
    """Refusals of functions and phrases first, then failures of calls."""
    told = {
        f"function.{key}": _ADDRESS.sub("<address>", _refused(make_tool, function))
        for key, function in UNFIT.items()
    }
    told["decorator"] = _refused(tool, _where)
    told["phrases"] = _refused(tool, phrases="greet {name}")
    told["two"] = _refused(make_tools, [odd(), odd()])
    for key, name in (("form", "nothing"), ("module", "no.such:tool"), ("missing", "math:none")):
        told[f"load.{key}"] = _refused(load, name)
    for key, phrase in PHRASES.items():
        told[f"phrase.{key}"] = refusal(InvalidPhrase, PatternPlanner, make_tools([odd(phrase)]))
    same = make_tools([odd("sleep {a} seconds", "Sleep {b} for {a}", "sleep {a} for {b}")])
    told["phrase.same"] = refusal(InvalidPhrase, PatternPlanner, same)
    told["input"] = await _failed(_where, place={"y": "up"}, scale=0, call="mine")
    told["unreachable"] = await _failed(_unreachable)
    told["broken"] = await _failed(_broken)
    told["unprintable"] = masked(await _failed(_unprintable), type="_Unprintable")
    told["timeout"] = masked(await _failed(_slow, timeout=0.01), tool="slow", seconds="0.01")
    told["timeout.clinging"] = masked(await _clinging(), tool="cling", seconds="0.01")
    return told | await _told_of_threads()


async def _told_of_threads() -> dict[str, str]:
    threads, ends = ToolThreads(1), threading.Event()

    @tool("blocked")
    def blocked() -> None:
        """Block a thread."""
        ends.wait()

    try:
        # Until it has begun within its time.
        while (stuck := await _failed(blocked, timeout=0.05, threads=threads)).startswith("no "):
            pass
        none = await _failed(blocked, timeout=0.05, threads=threads)
    finally:
        ends.set()
    return {"timeout.thread": masked(stuck, seconds="0.05"), "no-thread": none}


async def _clinging() -> str:
    ends = asyncio.Event()

    @tool("cling")
    async def cling() -> None:
        """Go on, whoever tells it not to."""
        while not ends.is_set():
            with suppress(asyncio.CancelledError):
                await ends.wait()

    told = await _failed(cling, timeout=0.01)
    ends.set()
    return told


async def _failed(
    function: Callable[..., Any],
    *,
    timeout: float = 5,
    threads: ToolThreads | None = None,
    **value: Any,
) -> str:
    call = ToolCall("me", "step", InMemoryStore())
    threads = threads or ToolThreads(1)
    outcome = await invoke(make_tool(function), value, call, timeout=timeout, threads=threads)
    assert outcome.failure is not None
    return outcome.failure.message
