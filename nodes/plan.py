"""The node `plan`: begins a run and asks a model for a plan, one call at each visit.

`ModelPlanner` makes the call, over the tools that the run's owner has at that moment.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from langgraph.types import Overwrite

from graph.state import (
    AnswerPolicy,
    Approve,
    Limits,
    PlannedBy,
    Planning,
    PlanningCall,
    RunState,
    answer_wanted,
    limits_of,
    new_run,
    outputs,
    run_error,
)
from graph.state.rounds import abandoned, round_of
from nodes.approval.asking import ApprovalGate
from nodes.contract.checks import run_tools
from nodes.contract.steps import UNSTORABLE, Wait, WithoutSlot, no_slots, sleep_until
from nodes.planning.answer import AnswerRejected, PlanAnswer, read_answer
from nodes.planning.model import (
    BudgetExceeded,
    Completion,
    Features,
    Message,
    ModelFailure,
    ModelLadder,
    complexity,
    digest,
    shortened_raw,
)
from nodes.planning.model_attempt import (
    ModelAttempt,
    NotAffordable,
    add,
    charged,
    first_of,
    most,
    of_this_start,
)
from nodes.planning.outcomes import (
    Update,
    budget_exceeded,
    failed,
    gave_up,
    given_over,
    incomplete,
    not_affordable,
    planned,
    rejected,
    skipped,
)
from tools.toolbox import Tool, arrived, snapshot, to_come, version

if TYPE_CHECKING:
    from nodes.planning.prompt import Offer, Offers

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
        from nodes.planning.conversation import Conversation
        from nodes.planning.prompt import MAY_ANSWER, repair

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
        # What it says is loaded with it, before the first run: without models it is not there.
        from nodes.planning import conversation  # noqa: F401

        if snapshot(self.tools) is self.tools:  # else it is those of a moment that are told
            assert self._offers  # made with it

    @cached_property
    def _offers(self) -> "Offers":
        from nodes.planning.prompt import Offers

        return Offers(self.tools, self.ladder.instructions, self.ladder.shortlist)

    async def _call(
        self, attempt: ModelAttempt, asked: Sequence[Message], offer: "Offer"
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

    def _read(self, attempt: ModelAttempt, completion: Completion, offer: "Offer") -> Update:
        usage = {"usage": add(attempt.state["usage"], attempt.name, completion)}
        return usage | self._outcome(attempt, completion, offer)

    def _outcome(self, attempt: ModelAttempt, completion: Completion, offer: "Offer") -> Update:
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


# The node itself.


async def plan(
    state: RunState,
    *,
    limits: Limits,
    models: ModelPlanner | None = None,
    wait: Wait = sleep_until,
    asking: ApprovalGate | None = None,
) -> dict[str, Any]:
    """Start the run, or go on where the planning of its first or a later round stands.

    The beginning and every call, repair and next model are visits of their own, so that each is
    checkpointed and can be seen; without models the pattern planner is to answer at once.
    """
    if models is not None:
        models = await models.of(state.get("owner", "default"))
    planning = state.get("planning")
    if planning and planning["prompt"] == state["prompt"]:
        return await _continue(models, state, planning, wait, asking)
    update = begin(state, limits, asking.default if asking else "never")
    begun = cast("RunState", {**state, **update})
    if reason := prompt_error(begun["prompt"], begun["limits"]["max_prompt"]):
        # What is no text does not stay where others read it as one.
        kept = begun["prompt"] if isinstance(begun["prompt"], str) else ""
        return update | {"prompt": kept, "error": run_error("plan_rejected", reason)}
    if models is None:
        return update | _by_patterns()
    # The first call is a visit of its own, so that the run is seen to be running meanwhile.
    planning, by = models.judge(begun)
    return update | {"planning": planning, "planned_by": by}


async def _continue(
    models: ModelPlanner | None,
    state: RunState,
    planning: Planning,
    wait: Wait,
    asking: ApprovalGate | None,
) -> dict[str, Any]:
    """The update of the next call of a model, once it is due."""
    if models is None:  # the settings have changed since the run was begun
        return _by_patterns() if round_of(planning) == 1 else _without_models(state)
    if not planning["queue"]:  # begun where nobody knew the models
        return {"planning": {**planning, "queue": models.queue(state)}}
    if planning["not_before"] is None:
        return await _ask(models, state, planning, asking)
    # Clamped, since a clock that was set back would make it wait by as much longer.
    moment = min(planning["not_before"], time.time() + most(models.ladder.timeout))
    paused = state.get("paused", 0.0) + await wait(moment)
    state = {**state, "paused": paused}
    return {"paused": paused} | await _ask(models, state, planning, asking)


async def _ask(
    models: ModelPlanner, state: RunState, planning: Planning, asking: ApprovalGate | None
) -> dict[str, Any]:
    update = await models.ask(state, planning)
    return asking.about(state, update) if asking else update


def _by_patterns() -> dict[str, Any]:
    by = PlannedBy(source="pattern", model=None, reason="no model is configured", complexity=None)
    return {"planning": None, "planned_by": by}


def _without_models(state: RunState) -> dict[str, Any]:
    """The pattern planner never answers after a step was executed."""
    calls = len(state["planning_log"])
    message = "no model is configured that could plan on"
    return {"planning": None} | incomplete(state, "models", message, calls=calls)


def begin(state: RunState, limits: Limits, approve: Approve = "never") -> dict[str, Any]:
    """The update that turns an accepted run into a running one.

    A thread can be used again with a second prompt, from Studio or a notebook: what is not an
    accepted run is the input of a new one, which gets its own id and an empty log.
    """
    now = time.time()
    if state.get("status") == "pending":
        return {"status": "running", "started_at": now}
    fresh: dict[str, Any] = dict(
        new_run(
            state.get("prompt", ""),
            run_id=str(uuid4()),
            owner=state.get("owner", "default"),
            limits=limits,
            created_at=now,
            approve=approve,
        )
    )
    if "approve" in state:  # of the run before
        fresh |= {"approve": approve, "approval": None}
    if "choice" in state:
        fresh["choice"] = None
    if "metadata" in state:
        fresh["metadata"] = {}
    if "kept" in state:
        fresh["kept"] = 0
    for name in ("asked", "conversation"):
        if name in state:
            fresh[name] = state[name]
    return fresh | {"status": "running", "started_at": now, "log": Overwrite([])}


def prompt_error(prompt: object, max_length: int) -> str | None:
    """Why this cannot be a prompt, or None; `max_length` is in characters."""
    if not isinstance(prompt, str):
        return "the prompt must be text"
    if not prompt.strip():
        return "the prompt is empty; say what is to be done"
    if len(prompt) > max_length:
        return f"the prompt has {len(prompt)} characters; at most {max_length} are allowed"
    if UNSTORABLE.search(prompt):
        return "the prompt holds a character that no text can have (NUL or half a surrogate pair)"
    return None
