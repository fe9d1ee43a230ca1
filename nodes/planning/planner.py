"""Asking models for a plan."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from graph.state import (
    AnswerPolicy,
    PlannedBy,
    Planning,
    PlanningCall,
    RunState,
    answer_wanted,
    limits_of,
    outputs,
)
from graph.state.rounds import abandoned, round_of
from nodes.contract.steps import WithoutSlot, no_slots, run_tools
from nodes.planning.answer import AnswerRejected, PlanAnswer, read_answer
from nodes.planning.budget import add, exceeded, of_this_start, over_time
from nodes.planning.conversation import Conversation
from nodes.planning.model import (
    BudgetExceeded,
    Completion,
    Cost,
    Features,
    Message,
    ModelFailure,
    ModelLadder,
    call_of,
    complexity,
    digest,
    shortened_raw,
)
from nodes.planning.outcomes import (
    ModelAttempt,
    Update,
    budget_exceeded,
    failed,
    first_of,
    gave_up,
    given_over,
    not_affordable,
    planned,
    rejected,
    skipped,
)
from nodes.planning.prompt import MAY_ANSWER, Offer, Offers, repair
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
            seen = replace(self, tools=tools)
            self._seen[version(tools)] = seen
        return seen

    def queue(self, state: RunState) -> list[str]:
        """Which models to ask for the next round of a run: as for its first one."""
        by, choice = state["planned_by"], state.get("choice")
        if choice and choice["model"]:
            return [choice["model"]]
        judged = by["complexity"] if by else None
        score = judged["score"] if judged else self._complexity(state)[0]
        return self.ladder.at(state).queue(score)

    def judge(self, state: RunState) -> tuple[Planning, PlannedBy]:
        """Which models to ask for the task of a run, and why them."""
        prompt, choice = state["prompt"], state.get("choice")
        score, features = self._complexity(state)
        judged = {"score": score, "features": features}
        by = PlannedBy(source="llm", model=None, reason="being planned", complexity=judged)
        chosen = choice["model"] if choice else None
        return first_of(prompt, [chosen] if chosen else self.ladder.at(state).queue(score)), by

    def _complexity(self, state: RunState) -> tuple[float, Features]:
        return complexity(state["prompt"], run_tools(state, self.tools))

    async def ask(self, state: RunState, planning: Planning) -> Update:
        """Ask the first model of the queue, or pass it by; the update that follows from it.

        With a plan, `plan` is set. Otherwise `planning` says what is asked next; where it is null
        and there is no error, the pattern planner is to answer.
        """
        log, ladder = list(state["planning_log"]), self.ladder.at(state)
        if unusable := _unusable(ModelAttempt(state, planning, ladder, log)):
            return unusable
        offer = self._offers.of(state, _answers(planning, log))
        answers = answer_wanted(state, ladder.answer)
        fixed = offer.text + (MAY_ANSWER if answers else "")
        conversation = Conversation(fixed, offer.form, ladder.output, ladder.context, answers)
        asked, left_out = conversation.of(state)
        if planning["reasons"]:
            asked = repair(asked, planning["answer"], planning["reasons"])
        name, owner = planning["queue"][0], state["owner"]
        async with (
            self.without_slot() as paused,
            ladder.slots.slot(name, owner, later=bool(of_this_start(state, log))) as queued,
        ):
            # Waiting for the slot is no time of the model's, nor of the run's own.
            waited: RunState = {**state, "paused": state.get("paused", 0.0) + queued}
            attempt = ModelAttempt(
                waited, planning, ladder, log, queued, left_out, offer.shortlist, digest(asked)
            )
            answer = await self._call(attempt, asked, offer)
            attempt.end()
        update = answer if isinstance(answer, dict) else self._read(attempt, answer, offer)
        if lost := queued + paused.seconds:
            update |= {"paused": state.get("paused", 0.0) + lost}
        return update

    def __post_init__(self) -> None:
        if snapshot(self.tools) is self.tools:  # else it is those of a moment that are told
            assert self._offers  # made with it

    @cached_property
    def _offers(self) -> Offers:
        return Offers(self.tools, self.ladder.instructions, self.ladder.shortlist)

    async def _call(
        self, attempt: ModelAttempt, asked: Sequence[Message], offer: Offer
    ) -> Completion | Update:
        """The model's answer, or the update that follows from there being none."""
        # Not before it has its slot: of many who ask after a pause, one is let through to see.
        if not await attempt.ladder.breaker.allows(attempt.name):
            return _left_alone(attempt)
        deadline, schema = attempt.deadline, offer.form.schema

        async def ask(timeout: float) -> Completion:
            return await attempt.model.complete(asked, schema, timeout=timeout)

        try:
            completion = await charged(attempt, asked, schema, ask, timeout=deadline.deadline)
        except NotAffordable as refusal:
            return not_affordable(attempt, refusal.reason)
        except BudgetExceeded as refusal:
            return budget_exceeded(attempt, refusal)
        except ModelFailure as failure:
            return failed(attempt, failure, deadline)
        attempt.ladder.breaker.succeeded(attempt.name)
        return completion

    def _read(self, attempt: ModelAttempt, completion: Completion, offer: Offer) -> Update:
        usage = {"usage": add(attempt.state["usage"], attempt.name, completion)}
        return usage | self._outcome(attempt, completion, offer)

    def _outcome(self, attempt: ModelAttempt, completion: Completion, offer: Offer) -> Update:
        later = round_of(attempt.planning) > 1
        if completion.refused:
            attempt.note("refused", completion)
            if later:
                return gave_up(attempt, "it refused the request")
            return given_over(attempt, f"{attempt.name} refused the request")
        state = attempt.state
        done = outputs(state).keys() - {*state.get("skipped", [])} if later else ()
        try:
            answer = read_answer(
                completion,
                offer.tools,
                limits_of(state),
                first=len(state["plan"]["steps"]) + 1 if later else 1,
                done=done,
            )
        except AnswerRejected as unfit:
            return rejected(attempt, completion, unfit.reasons, unfit.steps)
        if answer.steps:
            return planned(attempt, completion, answer)
        # A model must not talk a failure into success: without steps it has given up.
        undone = any(step["step"] not in outputs(state) for step in abandoned(state))
        if attempt.planning.get("failure") is None and not undone:
            if answer.then == "look":
                reason = 'then: "look" goes with steps whose results are looked at'
                if offer.shortlist is not None and answer.answer:
                    reason += "; the tools that you asked for are among those above now"
                return rejected(attempt, completion, [reason], [])
            policy = self.ladder.answer
            if answer.then == "done" and (later or _is_answered(state, completion, answer, policy)):
                return planned(attempt, completion, answer)
        attempt.note("empty", completion)
        if later:
            return gave_up(attempt, answer.answer)
        return given_over(attempt, f"{attempt.name} found no fitting tool")


def _is_answered(
    state: RunState, completion: Completion, answer: PlanAnswer, policy: AnswerPolicy
) -> bool:
    """Whether words are all that is wanted, and given: nothing was asked that needs a tool."""
    words = (answer.answer or "").strip()
    # It is read again from the record, which has so much of it.
    whole = shortened_raw(completion.text) == completion.text
    return bool(words) and whole and answer_wanted(state, policy)


def _answers(planning: Planning, log: Sequence[PlanningCall]) -> list[str]:
    """What models have answered of this run: a tool that they ask for, they are told of then."""
    return [planning["answer"], *(entry.get("raw", "") for entry in log)]


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


# One call of a model that is made only while it can be paid for.


class NotAffordable(Exception):
    """The run's own budget does not allow the call; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


#: Makes the call, within so many seconds.
Ask = Callable[[float], Awaitable[Completion]]


async def charged(
    attempt: ModelAttempt,
    asked: Sequence[Message],
    schema: Mapping[str, Any] | None,
    ask: Ask,
    *,
    timeout: float,
) -> Completion:
    """The model's answer, paid for; the most that it can cost is known before it is asked.

    Raises `NotAffordable`, `BudgetExceeded` and `ModelFailure`.
    """
    ladder = attempt.ladder
    if ladder.lacks_key(attempt.name):
        raise ModelFailure("no_api_key", transient=False, misconfigured=True)
    cost: Cost | None = None
    if attempt.state.get("budget") or ladder.budget_guard:
        if reason := over_time(attempt.state):
            raise NotAffordable(reason)
        cost = await attempt.model.max_cost(asked, schema, timeout=timeout)
        if reason := exceeded(attempt.state, cost):
            raise NotAffordable(reason)
        timeout = max(0.0, timeout - attempt.took)
    if cost is None or ladder.budget_guard is None:
        return await ask(timeout)
    call = call_of(attempt.state, attempt.name)
    return await ladder.budget_guard.charge(call, cost, lambda: ask(timeout))
