"""Deciding about steps that may have acted: each decision is stored first, then carried out."""

import asyncio
import time
from typing import Any

from graph.record.record import Record
from graph.runs.accept import Acceptance
from graph.runs.context import RunContext
from graph.runs.fleet import Orders
from graph.state import Question, ResolvedAs, RunState, learned_of, question_of
from graph.state.row import DoubtAnswer, RunRow
from graph.state.status import Status, WrongStatus
from graph.storage.storage import StorageUnavailable
from nodes.approval.in_doubt import checked_answer


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

    def __init__(self, context: RunContext, runner: Orders, acceptance: Acceptance) -> None:
        self._storage = context.storage
        self._reader = context.reader
        self._runner = runner
        self._acceptance = acceptance

    async def resolve(
        self, run_id: str, decided: ResolvedAs, output: Any, *, by: str, owner: str | None
    ) -> Record:
        """As `Runs.resolve`."""
        state = await self._reader.admitted(run_id, owner)
        question = question_of(state)
        if question is None:
            raise NotInDoubt(run_id, state["status"])
        kept = checked_answer(state, question["attempt"], decided, output)
        self._acceptance.check()
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
