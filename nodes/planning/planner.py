"""Asking models for a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from graph.state import PlannedBy, Planning, RunState
from nodes.planning.budget import add, exceeded, limits_of, over_time
from nodes.planning.complexity import complexity
from nodes.planning.model import (
    BudgetExceeded,
    Completion,
    Cost,
    Message,
    ModelFailure,
    Roster,
    call_of,
)
from nodes.planning.outcomes import (
    Turn,
    Update,
    budget_exceeded,
    failed,
    first_of,
    given_over,
    not_affordable,
    planned,
    rejected,
    skipped,
)
from nodes.planning.prompt import instructions, messages, repair
from nodes.planning.reading import AnswerRejected, read_answer
from nodes.planning.schema import AnswerForm
from tools.registry import Tool


@dataclass(frozen=True)
class ModelPlanner:
    """Asks the models of a roster for plans over some tools, one call at a time."""

    roster: Roster
    tools: Mapping[str, Tool]
    form: AnswerForm

    def judge(self, prompt: str) -> tuple[Planning, PlannedBy]:
        """Which models to ask for this task, and why them."""
        score, features = complexity(prompt, self.tools)
        judged = {"score": score, "features": features}
        by = PlannedBy(source="llm", model=None, reason="being planned", complexity=judged)
        return first_of(prompt, self.roster.queue(score)), by

    async def ask(self, state: RunState, planning: Planning) -> Update:
        """Ask the first model of the queue, or pass it by; the update that follows from it.

        With a plan, `plan` is set. Otherwise `planning` says what is asked next; where it is null
        and there is no error, the pattern planner is to answer.
        """
        turn = Turn(state, planning, self.roster, list(state["planning_log"]))
        if unusable := _unusable(turn):
            return unusable
        asked = messages(state["prompt"], self._instructions)
        if planning["reasons"]:
            asked = repair(asked, planning["answer"], planning["reasons"])
        return await self._call(turn, asked)

    @cached_property
    def _instructions(self) -> str:
        return instructions(self.tools, self.form)

    async def _call(self, turn: Turn, asked: Sequence[Message]) -> Update:
        patience = turn.patience
        timeout = patience.deadline
        try:
            cost: Cost | None = None
            if turn.state.get("budget") or self.roster.budget_guard:
                if reason := over_time(turn.state):
                    return not_affordable(turn, reason)
                cost = await turn.model.worst_case(asked, self.form.schema, timeout=timeout)
                if reason := exceeded(turn.state, cost):
                    return not_affordable(turn, reason)
                timeout = max(0.0, timeout - turn.took)
            completion = await self._charged(turn, asked, cost, timeout)
        except BudgetExceeded as refusal:
            return budget_exceeded(turn, refusal)
        except ModelFailure as failure:
            return failed(turn, failure, patience)
        self.roster.breaker.succeeded(turn.name)
        usage = {"usage": add(turn.state["usage"], turn.name, completion)}
        return usage | self._read(turn, completion)

    async def _charged(
        self, turn: Turn, asked: Sequence[Message], cost: Cost | None, timeout: float
    ) -> Completion:
        """The model's answer, paid for where there is a budget guard. Raises `BudgetExceeded`."""

        async def ask(timeout: float) -> Completion:
            return await turn.model.complete(asked, self.form.schema, timeout=timeout)

        if cost is None or self.roster.budget_guard is None:
            return await ask(timeout)
        call = call_of(turn.state, turn.name)
        return await self.roster.budget_guard.charge(call, cost, ask, timeout=timeout)

    def _read(self, turn: Turn, completion: Completion) -> Update:
        if completion.refused:
            turn.note("refused", completion)
            return given_over(turn, f"{turn.name} refused the request")
        try:
            steps = read_answer(completion, self.tools, limits_of(turn.state))
        except AnswerRejected as unfit:
            return rejected(turn, completion, unfit.reasons, unfit.steps)
        if not steps:
            turn.note("empty", completion)
            return given_over(turn, f"{turn.name} found no fitting tool")
        return planned(turn, completion, steps)


def _unusable(turn: Turn) -> Update | None:
    """Pass a model by that cannot be asked now; None for one that can."""
    name, breaker = turn.name, turn.roster.breaker
    if name not in turn.roster.models:
        # The settings have changed since the run was begun.
        return skipped(turn, "not_configured", transient=False)
    if turn.patience.is_over:
        return skipped(turn, "out_of_time", transient=True)
    if not breaker.allows(name):
        return skipped(turn, "circuit_open", transient=not breaker.misconfigured(name))
    return None
