"""Deciding what a person was asked: whether a plan is executed, and how a step in doubt has ended.

Each decision is stored first, exactly one for a question, and then carried out. Runs about whose
questions nobody decides in time are ended.
"""

import asyncio
import time
from typing import Any

from graph.record.record import Record
from graph.runs.context import Orders, RunContext
from graph.state import Question, ResolvedAs, RunState, learned_of, limits_of, marks, question_of
from graph.state.rounds import approval_of, asked_about
from graph.state.row import ApprovalAnswer, DoubtAnswer, RunRow
from graph.state.status import Status, WrongStatus, actions
from graph.storage.storage import StorageUnavailable
from nodes.approval.asking import check_left
from nodes.approval.edited_plan import read_round
from nodes.approval.in_doubt import checked_answer
from nodes.contract.steps import run_tools


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


def expiry(question: int) -> DoubtAnswer:
    """The decision about a step in doubt about which nobody has decided in time."""
    return DoubtAnswer(
        {
            "what": "expired",
            "question": question,
            "as": "fail",
            "output": None,
            "at": time.time(),
            "by": "server",
            "learned": None,
        }
    )


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


#: How often it is looked for plans that nobody has decided on, in seconds; sooner where they may
#: wait for minutes only, but never all the time.
SWEEP, SHORTEST_SWEEP = 60.0, 0.05

#: So many of them are ended at a time.
BATCH = 100


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

    def __init__(self, context: RunContext, runner: Orders) -> None:
        self._storage = context.storage
        self._tools = context.tools
        self._reader = context.reader
        self._runner = runner
        self._check_ready = context.check_ready
        self._sweeping: asyncio.Task[None] | None = None

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
        if approval and time.time() >= approval["expires_at"] and await self.expire(run_id):
            raise NotWaiting(run_id, "cancelled")
        generation = state["generation"]
        if not await self._storage.index.decide(run_id, approval_answer, generation=generation):
            raise NotWaiting(run_id, state["status"])
        await self._runner.decide(run_id)

    def start_sweeping(self, expires: float) -> None:
        """Look from now on which plans have expired, in proportion to when they do, in seconds."""
        every = max(SHORTEST_SWEEP, min(SWEEP, expires / 10))
        self._sweeping = asyncio.create_task(self.sweep(every))

    async def stop_sweeping(self) -> None:
        """Let no plan expire any more."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])

    async def sweep(self, every: float = SWEEP) -> None:
        """End the runs about whose plans nobody decides in time, at once and every so many seconds.

        Goes on until it is cancelled.
        """
        while True:
            try:
                while expired := await self._storage.index.expired(time.time(), BATCH):
                    for run_id in expired:
                        await self.expire(run_id)
            except self._storage.errors as error:
                self._storage.faults.tell(error)
            await asyncio.sleep(every)

    async def expire(self, run_id: str) -> bool:
        """End a run about whose plan nobody has decided; whether that is so."""
        index = self._storage.index
        row = await index.find(run_id)
        state = await self._reader.state(run_id) if row and row.question is not None else None
        if row is not None and row.question is not None and state and question_of(state):
            answer = expiry(row.question)
            won = await index.resolve(run_id, answer, generation=row.generation)
        else:
            approval_answer = ApprovalAnswer(
                what="expired", at=time.time(), by="server", reason=None, plan=None
            )
            if row is not None and row.question is not None:
                approval_answer["question"] = row.question
            generation = row.generation if row is not None else 0
            won = await index.decide(run_id, approval_answer, generation=generation)
        if won:
            await self._runner.decide(run_id)
        return won


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
