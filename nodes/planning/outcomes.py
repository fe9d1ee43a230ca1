"""What each outcome of a call means for the run: a plan, the next question, or the way down."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from graph.state import (
    ErrorType,
    Outcome,
    Plan,
    PlannedBy,
    Planning,
    PlanningCall,
    RunState,
    Step,
    run_error,
)
from graph.state.rounds import made, round_of
from graph.state.status import IncompleteReason
from nodes.contract.json_data import storable
from nodes.planning.answer import WHOLE, PlanAnswer
from nodes.planning.budget import PlanningDeadline, deadline_of, of_this_round
from nodes.planning.model import (
    NOT_READY,
    BudgetExceeded,
    Completion,
    Model,
    ModelFailure,
    ModelLadder,
    shortened_raw,
)
from nodes.planning.unplanned import incomplete, kept, last_rejected, models_failed

logger = logging.getLogger("runwright.models")

#: A partial state.
Update = dict[str, Any]

_MOST_REASONS = 5  # of one answer

_MOST_WORDS = 500  # characters of what a model says that gives up

_NO_PATTERNS = "The pattern planner may not answer for them (RUNWRIGHT_FALLBACK)."


def first_of(prompt: str, queue: list[str], *, waited: float = 0.0) -> Planning:
    """Planning that is about to ask the first model of a queue for the first time."""
    return Planning(
        prompt=prompt,
        queue=queue,
        answer="",
        reasons=[],
        retried=False,
        not_before=None,
        waited=waited,
        round=1,
        why="first",
        failure=None,
    )


# One visit to the node `plan` that asks a model.


@dataclass(frozen=True)
class ModelAttempt:
    """What the visit found, and the log that it continues; it begins as it is made.

    `queued` is how long it waited for a slot before, in seconds; `left_out` how many outputs of
    steps the model is not shown, `shortlist` the tools that it is told of where these are not all,
    `asked` the digest of what it is asked.
    """

    state: RunState
    planning: Planning
    ladder: ModelLadder
    log: list[PlanningCall]
    queued: float = 0.0
    left_out: int = 0
    shortlist: list[str] | None = None
    asked: str | None = None
    purpose: Literal["plan", "answer"] = "plan"
    ended: list[float] = field(default_factory=list)  # one, once the call is over
    _began: float = field(default_factory=lambda: time.perf_counter())  # as it is by then

    @property
    def name(self) -> str:
        """The model that is asked; it may be configured no more."""
        return self.planning["queue"][0]

    @property
    def model(self) -> Model:
        """The model itself."""
        return self.ladder.models[self.name]

    @property
    def is_chosen(self) -> bool:
        """Whether the run was told which model to ask, so that there is no other."""
        choice = self.state.get("choice")
        return bool(choice and choice["model"] is not None)

    @property
    def deadline(self) -> PlanningDeadline:
        """How long the run can still wait for models, after what is in the log."""
        return deadline_of(self.state, self.planning, self.log, self.ladder.timeout)

    @property
    def of_this_round(self) -> list[PlanningCall]:
        """What is in the log since the run was started last, of the round that is planned."""
        return of_this_round(self.state, self.planning, self.log)

    @property
    def is_later(self) -> bool:
        """Whether it is about a later round, after steps were executed."""
        return round_of(self.planning) > 1

    @property
    def took(self) -> float:
        """How long the call has taken, or the visit so far, in seconds."""
        return (self.ended[0] if self.ended else time.perf_counter()) - self._began

    def end(self) -> None:
        """The call is over: what takes time from now on is none of it."""
        self.ended.append(time.perf_counter())

    def note(
        self,
        outcome: Outcome,
        completion: Completion | None = None,
        *,
        error_class: str | None = None,
        transient: bool | None = None,
        reasons: list[str] | None = None,
        rejected_plan: Plan | None = None,
    ) -> None:
        """Add the entry of this attempt's model to the log."""
        took = self.took
        ago = time.perf_counter() - self._began
        self.log.append(
            PlanningCall(
                planner="llm",
                model=self.name,
                outcome=outcome,
                error_class=error_class,
                transient=transient,
                reasons=reasons or [],
                started_at=time.time() - ago,
                duration_ms=round(took * 1000, 3),
                input_tokens=completion.input_tokens if completion else None,
                output_tokens=completion.output_tokens if completion else None,
                usd=completion.usd if completion else None,
                rejected_plan=rejected_plan,
                round=round_of(self.planning),
                purpose=self.purpose,
            )
        )
        if completion:
            self.log[-1]["raw"] = shortened_raw(completion.text)
            if completion.cached_tokens is not None:
                self.log[-1]["cached_tokens"] = completion.cached_tokens
            if completion.finish_reason not in WHOLE:
                self.log[-1]["finish_reason"] = storable(str(completion.finish_reason))[:100]
        if self.asked is not None and outcome != "skipped":
            self.log[-1]["asked"] = self.asked
        if self.shortlist is not None and outcome != "skipped":
            self.log[-1]["shortlist"] = self.shortlist
        if self.left_out:
            self.log[-1]["left_out"] = self.left_out
        if self.queued:
            self.log[-1]["queued_ms"] = round(self.queued * 1000, 3)


def planned(attempt: ModelAttempt, completion: Completion, answer: PlanAnswer) -> Update:
    """The plan is made and checked; one of a later round without steps ends the run."""
    earlier = _told_once(attempt.of_this_round)
    attempt.note("planned" if answer.steps else "finished", completion)
    first = "the model of the run" if attempt.is_chosen else "the first model that was asked"
    reason = f"after {earlier}" if earlier else first
    by = _planned_by(attempt, "llm", attempt.name, reason)
    update = _ended(attempt) | {"planned_by": by}
    return update | made(attempt.state, answer.steps, answer.then, by, calls=len(attempt.log))


def gave_up(attempt: ModelAttempt, words: str | None) -> Update:
    """A model has seen what was done and cannot go on; `words` are its reason."""
    said = f": {storable(words)[:_MOST_WORDS]}" if words else ""
    by = _planned_by(attempt, "llm", attempt.name, "gave up")
    update = made(attempt.state, [], "refuse", by, calls=len(attempt.log))
    return _incomplete(attempt, "gave_up", f"{attempt.name} gave up{said}") | update


def rejected(
    attempt: ModelAttempt, completion: Completion, reasons: list[str], steps: Sequence[Step]
) -> Update:
    """A model may repair its answer once, with the reasons; then the next one is asked.

    `steps` are those of the answer, where it was a plan that failed the plan check.
    """
    shortened = _shortened(reasons)
    attempt.note("rejected", completion, reasons=shortened, rejected_plan=kept(steps))
    if attempt.planning["reasons"]:
        return _passed_on(attempt)
    repairing: Planning = {
        **attempt.planning,
        "answer": storable(completion.text)[:8_000],
        "reasons": shortened,
        "not_before": None,
    }
    return _continuing(attempt, repairing)


def failed(attempt: ModelAttempt, failure: ModelFailure, had: PlanningDeadline) -> Update:
    """A passing failure is tried once more, after the time that was asked for; else the next.

    After a timeout the next model, where there is one, is the better second try. `had` is the
    deadline that the call began with.
    """
    attempt.note(
        "failed",
        error_class=failure.error_class,
        transient=failure.transient,
        reasons=[failure.detail] if failure.detail else [],
    )
    logger.warning(
        "model failed",
        extra={
            "run_id": attempt.state["run_id"],
            "model": attempt.name,
            "error": failure.error_class,
            "transient": failure.transient,
            "retry_after": failure.retry_after,
        },
    )
    # A provider may quote the prompt, or what it was asked with.
    logger.debug("model said", extra={"model": attempt.name, "detail": failure.detail})
    breaker, wait = attempt.ladder.breaker, failure.retry_after or 0.0
    given_up = _gives_up(attempt, failure, wait)
    if _is_about_the_model(failure, had):
        run_id = attempt.state["run_id"]
        breaker.failed(attempt.name, failure, given_up=given_up, run_id=run_id)
    if given_up or not attempt.deadline.affords(wait) or breaker.holds_back(attempt.name):
        return _passed_on(attempt, bigger=failure.error_class == "context_too_long")
    again: Planning = {
        **attempt.planning,
        "retried": True,
        "not_before": time.time() + wait,
        "waited": attempt.planning.get("waited", 0.0) + wait,
    }
    return _continuing(attempt, again)


def skipped(attempt: ModelAttempt, error_class: str, *, transient: bool) -> Update:
    """The model cannot be asked; the next one is."""
    attempt.note("skipped", error_class=error_class, transient=transient)
    return _passed_on(attempt)


def given_over(attempt: ModelAttempt, reason: str) -> Update:
    """A model says that it cannot: only the pattern planner may know better."""
    if attempt.ladder.fallback == "never":
        return _without_plan(attempt, "not_understood", f"{reason}. Nothing was done.")
    return _to_patterns(attempt, reason)


def not_affordable(attempt: ModelAttempt, reason: str) -> Update:
    """The budget does not allow the call: the way that costs nothing, or the end."""
    reason = f"the budget does not allow asking {attempt.name}: {reason}"
    attempt.note("skipped", error_class="budget_exceeded")
    if attempt.is_later:
        return _incomplete(attempt, "budget", reason)
    budget = attempt.state["budget"]
    if budget is not None and budget["on_exceeded"] == "fail":
        return _without_plan(attempt, "budget_exceeded", reason)
    return _to_patterns(attempt, reason)


def budget_exceeded(attempt: ModelAttempt, refusal: BudgetExceeded) -> Update:
    """The owner's day does not allow the call: as beyond the run's own budget.

    Models are not asked, so that the policy for where they fail holds as well.
    """
    attempt.note("skipped", error_class="daily_budget_exceeded", transient=refusal.passes)
    if attempt.is_later:
        return _incomplete(attempt, "budget", refusal.reason)
    budget = attempt.state["budget"]
    if budget is not None and budget["on_exceeded"] == "fail":
        return _without_plan(attempt, "budget_exceeded", refusal.reason)
    if not _patterns_may_answer(attempt):
        return _without_plan(attempt, "budget_exceeded", f"{refusal.reason}. {_NO_PATTERNS}")
    return _to_patterns(attempt, refusal.reason)


def _gives_up(attempt: ModelAttempt, failure: ModelFailure, wait: float) -> bool:
    """Whether the model is not asked again, whatever the run's own budget says."""
    hung = failure.error_class == "timeout" and len(attempt.planning["queue"]) > 1
    retried = attempt.planning["retried"]
    return not failure.transient or retried or hung or not attempt.deadline.outlasts(wait)


def _is_about_the_model(failure: ModelFailure, had: PlanningDeadline) -> bool:
    """Not where the client was slow to load, or the run's own budget ended the call."""
    if failure.error_class == "timeout":
        return not had.is_cut_short
    return failure.error_class != NOT_READY


def _passed_on(attempt: ModelAttempt, *, bigger: bool = False) -> Update:
    """The next model is asked; where a `bigger` one is needed, that for complex tasks is."""
    rest = attempt.planning["queue"][1:]
    large = None if attempt.is_chosen else attempt.ladder.complex_model
    if bigger and large and large not in {entry["model"] for entry in attempt.of_this_round}:
        rest = [large, *(name for name in rest if name != large)]
    if not rest:
        return _no_model_left(attempt)
    following: Planning = {
        **attempt.planning,
        "queue": rest,
        "answer": "",
        "reasons": [],
        "retried": False,
        "not_before": None,
    }
    return _continuing(attempt, following)


def _no_model_left(attempt: ModelAttempt) -> Update:
    """The pattern planner answers, if the policy lets it."""
    asked = attempt.of_this_round
    reason = f"no model made a plan: {_told_once(asked)}"
    if attempt.is_later:
        return _incomplete(attempt, "models", reason)
    if not _patterns_may_answer(attempt):
        kind: ErrorType = "planning_failed" if models_failed(asked) else "plan_rejected"
        return _without_plan(attempt, kind, f"{reason}. {_NO_PATTERNS}")
    return _to_patterns(attempt, reason)


def _patterns_may_answer(attempt: ModelAttempt) -> bool:
    lasting = any(entry["transient"] is False for entry in attempt.of_this_round)
    fallback = attempt.ladder.fallback
    return not (fallback == "never" or (fallback == "transient" and lasting))


def _continuing(attempt: ModelAttempt, planning: Planning) -> Update:
    return {"planning": planning, "planning_log": attempt.log}


def _ended(attempt: ModelAttempt) -> Update:
    return {"planning": None, "planning_log": attempt.log}


def _without_plan(attempt: ModelAttempt, kind: ErrorType, message: str) -> Update:
    by = _planned_by(attempt, "llm", None, "no plan was made")
    error = run_error(kind, message, rejected_plan=last_rejected(attempt.log))
    return _ended(attempt) | {"planned_by": by, "error": error}


def _incomplete(attempt: ModelAttempt, reason: IncompleteReason, message: str) -> Update:
    """The run ends with what was done; the pattern planner never answers after a step was."""
    return _ended(attempt) | incomplete(attempt.state, reason, message, calls=len(attempt.log))


def _to_patterns(attempt: ModelAttempt, reason: str) -> Update:
    return _ended(attempt) | {"planned_by": _planned_by(attempt, "pattern", None, reason)}


def _planned_by(
    attempt: ModelAttempt, source: Literal["llm", "pattern"], model: str | None, reason: str
) -> PlannedBy:
    judged = attempt.state["planned_by"]
    complexity = judged["complexity"] if judged else None
    return PlannedBy(source=source, model=model, reason=reason, complexity=complexity)


def _told_once(log: Iterable[PlanningCall]) -> str:
    """What came of each call, told once: "twice" where it came twice."""
    outcomes = Counter(map(_outcome_text, log))
    times = {1: "", 2: ", twice"}
    return "; ".join(
        f"{text}{times.get(count, f', {count} times')}" for text, count in outcomes.items()
    )


def _outcome_text(entry: PlanningCall) -> str:
    why = ": ".join(filter(None, [entry["error_class"], "; ".join(entry["reasons"])]))
    return f"{entry['model']}: {why or entry['outcome']}"


def _shortened(reasons: list[str]) -> list[str]:
    """What a record keeps of the reasons: a model can be wrong at any length."""
    first = [storable(reason)[:300] for reason in reasons[:_MOST_REASONS]]
    more = len(reasons) - len(first)
    return [*first, f"and {more} more"] if more else first
