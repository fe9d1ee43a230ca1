"""Why a function is no tool, why a phrase is none, and how a call of a tool fails."""

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any

from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel, Field

from nodes.patterns.planner import InvalidPhrase, PatternPlanner
from tests.support.own_tools.own_files import own_files
from tests.support.own_tools.unfit_tools import UNFIT
from tests.support.wording.messages import masked, refusal
from tools import toolbox
from tools.invocation import ToolErrors, invoke, plain_data
from tools.loading import load
from tools.registry import InvalidTool, ToolCall, ToolError, make_tool, make_tools, tool
from tools.threads import ToolThreads
from tools.toolbox import UnfitOutput

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
    for kind, (reason, shown) in _OUTPUTS.items():
        told[f"output.{kind}"] = reason
        told[f"returns.{kind}"] = _refused(make_tool, _returning(shown))
    told["output.same-key"] = refusal(UnfitOutput, plain_data, {1: "a", "1": "b"})
    told["output.value"] = await _failed(_untyped)
    for errors in ("text", "type"):
        for function in (_reasoned, _offline):
            key = function.__name__.strip("_")
            told[f"{key}.{errors}"] = await _failed(function, errors=errors)
    return told | await _told_of_threads() | _told_of_files()


#: The reasons against outputs, each with a type that is refused for it.
_OUTPUTS: Mapping[str, tuple[str, Any]] = {
    "bytes": (toolbox.NO_BYTES, list[bytes]),
    "set": (toolbox.NO_SET, set[Any]),
    "iterator": (toolbox.NO_ITERATOR, Iterator[int]),
    "awaitable": (toolbox.NO_AWAITABLE, Awaitable[int]),
    "function": (toolbox.NO_FUNCTION, Callable[[], int]),
    "keys": (toolbox.NO_KEYS, dict[tuple[int, int], str]),
    "unknown": (toolbox.NO_FORM, asyncio.Lock),
}


def _returning(hint: Any) -> Callable[..., Any]:
    @tool("produce")
    def produce() -> None:
        """Produce it."""

    produce.__annotations__["return"] = hint
    return produce


@tool("untyped")
def _untyped() -> Any:
    """Return bytes."""
    return b"a"


@tool("reasoned")
def _reasoned() -> None:
    """Fail as Python functions do."""
    raise ValueError("no such\nfile: \x1b[31ma.txt")


@tool("offline")
def _offline() -> None:
    """Fail for now."""
    raise ConnectionResetError("reset by the printer")


#: What is beside a user's file, by its name.
_FILES = {
    "mine.py": "import tools.files",
    "broken.py": "raise OSError('two\\nlines')",
    "tools/files.py": "",
    "json.py": "",
    "text.txt": "",
}


def _told_of_files() -> dict[str, str]:
    names = {
        "file.missing": "./none.py:read",
        "file.kind": "./text.txt:read",
        "file.function": "./tools/files.py:read",
        "file.clash": "./mine.py:read",
        "file.broken": "./broken.py:read",
        "clash.ours": "tools.files:read",
        "clash.other": "json:read",
    }
    with own_files(_FILES) as folder:
        return {
            key: _refused(load, name).replace(str(folder), "<folder>")
            for key, name in names.items()
        }


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
    errors: ToolErrors = "text",
    **value: Any,
) -> str:
    call = ToolCall("me", "step", InMemoryStore())
    threads = threads or ToolThreads(1)
    outcome = await invoke(
        make_tool(function), value, call, timeout=timeout, threads=threads, errors=errors
    )
    assert outcome.failure is not None
    return outcome.failure.message
