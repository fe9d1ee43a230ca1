"""Asking models for a plan."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from graph.state import PlannedBy, Planning, RunState
from nodes.planning.budget import add, exceeded, limits_of, seconds_left
from nodes.planning.complexity import complexity
from nodes.planning.model import Completion, Message, ModelFailure
from nodes.planning.outcomes import (
    Turn,
    Update,
    failed,
    first_of,
    given_over,
    no_model_left,
    not_affordable,
    planned,
    rejected,
)
from nodes.planning.prompt import instructions, messages, repair
from nodes.planning.reading import AnswerRejected, read_answer
from nodes.planning.roster import Roster
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
        """Ask the first model of the queue that may be called; the update that follows from it.

        With a plan, `plan` is set. Otherwise `planning` says what is asked next; where it is null
        and there is no error, the pattern planner is to answer.
        """
        turn = _at_callable(Turn(state, planning, self.roster, list(state["planning_log"])))
        if not turn.planning["queue"]:
            return no_model_left(turn)
        asked = messages(state["prompt"], self._instructions)
        if turn.planning["reasons"]:
            asked = repair(asked, turn.planning["answer"], turn.planning["reasons"])
        if state.get("budget"):
            cost = await asyncio.to_thread(turn.model.worst_case, asked, self.form.schema)
            if reason := exceeded(state, cost):
                return not_affordable(turn, reason)
        return await self._call(turn, asked)

    @cached_property
    def _instructions(self) -> str:
        return instructions(self.tools, self.form)

    async def _call(self, turn: Turn, asked: Sequence[Message]) -> Update:
        turn.begin()
        model, breaker, timeout = turn.model, self.roster.breaker, _timeout(turn)
        try:
            completion = await model.complete(asked, self.form.schema, timeout=timeout)
        except ModelFailure as failure:
            if timeout == self.roster.timeout or not failure.transient:
                # A deadline that was cut short says nothing of the model.
                breaker.failed(model.name, failure)
            return failed(turn, failure)
        breaker.succeeded(model.name)
        usage = {"usage": add(turn.state["usage"], model.name, completion)}
        return usage | self._read(turn, completion)

    def _read(self, turn: Turn, completion: Completion) -> Update:
        if completion.refused:
            turn.note("refused", completion)
            return given_over(turn, f"{turn.model.name} refused the request")
        try:
            steps = read_answer(completion, self.tools, limits_of(turn.state))
        except AnswerRejected as unfit:
            return rejected(turn, completion, unfit.reasons)
        if not steps:
            turn.note("empty", completion)
            return given_over(turn, f"{turn.model.name} found no fitting tool")
        return planned(turn, completion, steps)


def _at_callable(turn: Turn) -> Turn:
    """Leave out models that an outage has closed, or that are configured no more; each is noted."""
    while turn.planning["queue"]:
        name = turn.planning["queue"][0]
        if name not in turn.roster.models:
            # The settings have changed since the run was begun.
            turn.note("skipped", error_class="not_configured", transient=False)
        elif _patience(turn) <= 0:
            turn.note("skipped", error_class="out_of_time", transient=True)
        elif not turn.roster.breaker.allows(name):
            passing = not turn.roster.breaker.misconfigured(name)
            turn.note("skipped", error_class="circuit_open", transient=passing)
        else:
            break
        turn = turn.at(first_of(turn.planning["prompt"], turn.planning["queue"][1:]))
    return turn


def _timeout(turn: Turn) -> float:
    left = seconds_left(turn.state)
    patience = min(turn.roster.timeout, _patience(turn))
    return patience if left is None else min(patience, max(left, 0.0))


def _patience(turn: Turn) -> float:
    """What is left of the time that the models of one run may take together, in seconds.

    Twice the longest call: models that hang, however many, delay a run by no more than that. A
    remainder too short for an answer is none.
    """
    spent = sum(entry["duration_ms"] for entry in turn.log if entry["planner"] == "llm") / 1000
    left = 2 * turn.roster.timeout - spent
    return left if left > turn.roster.timeout / 20 else 0.0
