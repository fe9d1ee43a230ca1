"""Retrying a settled run: what may be asked for, what is stored, and what is then to be done."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graph.record.generations import checked_traceparent, first_cursor, retried_plan, trace_id_of
from graph.record.record import Record
from graph.runs.accept import CALLER_TRACE, Acceptance
from graph.runs.context import Orders, RunContext
from graph.runs.live import LiveRun
from graph.runs.recovery import after_retry, resume, thread
from graph.runs.threads import ThreadBusy
from graph.state import RunState, outputs, without_wait
from graph.state.rounds import dropped, is_called, rounds_of, then_of
from graph.state.row import RetryCommand
from graph.state.status import WrongStatus, may_become
from graph.storage.storage import StorageUnavailable
from nodes.approval.asking import EXPIRES, required_approval
from nodes.contract.checks import check_plan, missed, run_tools
from nodes.contract.steps import InvalidOutput, plain
from tools.toolbox import Tool


class NotRetryable(WrongStatus):
    """The run is neither failed nor cancelled, so that there is nothing to retry."""

    rule = "only one that failed or was cancelled can be retried"


class NotPlanned(Exception):
    """The run has no plan, and a retry was to say something about its steps by `field`."""

    def __init__(self, run_id: str, field: str) -> None:
        super().__init__(f"run {run_id} has no plan; leave {field} out")
        self.run_id = run_id
        self.field = field


class RetryRejected(Exception):
    """A retry that the run's plan does not allow; `reasons` say what would be right."""

    def __init__(self, field: str, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.field = field
        self.reasons = list(reasons)


@dataclass(frozen=True)
class RetryRequest:
    """What a person asks for; None is what suits the run.

    `from_step`: the step to begin with, by default the one at which the run stopped. `input`: an
    edited input of that step. `skip`: the steps to leave out; by default those left out before.
    `replan`: a model is to plan anew, instead of the rounds after that of `from_step`, or without
    `from_step` instead of all that is left. `alone`: it is refused while another run of the thread
    has not ended.
    """

    from_step: int | None = None
    input: dict[str, Any] | None = None
    skip: tuple[int, ...] | None = None
    replan: bool = False
    alone: bool = False


def command_of(
    state: RunState,
    request: RetryRequest,
    tools: Mapping[str, Tool],
    *,
    by: str,
    expires: float = EXPIRES,
    models: bool = True,
) -> RetryCommand:
    """The command to retry a settled run, which asks first about a plan that nobody has approved.

    `expires` is how long it then waits, in seconds; `models` says whether there are any to plan
    anew. Raises `NotPlanned` and `RetryRejected`.
    """
    if request.replan and not models:
        reason = "a model is to plan anew, and none is configured; leave replan out"
        raise RetryRejected("replan", [reason])
    if request.replan and is_called(state):
        reason = "the run is the call of a tool, which no model plans anew; leave replan out"
        raise RetryRejected("replan", [reason])
    steps = state["plan"]["steps"]
    if not steps:
        _check_unplanned(state, request)
    from_step = _from_step(state, request) if steps else None
    instead = _instead(state, request, from_step) if from_step else []
    command = RetryCommand(
        from_step=from_step,
        input=_kept(request.input, state),
        skip=sorted({*_skip(state, request, from_step), *instead}) if from_step else [],
        generation=state["generation"] + 1,
        by=by,
        at=time.time(),
    )
    if traceparent := checked_traceparent(CALLER_TRACE.get()):
        command["traceparent"] = traceparent
    if from_step:
        if request.replan:
            command["replan"] = instead
        _check(state, command, tools)
        plan = retried_plan(state, command)
        cursor = first_cursor(plan["steps"], command)
        if cursor < len(plan["steps"]) and (
            approval := required_approval(state, plan, tools, expires, cursor=cursor)
        ):
            command["asks"] = approval
    return command


def _from_step(state: RunState, request: RetryRequest) -> int:
    stopped, steps = state["cursor"] + 1, len(state["plan"]["steps"])
    from_step = stopped if request.from_step is None else request.from_step
    if from_step != stopped and not 1 <= from_step <= min(stopped, steps):
        reason = f"the run stopped at step {stopped}; begin with that step or an earlier one"
        raise RetryRejected("from_step", [f"{reason}, and leave steps out by `skip`"])
    if from_step in dropped(state):
        reason = f"step {from_step} was dropped, and others were made instead of it"
        raise RetryRejected("from_step", [f"{reason}; begin with one of these or an earlier one"])
    if request.input is not None and from_step > steps:
        raise RetryRejected("input", ["every step is done; say by from_step which one to do again"])
    return from_step


def _instead(state: RunState, request: RetryRequest, from_step: int) -> list[int]:
    """The steps that are dropped, since a model is to plan anew instead of them."""
    if not request.replan:
        return []
    begin = from_step
    if request.from_step is not None:  # which is executed again, with the rest of its round
        lasts = [entry["last"] for entry in rounds_of(state) if entry["last"] >= from_step]
        begin = min(lasts, default=from_step) + 1
    elif request.input is not None:
        reason = f"step {from_step} is dropped; say by from_step that it is to be done again"
        raise RetryRejected("input", [reason])
    gone = dropped(state)
    numbers = range(begin, len(state["plan"]["steps"]) + 1)
    return [number for number in numbers if number not in gone]


def _check_unplanned(state: RunState, request: RetryRequest) -> None:
    """Raises `NotPlanned` where something about its steps is asked of a run that has none."""
    asked = {"from_step": request.from_step, "input": request.input, "skip": request.skip}
    for field, value in asked.items():
        if value is not None:
            raise NotPlanned(state["run_id"], field)


def _kept(value: dict[str, Any] | None, state: RunState) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        kept: dict[str, Any] = plain(value, max_bytes=state["limits"]["max_output"], what="input")
    except InvalidOutput as error:
        raise RetryRejected("input", [str(error)]) from None
    return kept


def _skip(state: RunState, request: RetryRequest, from_step: int) -> list[int]:
    """The steps left out from now on: those before stay as they were."""
    before = {step for step in state.get("skipped", []) if step < from_step} | dropped(state)
    if request.skip is None:
        named = set() if request.from_step is None else {from_step}
        return sorted({*state.get("skipped", [])} - named | before)
    steps = len(state["plan"]["steps"])
    for step in request.skip:
        if not from_step <= step <= steps:
            within = f"{from_step} to {steps}" if from_step <= steps else "none"
            reason = f"step {step} cannot be left out; steps that can be: {within}"
            raise RetryRejected("skip", [reason])
    if request.input is not None and from_step in request.skip:
        reason = f"step {from_step} is given an edited input and left out; ask for one of the two"
        raise RetryRejected("skip", [reason])
    return sorted(before | {*request.skip})


def _check(state: RunState, command: RetryCommand, tools: Mapping[str, Tool]) -> None:
    """Raises `RetryRejected` for a plan that must not be executed."""
    plan = retried_plan(state, command)
    steps = plan["steps"]
    allowed = run_tools(state, tools)
    if command["input"] is not None and (reasons := check_plan(steps, allowed, state["limits"])):
        raise RetryRejected("input", reasons)
    cursor = first_cursor(steps, command)
    if reasons := missed(steps, command["skip"], cursor):
        raise RetryRejected("skip", list(dict.fromkeys(reasons)))
    left = outputs(state).keys() - {*command["skip"]}
    if cursor >= len(steps) and not left and then_of({**state, "plan": plan}) != "look":
        raise RetryRejected("skip", ["nothing of the run would be left; keep at least one step"])


logger = logging.getLogger("runwright.runs")

#: How long the end of what executes a run is waited for, in seconds.
END_TIMEOUT = 1.0


class NoBackoff(WrongStatus):
    """The run does not wait for another attempt."""

    rule = "only one that waits for its next attempt can be told not to wait"


class Retrier:
    """Lets runs go on: what is asked for is on disk before anything is done about it."""

    def __init__(
        self,
        context: RunContext,
        runner: Orders,
        acceptance: Acceptance,
        *,
        approval_expires: float,
        models: bool,
    ) -> None:
        self._context = context
        self._models = models
        self._reader = context.reader
        self._runner = runner
        self._acceptance = acceptance
        self._approval_expires = approval_expires

    async def retry(
        self, run_id: str, request: RetryRequest, *, by: str, owner: str | None
    ) -> Record:
        """As `Runs.retry`."""
        await self._reader.admit(run_id, owner)
        # Shielded from a caller who goes away: what is stored is executed.
        return await asyncio.shield(self._retry(run_id, request, by=by))

    async def _retry(self, run_id: str, request: RetryRequest, *, by: str) -> Record:
        live = self._context.live.of(run_id)
        try:
            # One after the other, so that the second is judged by what the first has made of it.
            async with live.lock:
                state = await self._reader.state(run_id)
                if not may_become(state["status"], "pending"):
                    raise NotRetryable(run_id, state["status"])
                self._context.check_ready()
                command = command_of(
                    state,
                    request,
                    self._context.tools,
                    by=by,
                    expires=self._approval_expires,
                    models=self._models,
                )
                await self._acceptance.admit_retry(state)
                # As it was retried: by now it may be executing, or over.
                retried = await self._apply(live, state, command, alone=request.alone)
                return await self._reader.record(retried)
        finally:
            self._context.live.release(live)

    async def _apply(
        self, live: LiveRun, state: RunState, command: RetryCommand, *, alone: bool
    ) -> RunState:
        if self._context.storage.fleet is not None:
            return await self._order(state, command, alone=alone)
        thread_id = state.get("thread_id", live.run_id)
        run_id, context, index = live.run_id, self._context, self._context.storage.index
        # What has settled it may be about to tell the index so; two may not write its checkpoints.
        if not await context.executor.ended(live, timeout=END_TIMEOUT):
            raise StorageUnavailable
        with context.executor.place(), context.storage.available():
            await self._store(run_id, command, alone=alone)
            context.settled.drop(run_id)
            live.reason = "retried"
            try:
                found = await index.find(run_id)
                assert found is not None
                resumed = await resume(context.graph, found, thread(run_id))
                about = {"run_id": run_id, "trace_id": trace_id_of(resumed.state)}
                logger.info("run retried", extra=about)
                context.broadcaster.publish(resumed.state)
            except BaseException:  # the command is stored, and carried out all the same
                context.thread_queues.park(live, state["owner"], thread_id)
                context.thread_queues.pass_on(thread_id)
                raise
            await context.thread_queues.enqueue(live, state["owner"], thread_id)
            return resumed.state

    async def _store(self, run_id: str, command: RetryCommand, *, alone: bool) -> None:
        """Store the command, durably. Raises `NotRetryable`, `ThreadBusy` and the storage's own."""
        context, index = self._context, self._context.storage.index
        row = await index.find(run_id) if alone else None
        if await index.request_retry(run_id, command, alone=row):
            return
        if row and (head := await context.storage.threads.head(row.thread)):
            raise ThreadBusy(head.run_id, head.status)
        raise NotRetryable(run_id, (await context.reader.state(run_id))["status"])

    async def _order(self, state: RunState, command: RetryCommand, *, alone: bool) -> RunState:
        """Store the command, which whichever process has room carries out; the state after it."""
        context, run_id = self._context, state["run_id"]
        with context.executor.place(), context.storage.available():
            await self._store(run_id, command, alone=alone)
        retried = after_retry(state, command)
        about = {"run_id": run_id, "trace_id": trace_id_of(retried)}
        logger.info("run retried", extra=about)
        context.broadcaster.publish(retried)
        return retried

    async def retry_now(self, run_id: str, *, owner: str | None) -> Record:
        """As `Runs.retry_now`."""
        state = await self._reader.admitted(run_id, owner)
        if not await self._runner.hurry(run_id):
            raise NoBackoff(run_id, state["status"])
        return await self._reader.record(without_wait(await self._reader.state(run_id)))
