"""The node `execute_step`: one attempt at one step; the edge decides what comes next."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from langgraph.runtime import Runtime

from graph.state import (
    MOST_KEPT,
    Attempt,
    AttemptError,
    Learned,
    RunState,
    Step,
    StepFailure,
    attempts,
    ended_at,
    question_of,
    run_error,
)
from graph.state.rounds import after_steps, begun, mends_left
from nodes.approval.asking import ApprovalGate, DoubtGate, doubted
from nodes.approval.questions import learned_text
from nodes.contract.steps import (
    MAX_WAIT,
    InvalidOutput,
    InvalidReference,
    KeyOf,
    Wait,
    WithoutSlot,
    changed_since_planned,
    check_size,
    counted,
    counted_size,
    measured,
    next_cursor,
    no_slots,
    planned_key,
    resolved,
    retry_at,
    sleep_until,
)
from tools.invocation import MAX_MESSAGE, Invoke, ToolErrors, invoke
from tools.receipts import Begun, find_begun, forget_begun, note_begun, note_returned
from tools.registry import ToolCall, ToolProgress
from tools.threads import ToolThreads
from tools.toolbox import Failure, Outcome, Tool, absence, arrived, snapshot, to_come

logger = logging.getLogger("runwright.steps")

#: Is told how a call ended that a run had left to itself.
Learn = Callable[[str, Learned], None]

#: Is told how far a call says that it is.
Tell = Callable[[RunState, Step, ToolProgress], None]

#: The models that are to be asked for the next round of a run, the first one first.
Queue = Callable[[RunState], Sequence[str]]


async def execute_step(
    state: RunState,
    runtime: Runtime[None],
    *,
    tools: Mapping[str, Tool],
    threads: ToolThreads,
    wait: Wait = sleep_until,
    without_slot: WithoutSlot = no_slots,
    asking: ApprovalGate | None = None,
    doubts: DoubtGate | None = None,
    learn: Learn | None = None,
    tell: Tell | None = None,
    key: KeyOf = planned_key,
    errors: ToolErrors = "text",
    models: Queue | None = None,
    max_kept: int = MOST_KEPT,
    calls: Invoke = invoke,
) -> dict[str, Any]:
    """Make the next attempt at the step under the cursor and record it.

    The attempt that ends a round after which a model is to look begins the next one in the same
    update, and so does one that fails for good where a model may mend that; without `models` none
    can.

    A plan that waits for a person is asked about first, in a visit of its own: the decision is
    stored before anything is executed. An attempt that may have acted is recorded in one visit, and
    asked about in the next. `key` gives the one that makes the effect of a step happen once. A tool
    that is awaited is called `without_slot`. `errors` says what is told of exceptions that tools
    did not announce. The inputs and outputs of all attempts have `max_kept` bytes at most: reading
    a record takes that long. A tool is called by `calls`.
    """
    doubts = doubts or DoubtGate()
    if question := question_of(state):
        return doubts.answer(state, question)
    if asking and state["status"] == "waiting":
        return asking.answer(state)
    if state["not_before"] is not None:
        # Clamped, since a clock that was set back would make it wait by as much longer.
        await wait(min(state["not_before"], time.time() + MAX_WAIT))
    step = state["plan"]["steps"][state["cursor"]]
    if step["tool"] not in tools and to_come(tools):
        async with without_slot():
            await arrived(tools)
    tools = snapshot(tools, state["owner"])
    tool = tools.get(step["tool"])
    if tool and (rest := doubts.ask_again(state, step["step"], tool)):
        return rest
    if asking and (rest := asking.ask_again(state, step)):
        return rest
    limits = (errors, max_kept, calls)
    caller = _Caller(runtime, tools, threads, doubts, learn, tell, key, *limits)
    # A blocking tool works on this machine, in a thread that the slot stands for.
    awaited = tool is not None and tool.coroutine is not None
    record, size = await _recorded(state, step, caller, without_slot if awaited else no_slots)
    _log(state, record)
    kept = state.get("kept", 0) + size
    return _update(state, record, tool, models) | ({"kept": kept} if kept else {})


async def _recorded(
    state: RunState, step: Step, caller: "_Caller", without_slot: WithoutSlot
) -> tuple[Attempt, int]:
    """Make the attempt; its record, and how many bytes it counts in that of the run."""
    tool, doubts = caller.tools.get(step["tool"]), caller.doubts
    started_at, clock = time.time(), time.perf_counter()
    async with without_slot():
        value, outcome, begun, size = await caller.attempt(state, step)
        duration = time.perf_counter() - clock
    if begun is not None:  # an earlier process, or another branch, has made this attempt
        started_at, duration = begun.at, max(0.0, (begun.ended_at or time.time()) - begun.at)
    in_doubt = outcome.doubtful and doubts.guards(tool)
    if in_doubt:
        outcome = doubted(outcome)
    record = Attempt(
        kind="attempt",
        step=step["step"],
        tool=step["tool"],
        input=value,
        attempt=max(state["attempt"] + 1, begun.attempt if begun else 0),
        generation=state["generation"],
        status="in_doubt" if in_doubt else outcome.status,
        output=outcome.output,
        error=_as_error(outcome.failure),
        retry_at=retry_at(state, outcome, tool),
        thread_running=outcome.thread_running,
        may_have_acted=in_doubt or (outcome.called and tool is not None and tool.effects),
        started_at=started_at,
        duration_ms=round(duration * 1000, 3),
    )
    if changed := changed_since_planned(state, step, tool):
        record["changed"] = changed
    if in_doubt and tool and (expires_at := doubts.expiry(tool, time.time())):
        record["expires_at"] = expires_at
    return record, size


@dataclass(frozen=True)
class _Caller:
    """Makes attempts with what the node was given."""

    runtime: Runtime[None]
    tools: Mapping[str, Tool]
    threads: ToolThreads
    doubts: DoubtGate
    learn: Learn | None
    tell: Tell | None
    key: KeyOf
    errors: ToolErrors
    max_kept: int
    calls: Invoke

    async def attempt(
        self, state: RunState, step: Step
    ) -> tuple[dict[str, Any], Outcome, Begun | None, int]:
        """The resolved input, how the call with it ended, its receipt if it was made before, and
        what both count in the size of the record; an input that is refused stands in the plan.
        """
        tool = self.tools.get(step["tool"])
        if tool is None:
            if away := absence(self.tools, step["tool"]):  # it may be there at the next attempt
                failure = Failure("ServerAway", away, retryable=True)
                return step["input"], Outcome("error", failure=failure, called=False), None, 0
            message = f"there is no tool {step['tool']!r} here; it must be loaded to go on"
            return step["input"], _error("UnknownTool", message), None, 0
        try:
            value, size = resolved(state, step)
            size = counted(size)
            self._check_room(state, size)
        except InvalidReference as error:
            return step["input"], _error("InvalidReference", str(error)), None, 0
        except InvalidOutput as error:
            return step["input"], _error("InvalidInput", f"{tool.name}: {error}"), None, 0
        store = self.runtime.store
        assert store is not None, "the graph runs with a store"
        key = self.key(state, step, value)
        max_output = state["limits"]["max_output"]
        call = ToolCall(state["owner"], key, store, step["input"], max_output)
        if self.tell is not None:
            call = replace(call, progress=_soon(partial(self.tell, state, step)))
        if self.doubts.guards(tool):
            begun = await find_begun(store, state["owner"], key)
            if begun and begun.ended_at is not None:
                size += counted_size(begun.output)
                return value, Outcome("ok", begun.output), begun, size
            if begun and begun.attempt > state["attempt"]:
                return value, _left(tool, begun), begun, size
        outcome, more = await self._call(state, step, tool, value, call, size)
        return value, outcome, None, size + more

    async def _call(
        self, state: RunState, step: Step, tool: Tool, value: Any, call: ToolCall, size: int
    ) -> tuple[Outcome, int]:
        timeout = tool.timeout or state["limits"]["step_timeout"]
        try:
            if not tool.idempotent:
                # Not `wait_for`: before Python 3.12 it loses a cancellation that comes at its end.
                async with asyncio.timeout(timeout):
                    await self.threads.wait_ended(call.step_key)
        except TimeoutError:
            message = f"{tool.name} has not returned from an earlier attempt and must not run twice"
            failure = Failure("StillRunning", message, retryable=False)
            late = Outcome(
                "timeout", None, failure, thread_running=True, called=False, doubtful=True
            )
            return late, 0
        guarded, begun = self.doubts.guards(tool), Begun(state["attempt"] + 1, time.time())
        outcome, more = _kept(
            tool,
            await self.calls(
                tool,
                value,
                call,
                timeout=timeout,
                threads=self.threads,
                begin=partial(note_begun, call, begun) if guarded else None,
                late=partial(self._late, state, step["step"]),
                errors=self.errors,
            ),
            call,
            partial(self._check_room, state, size),
        )
        if guarded:
            await _note_end(call, begun, outcome)
        return outcome, more

    def _check_room(self, state: RunState, *sizes: int) -> None:
        kept = state.get("kept", 0) + sum(sizes)
        check_size(kept, max_bytes=self.max_kept, what="record of this run")

    def _late(self, state: RunState, step: int, value: Any, error: BaseException | None) -> None:
        """Tell how a call ended that was left to itself."""
        learned = Learned(
            generation=state["generation"],
            step=step,
            attempt=state["attempt"] + 1,
            ended="raised" if error else "returned",
            detail=learned_text(value, error, MAX_MESSAGE),
            at=time.time(),
        )
        logger.info("left call has %s", learned["ended"], extra={"run_id": state["run_id"]})
        if self.learn is not None:
            self.learn(state["run_id"], learned)


def _soon(tell: Callable[[ToolProgress], None]) -> Callable[[ToolProgress], None]:
    """The same from any thread."""
    loop = asyncio.get_running_loop()

    def report(progress: ToolProgress) -> None:
        loop.call_soon_threadsafe(tell, progress)

    return report


def _kept(
    tool: Tool, outcome: Outcome, call: ToolCall, check: Callable[[int], None]
) -> tuple[Outcome, int]:
    """The outcome with its output as it is kept, unless `check` refuses it, and what it counts."""
    if outcome.status != "ok":
        return outcome, 0
    assert call.max_output is not None
    try:
        output, size = measured(outcome.output, max_bytes=call.max_output)
        check(counted(size))
        return Outcome("ok", output), counted(size)
    except InvalidOutput as error:
        return _error("InvalidOutput", f"{tool.name}: {error}", called=True), 0


async def _note_end(call: ToolCall, begun: Begun, outcome: Outcome) -> None:
    """Store how a call ended that was begun, where that is known."""
    try:
        if outcome.status == "ok":
            await note_returned(call, begun, outcome.output)
        elif outcome.failure and outcome.failure.type == "ToolError":
            await forget_begun(call)  # it says that it failed before it acted
    except Exception:  # then a crash before the next checkpoint leaves it in doubt
        logger.warning("receipt cannot be stored", exc_info=True)


def _left(tool: Tool, begun: Begun) -> Outcome:
    """What is known of a call that was begun, and of whose end nothing is stored."""
    moment = datetime.fromtimestamp(begun.at, UTC).isoformat(timespec="milliseconds")
    message = (
        f"{tool.name} was called at {moment}, and the process ended before it told how it went"
    )
    failure = Failure("ProcessEnded", message, retryable=False)
    return Outcome("error", failure=failure, doubtful=True)


def _error(kind: str, message: str, *, called: bool = False) -> Outcome:
    return Outcome("error", failure=Failure(kind, message, retryable=False), called=called)


def _as_error(failure: Failure | None) -> AttemptError | None:
    if failure is None:
        return None
    return AttemptError(type=failure.type, message=failure.message, retryable=failure.retryable)


def _update(
    state: RunState, record: Attempt, tool: Tool | None, models: Queue | None
) -> dict[str, Any]:
    if record["status"] == "ok":
        steps, skipped = state["plan"]["steps"], state.get("skipped", [])
        cursor = next_cursor(steps, skipped, state["cursor"] + 1)
        done = {"cursor": cursor, "attempt": 0, "not_before": None, "log": [record]}
        queue = models(state) if models and cursor == len(steps) else ()
        return done | after_steps(state, cursor, queue, at=ended_at(record))
    update: dict[str, Any] = {
        "attempt": record["attempt"],
        "not_before": record["retry_at"],
        "log": [record],
    }
    if "expires_at" in record:
        return update | {"status": "waiting"}
    if record["retry_at"] is None:
        assert record["error"] is not None
        if models is not None and _is_mendable(state, record, tool):
            failure = StepFailure(
                step=record["step"],
                tool=record["tool"],
                input=record["input"],
                error=record["error"],
            )
            began = begun(state, "mend", models(state), at=ended_at(record), failure=failure)
            return update | began
        update["error"] = run_error("step_failed", record["error"]["message"], step=record["step"])
    return update


def _is_mendable(state: RunState, record: Attempt, tool: Tool | None) -> bool:
    """Whether a model may plan on after a final failure: never where it may have acted.

    Unless the tool is idempotent, that is so where any attempt may have that was made at the step
    since it was last told to run.
    """
    if record["status"] == "in_doubt" or not mends_left(state):
        return False
    if tool is not None and tool.idempotent:
        return True
    made = [entry for entry in attempts(state) if entry["step"] == record["step"]]
    made = [entry for entry in made if entry["generation"] == state["generation"]]
    return not any(entry["may_have_acted"] is not False for entry in (*made, record))


def _log(state: RunState, record: Attempt) -> None:
    logger.info(
        "attempt %s",
        record["status"],
        extra={
            "run_id": state["run_id"],
            "step": record["step"],
            "attempt": record["attempt"],
            "tool": record["tool"],
            "duration_ms": record["duration_ms"],
            "error": record["error"] and record["error"]["type"],
        },
    )
    logger.debug(
        "attempt data",
        extra={"run_id": state["run_id"], "input": record["input"], "output": record["output"]},
    )
