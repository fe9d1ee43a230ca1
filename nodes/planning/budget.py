"""What a run may still spend, and what it has spent."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graph.state import Budget, Planning, PlanningCall, RunState, Usage
from graph.state.rounds import round_of
from nodes.planning.model import Completion, Cost


def seconds_left(state: RunState) -> float | None:
    """How long the run may still take by its budget, in seconds; None when it has no such limit."""
    budget = state.get("budget")
    if budget is None or budget["seconds"] is None:
        return None
    began = state.get("started_at") or time.time()
    return began + state.get("paused", 0.0) + budget["seconds"] - time.time()


def exceeded(state: RunState, cost: Cost) -> str | None:
    """Why a call that may cost this much is not made, or None when the budget allows it."""
    budget = state.get("budget")
    if budget is None:
        return None
    usage = state["usage"]
    return over_time(state) or _over_tokens(budget, usage, cost) or _over_price(budget, usage, cost)


def over_time(state: RunState) -> str | None:
    """Why no call is made any more, whatever it costs, or None while there is time."""
    budget, left = state.get("budget"), seconds_left(state)
    if budget is None or left is None or left > 0:
        return None
    return f"its {budget['seconds']:g} s are over"


def add(usage: Usage, model: str, completion: Completion) -> Usage:
    """The usage after one more answer; tokens or a price not known make their sum unknown."""
    by_model: dict[str, Any] = dict(usage["by_model"])
    before = by_model.get(model, {"calls": 0, "input_tokens": 0, "output_tokens": 0, "usd": 0.0})
    by_model[model] = _sum(before, completion)
    total: dict[str, Any] = _sum(dict(usage), completion)
    return Usage(
        calls=total["calls"],
        input_tokens=total["input_tokens"],
        output_tokens=total["output_tokens"],
        usd=total["usd"],
        by_model=by_model,
    )


def _sum(before: dict[str, Any], completion: Completion) -> dict[str, Any]:
    known = {name: getattr(completion, name) for name in ("input_tokens", "output_tokens", "usd")}
    sums = {
        name: None if value is None or before[name] is None else before[name] + value
        for name, value in known.items()
    }
    return {"calls": before["calls"] + 1, **sums}


def _over_tokens(budget: Budget, usage: Usage, cost: Cost) -> str | None:
    if budget["tokens"] is None:
        return None
    if usage["input_tokens"] is None or usage["output_tokens"] is None:
        return "a model did not tell its tokens, so a budget of them cannot be kept"
    left = budget["tokens"] - usage["input_tokens"] - usage["output_tokens"]
    if cost.tokens > left:
        return f"a call may take {cost.tokens} tokens, {max(0, left)} are left"
    return None


def _over_price(budget: Budget, usage: Usage, cost: Cost) -> str | None:
    if budget["usd"] is None:
        return None
    if cost.usd is None or usage["usd"] is None:
        return "the price of a call is not known, so a budget in USD cannot be kept"
    left = budget["usd"] - usage["usd"]
    if cost.usd > left:
        return f"a call may cost {cost.usd:.6f} USD, {max(0.0, left):.6f} are left"
    return None


def of_this_start(state: RunState, log: Sequence[PlanningCall]) -> list[PlanningCall]:
    """The entries of `log` since the run was started: what came before a retry is spent."""
    started_at = state.get("started_at")
    if not state.get("generation") or started_at is None:
        return list(log)
    return [entry for entry in log if entry["started_at"] >= started_at]


def of_this_round(
    state: RunState, planning: Planning, log: Sequence[PlanningCall]
) -> list[PlanningCall]:
    """The entries of `log` since the run was started that are about the round being planned."""
    number = round_of(planning)
    calls = (entry for entry in of_this_start(state, log) if entry.get("purpose") != "answer")
    return [entry for entry in calls if round_of(entry) == number]


# How long the models of one round may keep it waiting.


_SHORTEST = 20  # parts of the longest call; in less nobody answers


def most(longest: float) -> float:
    """How long all models together may keep a round waiting, where one call may take `longest`."""
    return 2 * longest


@dataclass(frozen=True)
class PlanningDeadline:
    """What a round has left for the models that it asks; all times in seconds.

    `left` is what they may take together, `longest` what one call may, `budget` what the run's own
    budget of seconds has left (None: no such limit).
    """

    longest: float
    left: float
    budget: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether no model can be asked any more."""
        return not self.outlasts(0.0)

    @property
    def deadline(self) -> float:
        """How long the next call may take."""
        own = min(self.longest, self.left)
        return max(0.0, own if self.budget is None else min(own, self.budget))

    @property
    def is_cut_short(self) -> bool:
        """Whether the run's budget, and no reason of the models', sets the deadline."""
        return self.budget is not None and self.budget < min(self.longest, self.left)

    def outlasts(self, wait: float) -> bool:
        """Whether a model can be asked again after so long."""
        return self.left - wait >= self.longest / _SHORTEST

    def affords(self, wait: float) -> bool:
        """Whether the run's budget is not over by then."""
        return self.budget is None or wait < self.budget


def deadline_of(
    state: RunState, planning: Planning, log: Sequence[PlanningCall], longest: float
) -> PlanningDeadline:
    """The deadline of a round after the calls in `log` and the waits that it was told."""
    calls = of_this_round(state, planning, log)
    called = sum(entry["duration_ms"] for entry in calls if entry["planner"] == "llm") / 1000
    left = most(longest) - called - planning.get("waited", 0.0)
    return PlanningDeadline(longest, left, seconds_left(state))
