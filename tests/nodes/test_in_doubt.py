"""Attempts that may have acted: which they are, what is stored before, and what becomes of them."""

import asyncio
import sqlite3
import threading
from typing import Any, cast

import pytest
from langgraph.runtime import Runtime
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore

from graph.state import Learned, RunState, question_of, step_key
from nodes.approval.asking import DoubtGate
from nodes.execute_step import execute_step
from tests.support.clocks import Clocks, settle
from tests.support.patience import patience
from tests.support.runs.step_attempts import run
from tools.receipts import Begun, find_begun, note_begun
from tools.registry import ToolCall, ToolError, make_tools, tool
from tools.threads import ToolThreads
from tools.toolbox import InDoubt


class Shop:
    """A tool with an effect, that raises what it is told; `calls` counts."""

    def __init__(self, error: BaseException | None = None, **declared: Any) -> None:
        self.calls = 0
        self.learned: list[Learned] = []
        self.store: Any = InMemoryStore()
        self.threads = ToolThreads(2)

        @tool("pay", **declared)
        async def pay() -> str:
            """Pay."""
            self.calls += 1
            if error is not None:
                raise error
            return "paid"

        self.tools = make_tools([pay])

    async def visit(self, state: RunState, policy: InDoubt = "ask") -> dict[str, Any]:
        """The update of one visit of the node."""
        return await execute_step(
            state,
            cast("Any", Runtime(store=self.store)),
            tools=self.tools,
            threads=self.threads,
            doubts=DoubtGate(policy, expires=60.0),
            learn=lambda _, learned: self.learned.append(learned),
        )

    async def begun(self, state: RunState) -> Begun | None:
        return await find_begun(self.store, state["owner"], step_key(state, 1))


def after(state: RunState, update: dict[str, Any]) -> RunState:
    return cast("RunState", {**state, **update, "log": [*state["log"], *update["log"]]})


DOUBTFUL = [
    TimeoutError(),
    ConnectionResetError(),
    ConnectionAbortedError(),
    BrokenPipeError(),
    ConnectionError(),
    sqlite3.OperationalError("locked"),
]


@pytest.mark.parametrize("error", DOUBTFUL, ids=lambda error: type(error).__name__)
async def test_a_lost_connection_leaves_a_step_with_an_effect_in_doubt(error: Exception) -> None:
    shop, state = Shop(error), run(("pay", {}))
    update = await shop.visit(state)
    (entry,) = update["log"]

    assert (update["status"], update["not_before"], entry["status"]) == (
        "waiting",
        None,
        "in_doubt",
    )
    assert (entry["retry_at"], entry["may_have_acted"]) == (None, True)
    assert entry["error"]["message"].endswith("it may have acted")
    assert "error" not in update
    question = question_of(after(state, update))
    assert question is not None
    assert question["expires_at"] == pytest.approx(question["asked_at"] + 60, abs=patience())


@pytest.mark.parametrize(
    "declared", [{"effects": False}, {"idempotent": True}, {"in_doubt": "retry"}], ids=str
)
async def test_a_call_that_does_no_harm_twice_is_made_again(declared: dict[str, Any]) -> None:
    shop, state = Shop(TimeoutError(), **declared), run(("pay", {}))
    update = await shop.visit(state)

    assert "status" not in update
    assert update["log"][0]["status"] == "error"
    assert update["log"][0]["retry_at"] is not None
    assert await shop.begun(state) is None


async def test_a_refused_connection_has_not_acted_and_is_tried_again() -> None:
    update = await Shop(ConnectionRefusedError()).visit(run(("pay", {})))

    assert update["log"][0]["status"] == "error"
    assert update["log"][0]["retry_at"] is not None


async def test_any_other_exception_is_a_final_failure_that_may_have_acted() -> None:
    update = await Shop(ValueError("odd")).visit(run(("pay", {})))
    (entry,) = update["log"]

    assert (entry["status"], entry["retry_at"], entry["may_have_acted"]) == ("error", None, True)
    assert update["error"]["type"] == "step_failed"


async def test_what_a_tool_announces_is_tried_again_and_leaves_no_receipt() -> None:
    shop, state = Shop(ToolError("closed", retryable=True)), run(("pay", {}))
    update = await shop.visit(state)

    assert update["log"][0]["retry_at"] is not None
    assert await shop.begun(state) is None


async def test_a_setting_or_the_tool_says_what_becomes_of_a_step_in_doubt() -> None:
    failed = await Shop(TimeoutError()).visit(run(("pay", {})), "fail")
    again = await Shop(TimeoutError()).visit(run(("pay", {})), "retry")
    asked = await Shop(TimeoutError(), in_doubt="ask").visit(run(("pay", {})), "retry")

    assert (failed["log"][0]["status"], failed["error"]["type"]) == ("in_doubt", "step_failed")
    assert again["log"][0]["retry_at"] is not None
    assert (asked["log"][0]["status"], asked["status"]) == ("in_doubt", "waiting")


async def test_the_receipt_is_stored_before_the_tool_is_entered() -> None:
    state, store = run(("look", {})), InMemoryStore()
    found: list[Begun | None] = []

    @tool("look")
    async def look(call: ToolCall) -> None:
        """Look for the receipt of this very call."""
        found.append(await find_begun(call.store, call.owner, call.step_key))

    runtime: Any = Runtime(store=store)
    await execute_step(state, runtime, tools=make_tools([look]), threads=ToolThreads(1))

    assert [begun and (begun.attempt, begun.ended_at) for begun in found] == [(1, None)]


async def test_a_tool_whose_receipt_cannot_be_stored_is_not_entered() -> None:
    class FullStore(InMemoryStore):
        async def abatch(self, ops: Any) -> Any:
            if any(isinstance(op, PutOp) for op in ops):
                raise sqlite3.OperationalError("database or disk is full")
            return await super().abatch(ops)

    shop, state = Shop(), run(("pay", {}))
    shop.store = FullStore()
    with pytest.raises(sqlite3.OperationalError):
        await shop.visit(state)

    assert shop.calls == 0


async def test_a_call_that_was_begun_and_never_told_its_end_is_not_made_again() -> None:
    shop, state = Shop(), run(("pay", {}))
    call = ToolCall("me", step_key(state, 1), shop.store)
    await note_begun(call, Begun(attempt=1, at=1000.0))
    update = await shop.visit(state)
    (entry,) = update["log"]

    assert (shop.calls, entry["status"], entry["attempt"]) == (0, "in_doubt", 1)
    assert (entry["error"]["type"], entry["started_at"]) == ("ProcessEnded", 1000.0)


async def test_the_receipt_of_an_earlier_attempt_that_was_recorded_is_no_doubt() -> None:
    shop, state = Shop(), run(("pay", {}))
    call = ToolCall("me", step_key(state, 1), shop.store)
    await note_begun(call, Begun(attempt=1, at=1000.0))
    update = await shop.visit(cast("RunState", {**state, "attempt": 1}))

    assert (shop.calls, update["log"][0]["status"], update["log"][0]["attempt"]) == (1, "ok", 2)


async def test_a_call_that_had_returned_is_not_made_again_but_told() -> None:
    """Its process ended before the attempt was stored."""
    shop, state = Shop(), run(("pay", {}))
    first = await shop.visit(state)
    again = await shop.visit(state)

    assert shop.calls == 1
    assert [one["log"][0]["output"] for one in (first, again)] == ["paid", "paid"]
    assert again["log"][0]["status"] == "ok"


async def test_a_step_in_doubt_is_asked_about_before_a_retry_calls_it_again() -> None:
    shop, state = Shop(TimeoutError()), run(("pay", {}))
    doubted = after(state, await shop.visit(state))
    retried = cast("RunState", {**doubted, "status": "running", "generation": 1, "attempt": 0})
    update = await shop.visit(retried)

    assert (shop.calls, update["status"]) == (1, "waiting")
    assert question_of(after(retried, update)) is not None


async def test_what_a_left_thread_returns_is_told(clocks: Clocks) -> None:
    begun, let_go = threading.Event(), threading.Event()
    shop, state = Shop(), run(("block", {}), step_timeout=5.0)

    @tool("block")
    def block() -> str:
        """Block."""
        begun.set()
        let_go.wait(patience())
        return "done"

    shop.tools = make_tools([block])
    making = asyncio.create_task(shop.visit(state))
    await asyncio.to_thread(begun.wait, patience())
    await settle()
    clocks.forward(5.0)
    update = await making
    let_go.set()
    await shop.threads.wait_ended(step_key(state, 1))
    while not shop.learned:  # the loop hears of it from the thread
        await settle()

    assert (update["log"][0]["status"], update["log"][0]["thread_running"]) == ("in_doubt", True)
    assert [(one["step"], one["ended"], one["detail"]) for one in shop.learned] == [
        (1, "returned", '"done"')
    ]


async def test_a_call_that_is_cancelled_before_it_is_begun_leaves_no_receipt() -> None:
    """All threads are taken: it is never entered."""
    shop, state, let_go = Shop(), run(("block", {})), threading.Event()
    shop.threads = ToolThreads(1)
    taken = shop.threads.start("other", let_go.wait, {"timeout": patience()})
    await taken.started

    @tool("block")
    def block() -> None:
        """Block."""
        shop.calls += 1

    shop.tools = make_tools([block])
    making = asyncio.create_task(shop.visit(state))
    await settle()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    let_go.set()
    await taken.ended

    assert (shop.calls, await shop.begun(state)) == (0, None)
