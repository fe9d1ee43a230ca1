"""What each outcome of a call means for the run: a plan, the next question, or the way down."""

import time
from dataclasses import dataclass, field, replace
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
from nodes.planning.budget import seconds_left
from nodes.planning.model import Completion, Model, ModelFailure
from nodes.planning.roster import Roster

#: A partial state.
Update = dict[str, Any]

_MOST_REASONS = 5  # of one answer


@dataclass(frozen=True)
class Turn:
    """One visit to the node: what it found, and the log that it goes on writing."""

    state: RunState
    planning: Planning
    roster: Roster
    log: list[PlanningCall]
    _clock: list[float] = field(default_factory=list)

    @property
    def model(self) -> Model:
        """The model whose turn it is."""
        return self.roster.models[self.planning["queue"][0]]

    def at(self, planning: Planning) -> "Turn":
        """The same visit, further down the queue."""
        return replace(self, planning=planning)

    def begin(self) -> None:
        """The call begins; its entry will say how long it took."""
        self._clock.append(time.perf_counter())

    def note(
        self,
        outcome: Literal["planned", "empty", "refused", "rejected", "failed", "skipped"],
        completion: Completion | None = None,
        *,
        error_class: str | None = None,
        transient: bool | None = None,
        reasons: list[str] | None = None,
    ) -> None:
        """Add the entry of this turn's model to the log."""
        took = time.perf_counter() - self._clock[-1] if self._clock else 0.0
        self.log.append(
            PlanningCall(
                planner="llm",
                model=self.planning["queue"][0],
                outcome=outcome,
                error_class=error_class,
                transient=transient,
                reasons=reasons or [],
                started_at=time.time() - took,
                duration_ms=round(took * 1000, 3),
                input_tokens=completion.input_tokens if completion else None,
                output_tokens=completion.output_tokens if completion else None,
                usd=completion.usd if completion else None,
            )
        )


def first_of(prompt: str, queue: list[str]) -> Planning:
    """Planning that is about to ask the first model of a queue for the first time."""
    return Planning(
        prompt=prompt, queue=queue, answer="", reasons=[], retried=False, not_before=None
    )


def planned(turn: Turn, completion: Completion, steps: list[Step]) -> Update:
    """The plan is made and checked."""
    earlier = [_told(entry) for entry in turn.log]
    turn.note("planned", completion)
    reason = "after " + "; ".join(earlier) if earlier else "the first model that was asked"
    return _ended(turn) | {
        "plan": Plan(steps=steps),
        "planned_by": _planned_by(turn, "llm", turn.model.name, reason),
    }


def rejected(turn: Turn, completion: Completion, reasons: list[str]) -> Update:
    """A model may repair its answer once, with the reasons; then the next one is asked."""
    shortened = _shortened(reasons)
    turn.note("rejected", completion, reasons=shortened)
    if turn.planning["reasons"]:
        return _passed_on(turn)
    repairing: Planning = {
        **turn.planning,
        "answer": _storable(completion.text)[:8_000],
        "reasons": shortened,
        "not_before": None,
    }
    return _going_on(turn, repairing)


def failed(turn: Turn, failure: ModelFailure) -> Update:
    """A passing failure is tried once more, after the time that was asked for; else the next.

    After a timeout the next model, where there is one, is the better second try.
    """
    turn.note("failed", error_class=failure.error_class, transient=failure.transient)
    left = seconds_left(turn.state)
    patience = turn.roster.timeout if left is None else min(turn.roster.timeout, left)
    wait = failure.retry_after or 0.0
    hung = failure.error_class == "timeout" and len(turn.planning["queue"]) > 1
    if failure.transient and not turn.planning["retried"] and wait <= patience and not hung:
        again: Planning = {**turn.planning, "retried": True, "not_before": time.time() + wait}
        return _going_on(turn, again)
    return _passed_on(turn, bigger=failure.error_class == "context_too_long")


def given_over(turn: Turn, reason: str) -> Update:
    """A model says that it cannot: only the pattern planner may know better."""
    if turn.roster.fallback == "never":
        return _without_plan(turn, "not_understood", f"{reason}. Nothing was done.")
    return _to_patterns(turn, reason)


def not_affordable(turn: Turn, reason: str) -> Update:
    """The budget does not allow the call: the way that costs nothing, or the end."""
    reason = f"the budget does not allow asking {turn.model.name}: {reason}"
    turn.note("skipped", error_class="budget_exceeded")
    budget = turn.state["budget"]
    if budget is not None and budget["on_exceeded"] == "fail":
        return _without_plan(turn, "budget_exceeded", reason)
    return _to_patterns(turn, reason)


def no_model_left(turn: Turn) -> Update:
    """The pattern planner answers, if the policy lets it."""
    reason = "no model made a plan: " + "; ".join(map(_told, turn.log))
    lasting = any(entry["transient"] is False for entry in turn.log)
    if turn.roster.fallback == "never" or (turn.roster.fallback == "transient" and lasting):
        message = f"{reason}. The pattern planner may not answer for them (RUNWRIGHT_FALLBACK)."
        return _without_plan(turn, "plan_rejected", message)
    return _to_patterns(turn, reason)


def _passed_on(turn: Turn, *, bigger: bool = False) -> Update:
    """The next model is asked; where a `bigger` one is needed, that for complex tasks is."""
    rest = turn.planning["queue"][1:]
    large = turn.roster.complex_model
    if bigger and large and large not in {entry["model"] for entry in turn.log}:
        rest = [large, *(name for name in rest if name != large)]
    return _going_on(turn, first_of(turn.planning["prompt"], rest)) if rest else no_model_left(turn)


def _going_on(turn: Turn, planning: Planning) -> Update:
    return {"planning": planning, "planning_log": turn.log}


def _ended(turn: Turn) -> Update:
    return {"planning": None, "planning_log": turn.log}


def _without_plan(turn: Turn, kind: ErrorType, message: str) -> Update:
    by = _planned_by(turn, "llm", None, "no plan was made")
    return _ended(turn) | {"planned_by": by, "error": run_error(kind, message)}


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
    kept = [_storable(reason)[:300] for reason in reasons[:_MOST_REASONS]]
    more = len(reasons) - len(kept)
    return [*kept, f"and {more} more"] if more else kept


def _storable(text: str) -> str:
    # Half a surrogate pair can be neither stored nor sent back.
    return text.encode(errors="replace").decode()
