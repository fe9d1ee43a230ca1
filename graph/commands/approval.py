"""What a person decides: whether a plan is executed, and how a step in doubt has ended.

Each decision is stored first, exactly one for a question, and then carried out. Of a prompt the
plan can be seen ahead: it is planned as a run would be, and then let go.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import uuid4

from langchain_core.runnables import RunnableConfig

from graph.build import RunGraph, recursion_limit
from graph.record.record import Record
from graph.runs.context import Orders, RunContext
from graph.runs.upkeep import Deadlines, expiry
from graph.state import (
    Budget,
    Choice,
    Limits,
    Plan,
    PlannedBy,
    PlannedTool,
    PlanningCall,
    Question,
    ResolvedAs,
    RunError,
    RunState,
    Usage,
    learned_of,
    limits_of,
    marks,
    new_run,
    question_of,
    split,
    whole,
)
from graph.state.rounds import approval_of, asked_about, rounds_of
from graph.state.row import ApprovalAnswer, DoubtAnswer, RunRow
from graph.state.status import Status, WrongStatus, actions
from graph.state.wording import doc
from graph.storage.storage import StorageUnavailable
from nodes.approval.questions import check_left, checked_answer, read_round, tools_of
from nodes.contract.checks import run_tools
from tools.toolbox import Tool

#: So many are made at once; they wait for no slot, as runs do.
PREVIEWS_AT_ONCE = 8


class PlanPreview(Plan):
    """A plan, or the error that a run would end with instead."""

    tools: Annotated[list[PlannedTool], doc("The tools that it uses.")]
    planned_by: Annotated[PlannedBy | None, doc("Who made the plan, and why it was them.")]
    planning_log: Annotated[list[PlanningCall], doc("Every call of a planner, oldest first.")]
    usage: Annotated[Usage, doc("Calls, tokens and price of the planning.")]
    error: Annotated[RunError | None, doc("What a run of this prompt would end with instead.")]


class PlanPreviews:
    """Plans prompts with the planners that runs have, models included; no run is stored."""

    def __init__(
        self, graph: RunGraph, tools: Mapping[str, Tool], limits: Limits, models: int
    ) -> None:
        self._graph = graph.copy({"checkpointer": None})
        self._tools = tools
        self._limits = limits
        limit = recursion_limit(limits, tools.values(), models=models)
        self._config = RunnableConfig(recursion_limit=limit)
        self._slots = asyncio.Semaphore(PREVIEWS_AT_ONCE)

    async def make(
        self, prompt: str, *, owner: str, budget: Budget | None, choice: Choice | None = None
    ) -> PlanPreview:
        """The plan of a prompt, or why there is none."""
        state = new_run(
            prompt,
            run_id=str(uuid4()),
            owner=owner,
            limits=self._limits,
            budget=budget,
            choice=choice,
            created_at=time.time(),
        )
        async with self._slots:
            channels = await self._graph.ainvoke(
                split(state), self._config, interrupt_before=["execute_step", "finalize"]
            )
        planned = whole(channels)
        return PlanPreview(
            steps=planned["plan"]["steps"],
            rounds=rounds_of(planned),
            tools=tools_of(planned["plan"]["steps"], self._tools),
            planned_by=planned["planned_by"],
            planning_log=planned["planning_log"],
            usage=planned["usage"],
            error=planned["error"],
        )


class NotInDoubt(WrongStatus):
    """There is no step of the run to be decided about, or somebody else has decided.

    `decided`: that is what has happened.
    """

    rule = (
        "only one that waits with a step in doubt, about which nobody has decided yet, can be"
        " resolved"
    )

    def __init__(self, run_id: str, status: Status, *, decided: bool = False) -> None:
        super().__init__(run_id, status)
        self.decided = decided


class Resolver:
    """Decisions about steps in doubt: exactly one for each time that it is asked."""

    def __init__(self, context: RunContext, runner: Orders) -> None:
        self._storage = context.storage
        self._reader = context.reader
        self._runner = runner
        self._check_ready = context.check_ready

    async def resolve(
        self, run_id: str, decided: ResolvedAs, output: Any, *, by: str, owner: str | None
    ) -> Record:
        """As `Runs.resolve`."""
        state = await self._reader.admitted(run_id, owner)
        question = question_of(state)
        if question is None:
            raise NotInDoubt(run_id, state["status"])
        kept = checked_answer(state, question["attempt"], decided, output)
        self._check_ready()
        with self._storage.available():
            row = await self._storage.index.find(run_id)
            answer = _answer(question, decided, kept, row, by=by)
            # Shielded from a caller who goes away: a decision that is stored is carried out.
            await asyncio.shield(self._carry_out(state, answer))
        resolved = await self._reader.state(run_id)
        if resolved["status"] == "waiting" and question_of(resolved) == question:
            raise StorageUnavailable
        if not _is_carried_out(answer, resolved):
            raise NotInDoubt(run_id, resolved["status"])  # it was cancelled before it could
        return await self._reader.record(resolved)

    async def _carry_out(self, state: RunState, answer: DoubtAnswer) -> None:
        run_id, question = state["run_id"], question_of(state)
        assert question is not None
        if time.time() >= question["expires_at"]:
            answer = expiry(question["number"])
        generation = state["generation"]
        if not await self._storage.index.resolve(run_id, answer, generation=generation):
            raise NotInDoubt(run_id, state["status"], decided=True)
        await self._runner.decide(run_id)
        if answer["what"] == "expired":
            raise NotInDoubt(run_id, "failed")


def _answer(
    question: Question, decided: ResolvedAs, output: Any, row: RunRow | None, *, by: str
) -> DoubtAnswer:
    return DoubtAnswer(
        {
            "what": "resolved",
            "question": question["number"],
            "as": decided,
            "output": output,
            "at": time.time(),
            "by": by,
            "learned": learned_of(question, row.learned) if row else None,
        }
    )


def _is_carried_out(answer: DoubtAnswer, state: RunState) -> bool:
    """Whether the state of a run has taken over a decision about a step in doubt."""
    given = (answer["what"], answer["at"], answer["by"])
    return any(
        (entry.get("what"), entry.get("at"), entry.get("by")) == given
        for entry in state.get("log", [])
    )


class NotWaiting(WrongStatus):
    """There is nothing to be decided about the run's plan, or somebody else has decided.

    `in_doubt`: it waits with a step to be resolved.
    """

    rule = (
        "only one that is waiting, and about whose plan nobody has decided yet, can be approved or"
        " rejected"
    )

    def __init__(self, run_id: str, status: Status, *, in_doubt: bool = False) -> None:
        super().__init__(run_id, status)
        self.in_doubt = in_doubt


class ApprovalGate:
    """Decisions about plans: each stored first, exactly one for a plan, and then carried out."""

    def __init__(self, context: RunContext, runner: Orders, deadlines: Deadlines) -> None:
        self._storage = context.storage
        self._deadlines = deadlines
        self._tools = context.tools
        self._reader = context.reader
        self._runner = runner
        self._check_ready = context.check_ready

    async def approve(
        self, run_id: str, *, by: str, owner: str | None, plan: object = None, check: bool = False
    ) -> Record:
        """As `Runs.approve`."""
        state = await self._reader.admitted(run_id, owner)
        _check_waiting(state)
        limits, tools = limits_of(state), run_tools(state, self._tools)
        if plan is not None:
            edited = read_round(plan, state, tools, limits)
        else:
            edited = None
            check_left(state, tools, limits)
        if check:
            return await self._reader.record(state)
        approval_answer = ApprovalAnswer(
            what="approved", at=time.time(), by=by, reason=None, plan=edited
        )
        return await self._decide(state, _numbered(approval_answer, state))

    async def reject(
        self, run_id: str, *, by: str, owner: str | None, reason: str | None = None
    ) -> Record:
        """As `Runs.reject`."""
        state = await self._reader.admitted(run_id, owner)
        approval_answer = ApprovalAnswer(
            what="rejected", at=time.time(), by=by, reason=reason, plan=None
        )
        return await self._decide(state, _numbered(approval_answer, state))

    async def _decide(self, state: RunState, approval_answer: ApprovalAnswer) -> Record:
        self._check_ready()
        with self._storage.available():
            # Shielded from a caller who goes away: a decision that is stored is carried out.
            await asyncio.shield(self._carry_out(state, approval_answer))
        decided = await self._reader.state(state["run_id"])
        if decided["status"] == "waiting":
            raise StorageUnavailable
        if not is_carried_out(approval_answer, decided):
            raise NotWaiting(state["run_id"], decided["status"])  # it was cancelled before it could
        return await self._reader.record(decided)

    async def _carry_out(self, state: RunState, approval_answer: ApprovalAnswer) -> None:
        run_id, approval = state["run_id"], approval_of(state)
        _check_waiting(state)
        expired = approval and time.time() >= approval["expires_at"]
        if expired and await self._deadlines.expire(run_id):
            raise NotWaiting(run_id, "cancelled")
        generation = state["generation"]
        if not await self._storage.index.decide(run_id, approval_answer, generation=generation):
            raise NotWaiting(run_id, state["status"])
        await self._runner.decide(run_id)


def _check_waiting(state: RunState) -> None:
    in_doubt = question_of(state) is not None
    if "approve" not in actions(state["status"], in_doubt=in_doubt):
        raise NotWaiting(state["run_id"], state["status"], in_doubt=in_doubt)


def _numbered(approval_answer: ApprovalAnswer, state: RunState) -> ApprovalAnswer:
    """The decision with the number of its question, where that has one."""
    if (question := asked_about(state)) is not None:
        approval_answer["question"] = question
    return approval_answer


def is_carried_out(approval_answer: ApprovalAnswer, state: RunState) -> bool:
    """Whether the state of a run has taken over a decision about its plan."""
    given = (approval_answer["what"], approval_answer["at"], approval_answer["by"])
    return given in [(mark["what"], mark["at"], mark["by"]) for mark in marks(state)]
