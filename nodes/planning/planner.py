"""Asking models for a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from graph.state import PlannedBy, Planning, RunState
from nodes.contract.steps import WithoutSlot, no_slots
from nodes.planning.budget import add, exceeded, limits_of, of_this_start, over_time
from nodes.planning.complexity import complexity
from nodes.planning.model import (
    BudgetExceeded,
    Completion,
    Cost,
    Message,
    ModelFailure,
    ModelLadder,
    call_of,
)
from nodes.planning.outcomes import (
    ModelAttempt,
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
from nodes.planning.schema import AnswerForm, answer_form
from tools.registry import Tool
from tools.toolbox import arrived, snapshot, to_come, version

#: How many sets of tools are remembered as models are told them.
MOST_SEEN = 8


@dataclass(frozen=True)
class ModelPlanner:
    """Asks the models of a ladder for plans over some tools, one call at a time.

    The run that waits for one does so `without_slot`.
    """

    ladder: ModelLadder
    tools: Mapping[str, Tool]
    form: AnswerForm
    without_slot: WithoutSlot = no_slots
    _seen: "dict[str, ModelPlanner]" = field(default_factory=dict, compare=False, repr=False)

    async def of(self, owner: str) -> "ModelPlanner":
        """The planner over the tools that this owner has now, which do not change under it."""
        if to_come(self.tools):
            async with self.without_slot():
                await arrived(self.tools)
        tools = snapshot(self.tools, owner)
        if tools is self.tools:
            return self
        if (seen := self._seen.get(version(tools))) is None:
            if len(self._seen) >= MOST_SEEN:
                self._seen.pop(next(iter(self._seen)))
            seen = replace(self, tools=tools, form=answer_form(tools))
            self._seen[version(tools)] = seen
        return seen

    def judge(self, prompt: str) -> tuple[Planning, PlannedBy]:
        """Which models to ask for this task, and why them."""
        score, features = complexity(prompt, self.tools)
        judged = {"score": score, "features": features}
        by = PlannedBy(source="llm", model=None, reason="being planned", complexity=judged)
        return first_of(prompt, self.ladder.queue(score)), by

    async def ask(self, state: RunState, planning: Planning) -> Update:
        """Ask the first model of the queue, or pass it by; the update that follows from it.

        With a plan, `plan` is set. Otherwise `planning` says what is asked next; where it is null
        and there is no error, the pattern planner is to answer.
        """
        log = list(state["planning_log"])
        if unusable := _unusable(ModelAttempt(state, planning, self.ladder, log)):
            return unusable
        asked = messages(state["prompt"], self._instructions)
        if planning["reasons"]:
            asked = repair(asked, planning["answer"], planning["reasons"])
        name, owner = planning["queue"][0], state["owner"]
        async with (
            self.without_slot() as paused,
            self.ladder.turns.turn(name, owner, later=bool(of_this_start(state, log))) as queued,
        ):
            # Waiting for the turn is no time of the model's, nor of the run's own.
            waited: RunState = {**state, "paused": state.get("paused", 0.0) + queued}
            attempt = ModelAttempt(waited, planning, self.ladder, log, queued)
            answer = await self._call(attempt, asked)
            attempt.end()
        update = answer if isinstance(answer, dict) else self._read(attempt, answer)
        if lost := queued + paused.seconds:
            update |= {"paused": state.get("paused", 0.0) + lost}
        return update

    @cached_property
    def _instructions(self) -> str:
        return instructions(self.tools, self.form)

    async def _call(self, attempt: ModelAttempt, asked: Sequence[Message]) -> Completion | Update:
        """The model's answer, or the update that follows from there being none."""
        # Not before its turn: of many who ask after a pause, one is let through to see.
        if not self.ladder.breaker.allows(attempt.name):
            return _left_alone(attempt)
        deadline = attempt.deadline
        timeout = deadline.deadline
        try:
            cost: Cost | None = None
            if self.ladder.lacks_key(attempt.name):
                raise ModelFailure("no_api_key", transient=False, misconfigured=True)
            if attempt.state.get("budget") or self.ladder.budget_guard:
                if reason := over_time(attempt.state):
                    return not_affordable(attempt, reason)
                cost = await attempt.model.max_cost(asked, self.form.schema, timeout=timeout)
                if reason := exceeded(attempt.state, cost):
                    return not_affordable(attempt, reason)
                timeout = max(0.0, timeout - attempt.took)
            completion = await self._charged(attempt, asked, cost, timeout)
        except BudgetExceeded as refusal:
            return budget_exceeded(attempt, refusal)
        except ModelFailure as failure:
            return failed(attempt, failure, deadline)
        self.ladder.breaker.succeeded(attempt.name)
        return completion

    async def _charged(
        self, attempt: ModelAttempt, asked: Sequence[Message], cost: Cost | None, timeout: float
    ) -> Completion:
        """The model's answer, paid for where there is a budget guard. Raises `BudgetExceeded`."""

        async def ask() -> Completion:
            return await attempt.model.complete(asked, self.form.schema, timeout=timeout)

        if cost is None or self.ladder.budget_guard is None:
            return await ask()
        call = call_of(attempt.state, attempt.name)
        return await self.ladder.budget_guard.charge(call, cost, ask)

    def _read(self, attempt: ModelAttempt, completion: Completion) -> Update:
        usage = {"usage": add(attempt.state["usage"], attempt.name, completion)}
        return usage | self._outcome(attempt, completion)

    def _outcome(self, attempt: ModelAttempt, completion: Completion) -> Update:
        if completion.refused:
            attempt.note("refused", completion)
            return given_over(attempt, f"{attempt.name} refused the request")
        try:
            steps = read_answer(completion, self.tools, limits_of(attempt.state))
        except AnswerRejected as unfit:
            return rejected(attempt, completion, unfit.reasons, unfit.steps)
        if not steps:
            attempt.note("empty", completion)
            return given_over(attempt, f"{attempt.name} found no fitting tool")
        return planned(attempt, completion, steps)


def _unusable(attempt: ModelAttempt) -> Update | None:
    """Pass a model by that cannot be asked now; None for one that can."""
    name, breaker = attempt.name, attempt.ladder.breaker
    if name not in attempt.ladder.models:
        # The settings have changed since the run was begun.
        return skipped(attempt, "not_configured", transient=False)
    if attempt.deadline.is_over:
        return skipped(attempt, "out_of_time", transient=True)
    if breaker.holds_back(name):
        return _left_alone(attempt)
    return None


def _left_alone(attempt: ModelAttempt) -> Update:
    lasts = attempt.ladder.breaker.misconfigured(attempt.name)
    return skipped(attempt, "circuit_open", transient=not lasts)
