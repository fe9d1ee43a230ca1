"""The tools: what may be done with runs by a client that knows nothing of our HTTP.

They are described as data, so that nothing of the SDK is needed to read them.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from api.mcp.calls import Caller, RunReport, report_of
from api.operations import LONGEST_WAIT
from api.routes.commands import DraftAnswer, DraftCreate, PlanEdit
from api.routes.runs import Cancelled, Posted, post_run, present_cancelled
from api.schemas import Body, RunCreate, Words
from api.views import Run, shape
from graph.commands.approval import PlanPreview
from graph.record.record import Record
from graph.runs.cancellation import AlreadySettled
from graph.runs.watch import RunSubscription
from graph.service import Runs
from graph.state.wording import counted
from graph.storage.storage import StorageUnavailable
from tools.toolbox import Tool

logger = logging.getLogger("runwright.mcp")

T = TypeVar("T")


class RunNamed(Body):
    """A run."""

    run_id: Words = Field(description="The id of the run.")


class GetRun(RunNamed):
    """A run, perhaps once it has ended."""

    wait: float = Field(
        0,
        ge=0,
        le=LONGEST_WAIT,
        allow_inf_nan=False,
        description="How long to wait for its end, in seconds; 0: not at all.",
    )


class ApproveRun(RunNamed):
    """A decision about the plan of a run."""

    decision: Literal["approve", "reject"] = Field(
        description="`approve`: the plan is executed; `reject`: the run ends, nothing more is done."
    )
    reason: Words | None = Field(
        None, max_length=2_000, description="With `reject`: why; it is kept in the record."
    )
    plan: PlanEdit | None = Field(
        None, description="With `approve`: what to execute instead, if anything."
    )

    @model_validator(mode="after")
    def _check_both(self) -> "ApproveRun":
        if self.reason is not None and self.decision == "approve":
            raise PydanticCustomError("decision", "a reason is given with `reject` only")
        if self.plan is not None and self.decision == "reject":
            raise PydanticCustomError("decision", "a plan is given with `approve` only")
        return self


@dataclass(frozen=True)
class Hints:
    """What a client may think of a call; each of them is true."""

    reads_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False


@dataclass(frozen=True)
class RunTool:
    """A tool: what it is told with, and what it does; `takes` and `answers` describe its data."""

    title: str
    description: str
    takes: type[Body]
    answers: type
    hints: Hints
    act: Callable[["Deeds", Caller, Any], Coroutine[Any, Any, Any]]

    async def call(self, deeds: "Deeds", caller: Caller, arguments: Mapping[str, Any]) -> Any:
        """What it answers, as plain data.

        Raises `GivenUp`, and what is in the table of problems.
        """
        answer = await _unless_given_up(caller, self.act(deeds, caller, self._taken(arguments)))
        return shape(self.answers).plain(answer)

    def _taken(self, arguments: Mapping[str, Any]) -> Body:
        try:
            return self.takes.model_validate(dict(arguments))
        except ValidationError as invalid:
            faults = invalid.errors(include_url=False)
            placed = [{**fault, "loc": ("body", *fault["loc"])} for fault in faults]
            raise RequestValidationError(placed) from None


class GivenUp(Exception):
    """The caller does not want the answer any more."""


async def _unless_given_up(caller: Caller, work: Coroutine[Any, Any, T]) -> T:
    """What comes of the work. Raises `GivenUp`."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(caller.call.given_up.wait())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise GivenUp
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def call_own(deeds: "Deeds", caller: Caller, name: str, given: Mapping[str, Any]) -> Any:
    """Call one of the `own_tools` by itself, as a run; what `run` answers, as plain data.

    Raises `GivenUp`, and what is in the table of problems.
    """
    return shape(RunReport).plain(await _unless_given_up(caller, deeds.call(caller, name, given)))


def own_tools(runs: Runs) -> Mapping[str, Tool]:
    """The tools of this process by their names, but for what is called like one of `TOOLS`."""
    return {
        name: tool for name, tool in runs.tools.items() if tool.server is None and name not in TOOLS
    }


class Deeds:
    """What the tools do with the runs of one process."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self._abandoning: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Return when the runs of all who have left are cancelled."""
        while self._abandoning:
            await asyncio.wait(self._abandoning)

    async def run(self, caller: Caller, taken: RunCreate) -> RunReport:
        """Accept a task and wait for its end, or until it asks a person.

        The run is cancelled with the call, unless the call ends since its connection is lost and
        that means nothing, or since this process ends: then it is resumed at the next start.
        """
        return await self._seen_through(
            caller, post_run(self.runs, taken, None, owner=caller.owner, by=caller.by)
        )

    async def call(self, caller: Caller, tool: str, given: Mapping[str, Any]) -> RunReport:
        """Call a tool, as a run of one step; what becomes of it and its caller is as of `run`."""

        async def accept() -> Posted:
            record = await self.runs.call(tool, given, owner=caller.owner, by=caller.by)
            return Posted(record["run_id"], record)

        return await self._seen_through(caller, accept())

    async def _seen_through(
        self, caller: Caller, acceptance: Coroutine[Any, Any, Posted]
    ) -> RunReport:
        accepting = asyncio.create_task(acceptance)
        try:
            posted = await asyncio.shield(accepting)
            try:
                await self._follow(caller, posted.run_id)
                return await self._report(caller, posted.run_id)
            except StorageUnavailable:
                # It is accepted: that its end cannot be read must not make anybody do it again.
                return await self._accepted(caller, posted)
        except asyncio.CancelledError:
            meant = caller.call.attached or caller.call.given_up.is_set()
            if meant and self.runs.ready:
                self._abandon(caller, accepting)
            raise

    async def _follow(self, caller: Caller, run_id: str) -> None:
        """Report how far it is until nothing happens without a person."""
        async with self.runs.watching(run_id, owner=caller.owner) as subscription:
            progress = ProgressReports(subscription)
            over = False
            while not over:
                # Before the news are read: what happens while one is sent is read once more.
                over = subscription.settled_or_waiting or subscription.closed
                for done, of, words in progress.news():
                    await caller.report(done, of, words)
                if not over:
                    await subscription.after(progress.events)

    async def _report(self, caller: Caller, run_id: str) -> RunReport:
        return self._reported(caller, await self.runs.get(run_id, owner=caller.owner))

    def _reported(self, caller: Caller, record: Record) -> RunReport:
        return report_of(record, base_url=caller.base_url, stopping=not self.runs.ready)

    def _abandon(self, caller: Caller, accepting: asyncio.Task[Posted]) -> None:
        abandoning = asyncio.create_task(self._cancel_accepted(caller, accepting))
        self._abandoning.add(abandoning)
        abandoning.add_done_callback(self._abandoning.discard)

    async def _cancel_accepted(self, caller: Caller, accepting: asyncio.Task[Posted]) -> None:
        try:
            run_id = (await accepting).run_id
            await self.runs.cancel(run_id, by=caller.by, owner=caller.owner)
        except AlreadySettled:
            pass
        except Exception:  # there is nobody left to tell
            logger.warning("a run whose caller has left is not cancelled", exc_info=True)

    async def start_run(self, caller: Caller, taken: RunCreate) -> RunReport:
        """Accept a task, which continues whatever becomes of its caller."""
        posted = await post_run(self.runs, taken, None, owner=caller.owner, by=caller.by)
        return await self._accepted(caller, posted)

    async def _accepted(self, caller: Caller, posted: Posted) -> RunReport:
        if posted.record is None:
            return await self._report(caller, posted.run_id)
        return self._reported(caller, posted.record)

    async def get_run(self, caller: Caller, taken: GetRun) -> RunReport:
        """How a run stands now, or once it has ended."""
        if not taken.wait:
            return await self._report(caller, taken.run_id)
        record = await self.runs.wait(taken.run_id, taken.wait, owner=caller.owner)
        return self._reported(caller, record)

    async def cancel_run(self, caller: Caller, taken: RunNamed) -> dict[str, Any]:
        """Cancel a run; what was done and what was not."""
        record = await self.runs.cancel(taken.run_id, by=caller.by, owner=caller.owner)
        return present_cancelled(record)

    async def approve_run(self, caller: Caller, taken: ApproveRun) -> RunReport:
        """Tell what a person has decided about the plan of a run."""
        who: dict[str, Any] = {"by": caller.by, "owner": caller.owner}
        if taken.decision == "reject":
            record = await self.runs.reject(taken.run_id, reason=taken.reason, **who)
        else:
            plan = taken.plan and taken.plan.model_dump()
            record = await self.runs.approve(taken.run_id, plan=plan, **who)
        return self._reported(caller, record)

    async def plan(self, caller: Caller, taken: DraftCreate) -> PlanPreview:
        """A checked plan, of which nothing is executed."""
        return await self.runs.preview(
            taken.prompt, owner=caller.owner, budget=taken.plain_budget(), options=taken.options()
        )

    async def record(self, caller: Caller, run_id: str) -> bytes:
        """The whole record of a run, as JSON."""
        return shape(Run).json(await self.runs.get(run_id, owner=caller.owner))


class ProgressReports:
    """How far a run is, as its caller has been told; `events` of it are looked at."""

    def __init__(self, subscription: RunSubscription) -> None:
        self.events = 0
        self._subscription = subscription
        self._done = -1

    def news(self) -> Iterator[tuple[float, float | None, str]]:
        """What is to be told since: the plan once, and each step that is done."""
        events, state = self._subscription.events[self.events :], self._subscription.state
        self.events += len(events)
        of = len(state["plan"]["steps"]) if state else None
        for event in events:
            if event["type"] == "plan.made" and self._done < 0:
                self._done = 0
                yield 0, of, f"planned {counted(len(event['data']['steps']), 'step')}"
            elif event["type"] == "step.completed":
                self._done = max(self._done, 0) + 1
                yield self._done, of, f"step {event['step']} is done: {event['data']['tool']}"


_NEW = Hints(destructive=True, open_world=True)

#: Every tool, by its name.
TOOLS: Mapping[str, RunTool] = {
    "run": RunTool(
        "Run a task",
        "Do a task that is given in plain words: it is planned as calls of this server's tools, "
        "which are executed step by step and recorded. Answers when the task has ended, or when a "
        "person has to approve its plan. Cancelling the call cancels the run.",
        RunCreate,
        RunReport,
        _NEW,
        Deeds.run,
    ),
    "start_run": RunTool(
        "Start a task",
        "Begin a task as `run` does, and answer at once with its run_id. It goes on when the "
        "client leaves; get_run tells how it stands.",
        RunCreate,
        RunReport,
        _NEW,
        Deeds.start_run,
    ),
    "get_run": RunTool(
        "Read a run",
        "How a run stands: its status, result or error, and what it waits for. With `wait` it "
        "answers when the run has ended, or asks a person.",
        GetRun,
        RunReport,
        Hints(reads_only=True),
        Deeds.get_run,
    ),
    "cancel_run": RunTool(
        "Cancel a run",
        "Cancel a run wherever it is. What was done stays done; the answer tells what that is.",
        RunNamed,
        Cancelled,
        Hints(destructive=True, idempotent=True),
        Deeds.cancel_run,
    ),
    "approve_run": RunTool(
        "Decide about a plan",
        "Approve or reject the plan that a run waits with. Only a person decides about that: ask "
        "the one whom you work for, and tell what they said.",
        ApproveRun,
        RunReport,
        _NEW,
        Deeds.approve_run,
    ),
    "plan": RunTool(
        "Plan a task",
        "The plan that `run` would make of a task. Nothing is executed.",
        DraftCreate,
        DraftAnswer,
        Hints(reads_only=True, open_world=True),
        Deeds.plan,
    ),
}
