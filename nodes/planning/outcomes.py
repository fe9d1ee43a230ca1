"""What each outcome of a call means for the run: a plan, the next question, or the way down."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from nodes.contract.json_data import InvalidOutput, plain
from nodes.planning.budget import Patience, patience_of
from nodes.planning.model import NOT_READY, BudgetExceeded, Completion, Model, ModelFailure, Roster

#: A partial state.
Update = dict[str, Any]

_MOST_REASONS = 5  # of one answer

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
    )


# One visit to the node `plan` that asks a model.


@dataclass(frozen=True)
class Turn:
    """What the visit found, and the log that it goes on writing; it begins as it is made."""

    state: RunState
    planning: Planning
    roster: Roster
    log: list[PlanningCall]
    _began: float = field(default_factory=time.perf_counter)

    @property
    def name(self) -> str:
        """The model whose turn it is; it may be configured no more."""
        return self.planning["queue"][0]

    @property
    def model(self) -> Model:
        """The model itself."""
        return self.roster.models[self.name]

    @property
    def patience(self) -> Patience:
        """How long the run can still wait for models, after what is in the log."""
        return patience_of(self.state, self.planning, self.log, self.roster.timeout)

    @property
    def took(self) -> float:
        """How long the visit has taken so far, in seconds."""
        return time.perf_counter() - self._began

    def note(
        self,
        outcome: Literal["planned", "empty", "refused", "rejected", "failed", "skipped"],
        completion: Completion | None = None,
        *,
        error_class: str | None = None,
        transient: bool | None = None,
        reasons: list[str] | None = None,
        rejected_plan: Plan | None = None,
    ) -> None:
        """Add the entry of this turn's model to the log."""
        took = self.took
        self.log.append(
            PlanningCall(
                planner="llm",
                model=self.name,
                outcome=outcome,
                error_class=error_class,
                transient=transient,
                reasons=reasons or [],
                started_at=time.time() - took,
                duration_ms=round(took * 1000, 3),
                input_tokens=completion.input_tokens if completion else None,
                output_tokens=completion.output_tokens if completion else None,
                usd=completion.usd if completion else None,
                rejected_plan=rejected_plan,
            )
        )


def planned(turn: Turn, completion: Completion, steps: list[Step]) -> Update:
    """The plan is made and checked."""
    earlier = [_told(entry) for entry in turn.log]
    turn.note("planned", completion)
    reason = "after " + "; ".join(earlier) if earlier else "the first model that was asked"
    return _ended(turn) | {
        "plan": Plan(steps=steps),
        "planned_by": _planned_by(turn, "llm", turn.name, reason),
    }


def rejected(
    turn: Turn, completion: Completion, reasons: list[str], steps: Sequence[Step]
) -> Update:
    """A model may repair its answer once, with the reasons; then the next one is asked.

    `steps` are those of the answer, where it was a plan that failed the plan check.
    """
    shortened = _shortened(reasons)
    turn.note("rejected", completion, reasons=shortened, rejected_plan=kept(steps))
    if turn.planning["reasons"]:
        return _passed_on(turn)
    repairing: Planning = {
        **turn.planning,
        "answer": _storable(completion.text)[:8_000],
        "reasons": shortened,
        "not_before": None,
    }
    return _going_on(turn, repairing)


def failed(turn: Turn, failure: ModelFailure, had: Patience) -> Update:
    """A passing failure is tried once more, after the time that was asked for; else the next.

    After a timeout the next model, where there is one, is the better second try. `had` is the
    patience that the call began with.
    """
    turn.note("failed", error_class=failure.error_class, transient=failure.transient)
    breaker, wait = turn.roster.breaker, failure.retry_after or 0.0
    given_up = _gives_up(turn, failure, wait)
    if _is_about_the_model(failure, had):
        breaker.failed(turn.name, failure, given_up=given_up)
    if given_up or not turn.patience.affords(wait) or breaker.holds_back(turn.name):
        return _passed_on(turn, bigger=failure.error_class == "context_too_long")
    again: Planning = {
        **turn.planning,
        "retried": True,
        "not_before": time.time() + wait,
        "waited": turn.planning.get("waited", 0.0) + wait,
    }
    return _going_on(turn, again)


def skipped(turn: Turn, error_class: str, *, transient: bool) -> Update:
    """The model cannot be asked; the next one is."""
    turn.note("skipped", error_class=error_class, transient=transient)
    return _passed_on(turn)


def given_over(turn: Turn, reason: str) -> Update:
    """A model says that it cannot: only the pattern planner may know better."""
    if turn.roster.fallback == "never":
        return _without_plan(turn, "not_understood", f"{reason}. Nothing was done.")
    return _to_patterns(turn, reason)


def not_affordable(turn: Turn, reason: str) -> Update:
    """The budget does not allow the call: the way that costs nothing, or the end."""
    reason = f"the budget does not allow asking {turn.name}: {reason}"
    turn.note("skipped", error_class="budget_exceeded")
    budget = turn.state["budget"]
    if budget is not None and budget["on_exceeded"] == "fail":
        return _without_plan(turn, "budget_exceeded", reason)
    return _to_patterns(turn, reason)


def budget_exceeded(turn: Turn, refusal: BudgetExceeded) -> Update:
    """The owner's day does not allow the call: as beyond the run's own budget.

    Models are not asked, so that the policy for where they fail holds as well.
    """
    turn.note("skipped", error_class="daily_budget_exceeded", transient=refusal.passes)
    budget = turn.state["budget"]
    if budget is not None and budget["on_exceeded"] == "fail":
        return _without_plan(turn, "budget_exceeded", refusal.reason)
    if not _patterns_may_answer(turn):
        return _without_plan(turn, "budget_exceeded", f"{refusal.reason}. {_NO_PATTERNS}")
    return _to_patterns(turn, refusal.reason)


def _gives_up(turn: Turn, failure: ModelFailure, wait: float) -> bool:
    """Whether the model is not asked again, whatever the run's own budget says."""
    hung = failure.error_class == "timeout" and len(turn.planning["queue"]) > 1
    retried = turn.planning["retried"]
    return not failure.transient or retried or hung or not turn.patience.outlasts(wait)


def _is_about_the_model(failure: ModelFailure, had: Patience) -> bool:
    """Not where the client was slow to load, or the run's own budget ended the call."""
    if failure.error_class == "timeout":
        return not had.is_cut_short
    return failure.error_class != NOT_READY


def _passed_on(turn: Turn, *, bigger: bool = False) -> Update:
    """The next model is asked; where a `bigger` one is needed, that for complex tasks is."""
    rest = turn.planning["queue"][1:]
    large = turn.roster.complex_model
    if bigger and large and large not in {entry["model"] for entry in turn.log}:
        rest = [large, *(name for name in rest if name != large)]
    if not rest:
        return _no_model_left(turn)
    waited = turn.planning.get("waited", 0.0)
    return _going_on(turn, first_of(turn.planning["prompt"], rest, waited=waited))


def _no_model_left(turn: Turn) -> Update:
    """The pattern planner answers, if the policy lets it."""
    reason = "no model made a plan: " + "; ".join(map(_told, turn.log))
    if not _patterns_may_answer(turn):
        return _without_plan(turn, "plan_rejected", f"{reason}. {_NO_PATTERNS}")
    return _to_patterns(turn, reason)


def _patterns_may_answer(turn: Turn) -> bool:
    lasting = any(entry["transient"] is False for entry in turn.log)
    fallback = turn.roster.fallback
    return not (fallback == "never" or (fallback == "transient" and lasting))


def _going_on(turn: Turn, planning: Planning) -> Update:
    return {"planning": planning, "planning_log": turn.log}


def _ended(turn: Turn) -> Update:
    return {"planning": None, "planning_log": turn.log}


def _without_plan(turn: Turn, kind: ErrorType, message: str) -> Update:
    by = _planned_by(turn, "llm", None, "no plan was made")
    error = run_error(kind, message, rejected_plan=last_rejected(turn.log))
    return _ended(turn) | {"planned_by": by, "error": error}


def _to_patterns(turn: Turn, reason: str) -> Update:
    return _ended(turn) | {"planned_by": _planned_by(turn, "pattern", None, reason)}


def _planned_by(
    turn: Turn, source: Literal["llm", "pattern"], model: str | None, reason: str
) -> PlannedBy:
    judged = turn.state["planned_by"]
    complexity = judged["complexity"] if judged else None
    return PlannedBy(source=source, model=model, reason=reason, complexity=complexity)


def _told(entry: PlanningCall) -> str:
    why = entry["error_class"] or "; ".join(entry["reasons"]) or entry["outcome"]
    return f"{entry['model']}: {why}"


def _shortened(reasons: list[str]) -> list[str]:
    """What a record keeps of the reasons: a model can be wrong at any length."""
    first = [_storable(reason)[:300] for reason in reasons[:_MOST_REASONS]]
    more = len(reasons) - len(first)
    return [*first, f"and {more} more"] if more else first


def _storable(text: str) -> str:
    # Half a surrogate pair can be neither stored nor sent back.
    return text.encode(errors="replace").decode()


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
