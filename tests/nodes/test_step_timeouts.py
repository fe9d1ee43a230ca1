"""Attempts that are cut off: by their time limit, by a cancellation, in a thread or not."""

import asyncio
import threading

import pytest

from graph.state import Attempt
from tests.support.clocks import Clocks, settle
from tests.support.patience import patience
from tests.support.runs.step_attempts import Attempts, run
from tests.support.wording.messages import wording
from tools.registry import make_tools, tool

#: Longer than a test, seconds: no attempt is cut off before the clocks are put forward.
LIMIT = 600.0


async def test_a_tool_that_takes_too_long_is_cut_off_and_tried_again(clocks: Clocks) -> None:
    begun, cut_off = asyncio.Event(), asyncio.Event()

    @tool("sleep", effects=False)
    async def sleep() -> None:
        """Sleep for long."""
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut_off.set()

    attempts = Attempts(run(("sleep", {}), step_timeout=LIMIT), make_tools([sleep]))
    making = asyncio.create_task(attempts.make())
    await begun.wait()
    await settle()
    clocks.forward(LIMIT)
    record = await making

    assert cut_off.is_set()
    assert (record["status"], record["thread_running"]) == ("timeout", False)
    assert record["error"] == {
        "type": "Timeout",
        "message": wording("tools.timeout", tool="sleep", seconds=600),
        "retryable": True,
    }
    assert record["retry_at"] is not None
    assert 1000 * LIMIT <= record["duration_ms"] < 2000 * LIMIT


async def test_a_tool_may_have_a_time_of_its_own(clocks: Clocks) -> None:
    """Longer or shorter than the run's limit."""
    begun = asyncio.Event()

    @tool("sleep", timeout=2 * LIMIT)
    async def sleep() -> None:
        """Sleep for long."""
        begun.set()
        await asyncio.Event().wait()

    attempts = Attempts(run(("sleep", {}), step_timeout=LIMIT), make_tools([sleep]))
    making = asyncio.create_task(attempts.make())
    await begun.wait()
    await settle()
    clocks.forward(LIMIT)
    await settle()
    assert not making.done()
    clocks.forward(LIMIT)
    record = await making

    assert record["error"] is not None
    assert record["error"]["message"] == wording("tools.timeout", tool="sleep", seconds=1200)


class Blocking:
    """A blocking tool that hangs at its first call until it is let go."""

    def __init__(self, *, idempotent: bool = False) -> None:
        self.calls = 0
        self.begun = threading.Event()
        self.let_go = threading.Event()

        @tool("block", effects=False, idempotent=idempotent)
        def block() -> str:
            """Block a thread."""
            self.calls += 1
            self.begun.set()
            if self.calls == 1:
                self.let_go.wait(patience())
            return "done"

        self.tools = make_tools([block])

    async def until_begun(self) -> None:
        """Wait until the first call is under way."""
        await asyncio.to_thread(self.begun.wait, patience())
        await settle()


async def cut_off(attempts: Attempts, blocking: Blocking, clocks: Clocks) -> Attempt:
    """The record of a first attempt whose time is up."""
    making = asyncio.create_task(attempts.make())
    await blocking.until_begun()
    clocks.forward(LIMIT)
    return await making


async def test_a_blocking_tool_runs_beside_the_event_loop() -> None:
    blocking = Blocking()
    making = asyncio.create_task(Attempts(run(("block", {})), blocking.tools).make())
    await blocking.until_begun()
    blocking.let_go.set()

    assert (await making)["output"] == "done"


async def test_a_thread_that_is_left_behind_is_told_in_the_record(clocks: Clocks) -> None:
    blocking = Blocking()
    attempts = Attempts(run(("block", {}), step_timeout=LIMIT), blocking.tools)
    record = await cut_off(attempts, blocking, clocks)
    blocking.let_go.set()

    assert (record["status"], record["thread_running"]) == ("timeout", True)
    assert record["retry_at"] is not None


async def test_a_tool_is_not_called_again_while_its_thread_has_not_ended(clocks: Clocks) -> None:
    blocking = Blocking()
    attempts = Attempts(run(("block", {}), step_timeout=LIMIT), blocking.tools)
    await cut_off(attempts, blocking, clocks)
    making = asyncio.create_task(attempts.make())
    await settle()
    clocks.forward(LIMIT)
    record = await making
    blocking.let_go.set()

    assert blocking.calls == 1
    assert record["error"] == {
        "type": "StillRunning",
        "message": wording("runs.attempt.still-running", tool="block"),
        "retryable": False,
    }
    assert (record["status"], record["thread_running"]) == ("timeout", True)
    assert attempts.state["error"] is not None


async def test_a_tool_is_called_again_when_its_thread_has_ended(clocks: Clocks) -> None:
    blocking = Blocking()
    attempts = Attempts(run(("block", {}), step_timeout=LIMIT), blocking.tools)
    await cut_off(attempts, blocking, clocks)
    making = asyncio.create_task(attempts.make())
    await settle()
    assert blocking.calls == 1
    blocking.let_go.set()
    record = await making

    assert blocking.calls == 2
    assert (record["status"], record["output"], record["attempt"]) == ("ok", "done", 2)


async def test_an_idempotent_tool_is_called_again_at_once(clocks: Clocks) -> None:
    """While the first call still blocks its thread."""
    blocking = Blocking(idempotent=True)
    attempts = Attempts(run(("block", {}), step_timeout=LIMIT), blocking.tools)
    await cut_off(attempts, blocking, clocks)
    record = await attempts.make()
    blocking.let_go.set()

    assert (record["status"], record["output"]) == ("ok", "done")
    assert record["duration_ms"] < 1000 * LIMIT


async def test_a_cancelled_attempt_is_no_attempt() -> None:
    """What cancelled it says what becomes of the run; the step is as if it were not begun."""
    begun = asyncio.Event()

    @tool("hang")
    async def hang() -> None:
        """Hang."""
        begun.set()
        await asyncio.sleep(60)

    attempts = Attempts(run(("hang", {})), make_tools([hang]))
    making = asyncio.create_task(attempts.make())
    await begun.wait()
    making.cancel()

    with pytest.raises(asyncio.CancelledError):
        await making
    assert attempts.state["log"] == []


async def test_a_cancelled_wait_for_a_thread_is_no_attempt() -> None:
    blocking = Blocking()
    attempts = Attempts(run(("block", {})), blocking.tools)
    making = asyncio.create_task(attempts.make())
    await blocking.until_begun()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    blocking.let_go.set()

    assert attempts.state["log"] == []
