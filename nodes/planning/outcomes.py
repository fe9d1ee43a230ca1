"""What each outcome of a call means for the run: a plan, the next question, or the end of planning.

Where planning ends without a plan, it is also here what is kept of plans that were unfit.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from graph.state import (
    ErrorType,
    Plan,
    PlannedBy,
    Planning,
    PlanningCall,
    RunState,
    Step,
    run_error,
)
from graph.state.rounds import made, unmade
from graph.state.status import IncompleteReason
from nodes.contract.steps import InvalidOutput, plain, storable
from nodes.planning.answer import PlanAnswer
from nodes.planning.model import (
    NOT_READY,
    BudgetExceeded,
    Completion,
    ModelFailure,
)
from nodes.planning.model_attempt import ModelAttempt, PlanningDeadline

logger = logging.getLogger("runwright.models")

#: A partial state.
Update = dict[str, Any]

_MOST_REASONS = 5  # of one answer

_MOST_WORDS = 500  # characters of what a model says that gives up

_NO_PATTERNS = "The pattern planner may not answer for them (RUNWRIGHT_FALLBACK)."


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


# How planning ends without a plan.


_BUDGETS = frozenset({"budget_exceeded", "daily_budget_exceeded"})


def incomplete(
    state: RunState, reason: IncompleteReason, message: str, *, calls: int
) -> dict[str, Any]:
    """The error of a run of which something was done and the rest is left.

    After a step that failed for good it is that failure. `calls`: entries of the log of planning.
    """
    planning = state.get("planning")
    failure = planning.get("failure") if planning else None
    if failure is None:
        error = run_error("incomplete", f"{message}; what was done stays done", reason=reason)
    else:
        message = f"{failure['error']['message']} (not mended: {message})"
        error = run_error("step_failed", message, step=failure["step"])
    return {"error": error} | unmade(state, calls=calls)


def models_failed(log: Iterable[PlanningCall]) -> bool:
    """Whether it was failures of models alone that left a run without their plan.

    Not where one has answered, if only that it cannot or with no plan, nor where nothing but a
    budget has kept the run from asking.
    """
    asked = [entry for entry in log if entry["planner"] == "llm"]
    return all(entry.get("outcome") in ("failed", "skipped") for entry in asked) and any(
        entry["error_class"] not in _BUDGETS for entry in asked
    )


# The plans of models that the plan check rejected, as the record keeps them.


MAX_KEPT = 8_000  # bytes of JSON


def kept(steps: Sequence[Step]) -> Plan | None:
    """The plan of a rejected answer; None where it had none, or one too large to be kept."""
    if not steps:
        return None
    try:
        plan: Plan = plain(Plan(steps=list(steps)), max_bytes=MAX_KEPT, what="plan")
    except InvalidOutput:
        return None
    return plan


def last_rejected(log: Sequence[PlanningCall]) -> Plan | None:
    """The latest plan of a model that was rejected and kept."""
    plans = (entry.get("rejected_plan") for entry in reversed(log))
    return next((plan for plan in plans if plan), None)
