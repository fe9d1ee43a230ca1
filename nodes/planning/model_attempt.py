"""One attempt at asking a model: what it may cost and take, how it is paid, what is noted of it.

What a run may still spend is counted from what it has spent. A round has a deadline for all of the
models that it asks.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from graph.state import Budget, Outcome, Plan, Planning, PlanningCall, RunState, Usage
from graph.state.rounds import round_of
from nodes.contract.steps import storable
from nodes.planning.answer import WHOLE
from nodes.planning.model import (
    Completion,
    Cost,
    Message,
    Model,
    ModelFailure,
    ModelLadder,
    call_of,
    shortened_raw,
)


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


# One visit to a node that asks a model.


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
