"""The node `execute_step`: one attempt at one step; the edge decides what comes next."""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from typing import Any

from langgraph.runtime import Runtime

from graph.state import Attempt, AttemptError, RunState, Step, run_error
from nodes.approval.asking import ApprovalGate
from nodes.approval.edited_plan import PlanUnfit
from nodes.approval.hand_edits import checked_plan, refused
from nodes.contract.json_data import InvalidOutput, plain
from nodes.contract.references import InvalidReference
from nodes.contract.steps import Wait, edited_step_key, next_cursor, resolved, sleep_until, step_key
from tools.invocation import Failure, Outcome, ToolErrors, invoke
from tools.registry import Tool, ToolCall
from tools.threads import ToolThreads

logger = logging.getLogger("runwright.steps")

#: Longest wait between two attempts, in seconds.
MAX_BACKOFF = 3600.0


async def execute_step(
    state: RunState,
    runtime: Runtime[None],
    *,
    tools: Mapping[str, Tool],
    threads: ToolThreads,
    wait: Wait = sleep_until,
    asking: ApprovalGate | None = None,
    hand_edits: bool = False,
    errors: ToolErrors = "text",
) -> dict[str, Any]:
    """Make the next attempt at the step under the cursor and record it.

    A plan that waits for a person is asked about first, in a visit of its own: the decision is
    stored before anything is executed. With `hand_edits` the plan may have been edited in the state
    since the last visit, and is checked again before anything else. `errors` says what is told of
    exceptions that tools did not announce.
    """
    if hand_edits:
        try:
            plan = checked_plan(state, tools)
        except PlanUnfit as unfit:
            return refused(state, unfit)
        cursor = next_cursor(plan["steps"], state["skipped"], state["cursor"])
        edited = plan != state["plan"] or cursor != state["cursor"]
        if edited or cursor == len(plan["steps"]):
            # Seen by the person who decides about it, before it is executed.
            return {"plan": plan, "cursor": cursor}
    if asking and state["status"] == "waiting":
        return asking.answer(state)
    if state["not_before"] is not None:
        # Clamped, since a clock that was set back would make it wait by as much longer.
        await wait(min(state["not_before"], time.time() + MAX_BACKOFF))
    step = state["plan"]["steps"][state["cursor"]]
    started_at, clock = time.time(), time.perf_counter()
    value, outcome = await _attempt(state, step, runtime, tools, threads, hand_edits, errors)
    record = Attempt(
        kind="attempt",
        step=step["step"],
        tool=step["tool"],
        input=value,
        attempt=state["attempt"] + 1,
        generation=state["generation"],
        status=outcome.status,
        output=outcome.output,
        error=_as_error(outcome.failure),
        retry_at=_retry_at(state, outcome, tools.get(step["tool"])),
        thread_running=outcome.thread_running,
        may_have_acted=outcome.called and tools[step["tool"]].effects,
        started_at=started_at,
        duration_ms=round((time.perf_counter() - clock) * 1000, 3),
    )
    _log(state, record)
    return _update(state, record)


async def _attempt(
    state: RunState,
    step: Step,
    runtime: Runtime[None],
    tools: Mapping[str, Tool],
    threads: ToolThreads,
    hand_edits: bool,
    errors: ToolErrors,
) -> tuple[dict[str, Any], Outcome]:
    """The resolved input and how the call with it ended."""
    tool = tools.get(step["tool"])
    if tool is None:
        message = f"there is no tool {step['tool']!r} here; it must be loaded to go on"
        return step["input"], _error("UnknownTool", message)
    limits = state["limits"]
    try:
        value = resolved(state, step)
    except InvalidReference as error:
        return step["input"], _error("InvalidReference", str(error))
    except InvalidOutput as error:
        return step["input"], _error("InvalidInput", f"{tool.name}: {error}")
    assert runtime.store is not None, "the graph runs with a store"
    key = edited_step_key(state, step, value) if hand_edits else step_key(state, step["step"])
    max_output = limits["max_output"]
    call = ToolCall(state["owner"], key, runtime.store, step["input"], max_output)
    timeout = tool.timeout or limits["step_timeout"]
    try:
        if not tool.repeatable:
            # Not `wait_for`: before Python 3.12 it loses a cancellation that comes at its end.
            async with asyncio.timeout(timeout):
                await threads.wait_ended(call.step_key)
    except TimeoutError:
        message = f"{tool.name} has not returned from an earlier attempt and must not run twice"
        failure = Failure("StillRunning", message, retryable=False)
        return value, Outcome("timeout", failure=failure, thread_running=True, called=False)
    outcome = await invoke(tool, value, call, timeout=timeout, threads=threads, errors=errors)
    if outcome.status != "ok":
        return value, outcome
    try:
        return value, Outcome("ok", plain(outcome.output, max_bytes=max_output))
    except InvalidOutput as error:
        return value, _error("InvalidOutput", f"{tool.name}: {error}", called=True)


def _error(kind: str, message: str, *, called: bool = False) -> Outcome:
    return Outcome("error", failure=Failure(kind, message, retryable=False), called=called)


def _as_error(failure: Failure | None) -> AttemptError | None:
    if failure is None:
        return None
    return AttemptError(type=failure.type, message=failure.message, retryable=failure.retryable)


def _retry_at(state: RunState, outcome: Outcome, tool: Tool | None) -> float | None:
    """When the next attempt is due: base · 2^(n-1), spread by a quarter so that herds disperse."""
    made, limits = state["attempt"] + 1, state["limits"]
    most = (tool and tool.attempts) or limits["max_attempts"]
    if not (outcome.failure and outcome.failure.retryable and made < most):
        return None
    spread = random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing
    wait: float = limits["backoff"] * 2 ** min(made - 1, 40) * spread
    return time.time() + min(wait, MAX_BACKOFF)


def _update(state: RunState, record: Attempt) -> dict[str, Any]:
    if record["status"] == "ok":
        steps, skipped = state["plan"]["steps"], state.get("skipped", [])
        cursor = next_cursor(steps, skipped, state["cursor"] + 1)
        return {"cursor": cursor, "attempt": 0, "not_before": None, "log": [record]}
    update: dict[str, Any] = {
        "attempt": record["attempt"],
        "not_before": record["retry_at"],
        "log": [record],
    }
    if record["retry_at"] is None:
        assert record["error"] is not None
        update["error"] = run_error("step_failed", record["error"]["message"], step=record["step"])
    return update


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
