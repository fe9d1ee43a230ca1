"""One call of one tool: what reaches the tool, and what does not count as its time."""

import asyncio
import logging
from dataclasses import replace
from threading import Semaphore
from typing import Annotated, Any

import pytest
from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel, Field

from tests.support.clocks import Clocks, settle
from tests.support.patience import patience
from tests.support.wording.messages import wording
from tools.invocation import invoke
from tools.registry import ToolCall, ToolError, ToolProgress, make_tool, tool
from tools.threads import ToolThreads
from tools.toolbox import Outcome, Tool

CALL = ToolCall("me", "step-1", InMemoryStore())


class Place(BaseModel):
    """Where something is."""

    x: int
    y: int = 0


@tool()
async def where(place: Place, unit: str = "m", scale: Annotated[int, Field(ge=1)] = 1) -> str:
    """Say where something is."""
    return f"{place.x * scale}, {place.y * scale} {unit}"


async def call(made: Tool, threads: ToolThreads | None = None, **value: Any) -> Outcome:
    return await invoke(made, value, CALL, timeout=patience(), threads=threads or ToolThreads())


async def test_a_tool_gets_what_its_types_say_with_its_defaults() -> None:
    outcome = await call(make_tool(where), place={"x": "2"}, scale=3)

    assert outcome == Outcome("ok", output="6, 0 m")


async def test_every_field_that_does_not_fit_is_named() -> None:
    outcome = await call(make_tool(where), place={"y": "up"}, scale=0, call="mine")

    assert outcome.failure is not None
    assert outcome.failure.type == "InvalidInput"
    told = outcome.failure.message.partition(": ")[2].split("; ")
    assert [fault.partition(": ")[0] for fault in told] == ["place.x", "place.y", "scale", "call"]


async def test_waiting_for_a_free_thread_is_not_the_time_of_the_tool(clocks: Clocks) -> None:
    begun, let_go = Semaphore(0), Semaphore(0)

    @tool()
    def block() -> None:
        """Block a thread."""
        begun.release()
        let_go.acquire()

    made, threads = make_tool(block), ToolThreads(1)
    calls = [
        asyncio.create_task(invoke(made, {}, CALL, timeout=600, threads=threads)) for _ in range(2)
    ]
    for _ in calls:
        await asyncio.to_thread(begun.acquire)
        await settle()
        clocks.forward(400)
        let_go.release()

    assert [(await call).status for call in calls] == ["ok"] * 2


async def test_a_cancellation_inside_a_tool_is_a_failure_of_the_tool() -> None:
    """The run would otherwise end here without being settled."""

    @tool()
    async def give_up() -> None:
        """Wait for something that was called off."""
        waiting = asyncio.create_task(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(waiting.cancel)
        await waiting

    outcome = await call(make_tool(give_up))

    assert outcome.failure is not None
    assert (outcome.failure.type, outcome.failure.retryable) == ("CancelledError", False)


class Unprintable:
    """An object whose own text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (ValueError("inner"), "inner"),
        ({"a": 1}, "{'a': 1}"),
        ("half \ud800", "half ?"),
        ("x" * 5_000, "x" * 2_000 + "…"),
        (Unprintable(), None),
    ],
)
async def test_whatever_a_tool_error_carries_is_kept_as_bounded_text(
    message: object, kept: str | None
) -> None:
    if kept is None:
        kept = wording("tools.unprintable", type="Unprintable")

    @tool()
    async def fail() -> None:
        """Fail with something that is no message."""
        raise ToolError(message, retryable=True)  # type: ignore[arg-type]

    outcome = await invoke(make_tool(fail), {}, CALL, timeout=patience(), threads=ToolThreads(1))

    assert outcome.failure is not None
    assert (outcome.failure.message, outcome.failure.retryable) == (kept, True)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("no such file", ": no such file"),
        ("", ""),
        ("two\nlines\r\n  and a third", ": two lines and a third"),
        ("\x1b[31mred\x07\x9b\u202e", ": \\u001b[31mred\\u0007\\u009b\\u202e"),
        ("half \ud800", ": half ?"),
        ("x" * 5_000, ": " + "x" * (2_000 - len("fail broke with ValueError: ")) + "…"),
        (Unprintable(), None),
    ],
)
async def test_an_exception_is_told_in_one_printable_line(
    message: object, told: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    if told is None:
        told = ": " + wording("tools.unprintable", type="ValueError")
    # pytest-xdist ends at half a character in what was logged, which is not looked at here.
    caplog.set_level(logging.CRITICAL, logger="runwright.tools")

    @tool()
    def fail() -> None:
        """Fail as Python functions do."""
        raise ValueError(message)

    outcome = await call(make_tool(fail))

    assert outcome.failure is not None
    assert outcome.failure.message == f"fail broke with ValueError{told}"
    assert outcome.failure.message.isprintable()


async def test_a_call_whose_time_is_up_is_told_with_how_far_it_was() -> None:
    told: list[ToolProgress] = []
    call = replace(CALL, progress=told.append)

    @tool()
    async def count(call: ToolCall) -> None:
        """Count sheep."""
        call.progress(ToolProgress(1, 3))
        call.progress(ToolProgress(2))
        await asyncio.Event().wait()

    outcome = await invoke(make_tool(count), {}, call, timeout=0.01, threads=ToolThreads(1))

    assert outcome.failure is not None
    message, _, before = outcome.failure.message.rpartition(", ")
    assert message == "count took longer than 0.01 s; its last word was 2"
    assert before.endswith(" s before")
    assert told == [ToolProgress(1, 3), ToolProgress(2)]
