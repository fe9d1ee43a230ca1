"""Failed attempts: which are made again, when, under which key, and what is told of them."""

import asyncio
import json
import time
from typing import Any, cast
from uuid import UUID

import pytest
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore

from graph.state import RunState, step_key
from nodes.execute_step import Wait, execute_step
from tests.support.clocks import Clocks, settle
from tests.support.runs.step_attempts import TOOLS, Attempts, run
from tools.registry import ToolCall, ToolError, make_tools, tool
from tools.threads import ToolThreads


async def test_a_final_tool_error_fails_the_run_at_once_in_its_own_words() -> None:
    attempts = Attempts(run(("refuse", {"retryable": False})))
    (record,) = await attempts.make_all()

    assert (record["status"], record["output"], record["retry_at"]) == ("error", None, None)
    assert record["error"] == {
        "type": "ToolError",
        "message": "the shop is closed",
        "retryable": False,
    }
    assert attempts.state["error"] == {
        "type": "step_failed",
        "message": "the shop is closed",
        "step": 1,
        "unparsed": [],
        "examples": [],
        "rejected_plan": None,
    }


async def test_a_retryable_failure_is_attempted_again_until_the_attempts_are_used_up() -> None:
    attempts = Attempts(run(("refuse", {"retryable": True}), max_attempts=3))
    records = await attempts.make_all()

    assert [record["attempt"] for record in records] == [1, 2, 3]
    assert [record["retry_at"] is None for record in records] == [False, False, True]
    assert [cast("Any", record["error"])["retryable"] for record in records] == [True] * 3
    assert attempts.state["error"] is not None
    assert attempts.state["error"]["message"] == "the shop is closed"


async def test_one_attempt_means_no_second() -> None:
    attempts = Attempts(run(("refuse", {"retryable": True}), max_attempts=1))

    assert len(await attempts.make_all()) == 1
    assert attempts.waited == []


@pytest.mark.usefixtures("stopped")
async def test_the_wait_doubles_with_each_attempt_spread_by_a_quarter() -> None:
    waits: list[list[float]] = [[], [], []]
    for _ in range(30):
        attempts = Attempts(run(("refuse", {"retryable": True}), max_attempts=4, backoff=8.0))
        for attempt in waits:
            before = time.time()
            retry_at = (await attempts.make())["retry_at"]
            assert retry_at is not None
            attempt.append(retry_at - before)

    for wait, base in zip(waits, (8, 16, 32), strict=True):
        assert base * 0.75 <= min(wait) < max(wait) <= base * 1.25
        assert max(wait) - min(wait) > base * 0.1


async def test_the_next_attempt_waits_until_it_is_due() -> None:
    attempts = Attempts(run(("refuse", {"retryable": True})))
    first = await attempts.make()
    assert attempts.state["not_before"] == first["retry_at"]
    assert attempts.waited == []
    await attempts.make()

    assert attempts.waited == [first["retry_at"]]


async def test_without_another_wait_it_sleeps_only_for_what_is_left(clocks: Clocks) -> None:
    state = run(("echo", {"value": 1}))
    state["not_before"] = time.time() + 3600
    runtime: Any = Runtime(store=InMemoryStore())
    waiting = asyncio.create_task(execute_step(state, runtime, tools=TOOLS, threads=ToolThreads()))
    await settle()
    clocks.forward(1800)
    await settle()
    assert not waiting.done()
    clocks.forward(1800)
    await waiting
    state["not_before"] = time.time() - 100
    await execute_step(state, runtime, tools=TOOLS, threads=ToolThreads())


async def test_after_a_success_the_next_step_begins_with_its_first_attempt() -> None:
    tries = iter([ToolError("not yet", retryable=True), None])

    @tool("second_time")
    async def second_time() -> str:
        """Fail once."""
        if error := next(tries):
            raise error
        return "done"

    tools = {**make_tools([second_time]), **TOOLS}
    attempts = Attempts(run(("second_time", {}), ("refuse", {"retryable": False})), tools)
    records = await attempts.make_all()

    assert [(record["step"], record["attempt"]) for record in records] == [(1, 1), (1, 2), (2, 1)]


UNANNOUNCED = {
    "ValueError": False,
    "SystemExit": False,
    "CancelledError": False,
    "ConnectionError": True,
    "TimeoutError": True,
}


@pytest.mark.parametrize("name", UNANNOUNCED)
async def test_an_unannounced_exception_is_told_with_its_text(name: str) -> None:
    """Whatever a tool raises, the server goes on."""
    record = await Attempts(run(("raise", {"name": name}))).make()

    assert record["status"] == "error"
    assert record["error"] is not None
    assert record["error"]["retryable"] is UNANNOUNCED[name]
    assert record["error"]["message"].startswith("raise ")
    assert record["error"]["message"].endswith(": password 1234")


@pytest.mark.parametrize("name", UNANNOUNCED)
async def test_where_only_its_type_is_told_nothing_of_it_is_quoted(name: str) -> None:
    record = await Attempts(run(("raise", {"name": name})), errors="type").make()

    assert record["error"] is not None
    assert record["error"]["retryable"] is UNANNOUNCED[name]
    assert "password" not in json.dumps(record)
    assert record["error"]["message"].startswith("raise ")


async def test_a_tool_may_have_attempts_of_its_own() -> None:
    """More or fewer than the run's limit has."""

    @tool("patient", attempts=5)
    async def patient() -> None:
        """Fail."""
        raise ToolError("not yet", retryable=True)

    @tool("hasty", attempts=1)
    async def hasty() -> None:
        """Fail."""
        raise ToolError("no", retryable=True)

    tools = make_tools([patient, hasty])

    assert len(await Attempts(run(("patient", {}), max_attempts=2), tools).make_all()) == 5
    assert len(await Attempts(run(("hasty", {}), max_attempts=2), tools).make_all()) == 1


@pytest.mark.parametrize("name", ["ValueError", "ConnectionError"])
async def test_an_unannounced_exception_is_in_the_log_of_the_server(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    await Attempts(run(("raise", {"name": name})), errors="type").make()

    assert "Error: password 1234" in caplog.text
    assert "Traceback" in caplog.text


def test_the_key_of_a_step_is_its_own_and_changes_only_when_asked_for_again() -> None:
    state = run(("echo", {}), ("echo", {}))
    key = step_key(state, 1)
    later = cast("RunState", {**state, "attempt": 2, "cursor": 1, "started_at": 5.0})

    assert UUID(key)
    assert step_key(later, 1) == key
    assert step_key(state, 2) != key
    assert step_key(cast("RunState", {**state, "generation": 1}), 1) != key
    assert step_key(cast("RunState", {**state, "run_id": str(UUID(int=1))}), 1) != key


async def test_every_attempt_at_a_step_has_the_same_key() -> None:
    keys = []

    @tool("note_key")
    async def note_key(call: ToolCall) -> None:
        """Note the key."""
        keys.append(call.step_key)
        raise ToolError("again", retryable=True)

    await Attempts(run(("note_key", {})), make_tools([note_key])).make_all()

    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_a_cancelled_backoff_calls_no_tool() -> None:
    async def cancelled(moment: float) -> float:
        raise asyncio.CancelledError

    state = run(("echo", {"value": 1}))
    state["not_before"] = time.time() + 60
    wait: Wait = cancelled
    with pytest.raises(asyncio.CancelledError):
        await execute_step(
            state, Runtime(store=InMemoryStore()), tools={}, threads=ToolThreads(), wait=wait
        )
