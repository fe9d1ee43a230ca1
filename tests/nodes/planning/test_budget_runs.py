"""Budgets in a run: what a call may cost at most is asked before it is made."""

from typing import Any

import pytest

from graph.models.breaker import CircuitBreaker
from graph.storage.storage import Storage
from nodes.planning.model import Completion, Cost
from tests.support.clocks import Clocks
from tests.support.models.planning_runs import Planning
from tests.support.models.scripted_models import (
    ScriptedModel,
    Turn,
    answer,
    calculation,
    outage,
    plan_of,
)
from tests.support.wording.messages import wording

pytestmark = pytest.mark.usefixtures("stopped")

PROSE = answer("I would calculate that.", usd=0.01, tokens=50)


def model(*script: Turn, tokens: int = 100, usd: float | None = 0.01) -> ScriptedModel:
    return ScriptedModel("a/one", list(script), cost=Cost(tokens=tokens, usd=usd))


@pytest.mark.parametrize(
    ("usd", "budget", "over"),
    [
        (0.01, {"usd": 0.009}, {"usd": "0.010000", "left": "0.009000"}),
        (0.01, {"tokens": 99}, {"tokens": 100, "left": 99}),
        (0.01, {"seconds": 0.0}, {"seconds": 0}),
        (None, {"usd": 5.0}, {}),
    ],
    ids=["usd", "tokens", "seconds", "price not known"],
)
async def test_what_the_budget_does_not_allow_is_not_asked(
    storage: Storage, usd: float | None, budget: dict[str, Any], over: dict[str, object]
) -> None:
    """The patterns cost nothing; or the run fails, as its budget says."""
    only = model(usd=usd)
    reason = wording(f"planning.budget.{next(iter(over), 'usd.unknown')}", **over)
    told = wording("planning.budget", model="a/one", reason=reason)
    planned = await Planning(storage, only).run(**budget)
    failed = await Planning(storage, only).run(**budget, on_exceeded="fail")

    assert only.calls == []
    assert planned.state["status"] == "completed"
    assert planned.outcomes == [("a/one", "skipped"), (None, "planned")]
    assert planned.log[0]["error_class"] == "budget_exceeded"
    assert planned.state["planned_by"]["reason"] == told  # type: ignore[index]
    assert failed.nodes == ["plan", "finalize"]
    assert failed.state["status"] == "failed"
    assert failed.state["error"] is not None
    assert failed.state["error"]["type"] == "budget_exceeded"
    assert failed.state["error"]["message"] == told


async def test_what_fits_is_asked(storage: Storage) -> None:
    planned = await Planning(storage, model(calculation())).run(usd=0.01, tokens=100, seconds=60)

    assert planned.outcomes == [("a/one", "planned")]


@pytest.mark.parametrize("budget", [{"usd": 0.019}, {"tokens": 199}])
async def test_a_repair_has_to_fit_into_what_the_first_answer_has_left(
    storage: Storage, budget: dict[str, Any]
) -> None:
    only = model(PROSE)
    planned = await Planning(storage, only).run(**budget)

    assert len(only.calls) == 1
    assert planned.outcomes == [("a/one", "rejected"), ("a/one", "skipped"), (None, "planned")]
    assert planned.state["usage"]["usd"] == 0.01


async def test_an_answer_without_a_price_ends_a_budget_in_usd(storage: Storage) -> None:
    only = model(answer("prose", usd=None))
    planned = await Planning(storage, only).run(usd=5.0)

    assert planned.outcomes == [("a/one", "rejected"), ("a/one", "skipped"), (None, "planned")]
    assert planned.state["usage"]["usd"] is None


async def test_a_call_may_take_no_longer_than_the_budget(storage: Storage) -> None:
    only = model(calculation())
    await Planning(storage, only, timeout=20.0).run(seconds=3.0)

    assert only.calls[0].timeout == pytest.approx(3.0)


async def test_the_end_of_a_budget_is_no_fault_of_the_model(storage: Storage) -> None:
    """Or a few impatient runs would close a model for everyone."""
    breaker = CircuitBreaker((), threshold=1, pause=60.0)
    short_silence = Planning(storage, model(outage("timeout"), outage("timeout")), breaker=breaker)
    await short_silence.run(seconds=3.0)
    assert await breaker.allows("a/one")

    slow = Planning(storage, model(outage("timeout")), breaker=breaker)
    await slow.run(seconds=60.0)
    assert not await breaker.allows("a/one")


async def test_waiting_for_a_slot_is_none_of_the_time_of_the_budget(storage: Storage) -> None:
    """The wait that the provider asked for is."""
    only = model(outage("rate_limited", retry_after=0.5), calculation())
    planning = Planning(storage, only)
    planning.waits.for_slot = 4.0
    planned = await planning.run(seconds=2.0)

    assert planned.state["paused"] == 4.0
    assert only.calls[1].timeout == pytest.approx(6.0)


async def test_time_that_calls_have_taken_is_gone(storage: Storage, clocks: Clocks) -> None:
    class Slow(ScriptedModel):
        async def complete(self, *arguments: Any, **named: Any) -> Completion:
            clocks.forward(2.0)
            return await super().complete(*arguments, **named)

    planned = await Planning(storage, Slow("a/one", [PROSE])).run(seconds=1.5)

    assert planned.outcomes == [("a/one", "rejected"), ("a/one", "skipped"), (None, "planned")]


async def test_counting_what_a_call_may_cost_is_part_of_its_time(
    storage: Storage, clocks: Clocks
) -> None:
    class Counting(ScriptedModel):
        async def max_cost(self, *arguments: Any, timeout: float, **named: Any) -> Cost:
            assert timeout == 5.0
            clocks.forward(0.3)
            return self.cost

    only = Counting("a/one", [calculation()])
    planned = await Planning(storage, only, timeout=5.0).run(usd=1.0)

    assert only.calls[0].timeout == pytest.approx(4.7)
    assert planned.log[0]["duration_ms"] == pytest.approx(300)


async def test_steps_bound_the_plan_of_a_model(storage: Storage) -> None:
    two = plan_of(*[("calculator", {"expression": "1"})] * 2)
    planned = await Planning(storage, model(two, calculation())).run(steps=1)

    assert planned.outcomes == [("a/one", "rejected"), ("a/one", "planned")]
    assert planned.log[0]["reasons"] == [wording("plans.steps", steps=2, most=1)]


async def test_steps_bound_the_plan_of_the_patterns_too(storage: Storage) -> None:
    """The error says what came before."""
    only = model(outage(), outage())
    planned = await Planning(storage, only).run("what is 1 + 1, then what is 2 + 2", steps=1)

    assert planned.state["error"] is not None
    assert planned.state["error"]["type"] == "plan_rejected"
    before = wording("planning.none", model="a/one", reason="server_error")
    unfit = wording("plans.steps", steps=2, most=1)
    assert planned.state["error"]["message"] == f"{before}, twice; {unfit}"
    assert planned.state["error"]["rejected_plan"] is not None


async def test_a_run_without_a_budget_never_asks_what_a_call_costs(storage: Storage) -> None:
    """To count tokens takes time."""

    class Unpriced(ScriptedModel):
        async def max_cost(self, *arguments: Any, **named: Any) -> Cost:
            raise AssertionError

    planned = await Planning(storage, Unpriced("a/one", [calculation()])).run()

    assert planned.outcomes == [("a/one", "planned")]
