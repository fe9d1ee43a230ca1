"""What a run may spend, checked before a call with the most that it can cost, and what it spent."""

import time
from typing import Any, cast

import pytest

from graph.state import DEFAULT_LIMITS, Budget, RunState, Usage, limits_of, new_run
from nodes.planning.model import Completion, Cost
from nodes.planning.model_attempt import add, exceeded, over_time, seconds_left
from tests.support.models.scripted_models import answer
from tests.support.wording.messages import wording

pytestmark = pytest.mark.usefixtures("stopped")

FREE = Cost(tokens=0, usd=0.0)


def run(*, spent: dict[str, Any] | None = None, began: float = 0.0, **budget: Any) -> RunState:
    """A run that began so many seconds ago."""
    given: dict[str, Any] = {"usd": None, "tokens": None, "seconds": None, "steps": None}
    state = new_run(
        "task",
        run_id="r",
        owner="o",
        limits=DEFAULT_LIMITS,
        created_at=0.0,
        budget=cast("Budget", {**given, "on_exceeded": "pattern", **budget}),
    )
    state["started_at"] = time.time() - began
    state["usage"] = cast("Usage", {**state["usage"], **(spent or {})})
    return state


def without_budget() -> RunState:
    return new_run("task", run_id="r", owner="o", limits=DEFAULT_LIMITS, created_at=0.0)


def test_without_a_budget_anything_goes() -> None:
    state = without_budget()

    assert exceeded(state, Cost(tokens=10**9, usd=None)) is None
    assert seconds_left(state) is None
    assert limits_of(state) == DEFAULT_LIMITS


def test_a_budget_that_says_nothing_allows_everything() -> None:
    assert exceeded(run(began=10**6), Cost(tokens=10**9, usd=None)) is None


@pytest.mark.parametrize(
    ("budget", "spent", "cost", "over"),
    [
        ({"tokens": 100}, {}, Cost(100, None), None),
        ({"tokens": 100}, {}, Cost(101, None), {"tokens": 101, "left": 100}),
        ({"tokens": 100}, {"input_tokens": None, "output_tokens": None}, Cost(1, None), {}),
        (
            {"tokens": 100},
            {"input_tokens": 60, "output_tokens": 30},
            Cost(11, None),
            {"tokens": 11, "left": 10},
        ),
        ({"tokens": 100}, {"input_tokens": 600}, Cost(11, None), {"tokens": 11, "left": 0}),
        ({"usd": 0.01}, {}, Cost(1, 0.01), None),
        (
            {"usd": 0.01},
            {"usd": 0.005},
            Cost(1, 0.0051),
            {"usd": "0.005100", "left": "0.005000"},
        ),
        ({"usd": 0.01}, {"usd": 0.02}, FREE, {"usd": "0.000000", "left": "0.000000"}),
        ({"usd": 0}, {}, FREE, None),
    ],
)
def test_a_call_is_made_only_if_it_fits_at_its_most(
    budget: dict[str, Any],
    spent: dict[str, Any],
    cost: Cost,
    over: dict[str, object] | None,
) -> None:
    reason = None
    if over is not None:
        kind = next(iter(over), "tokens.unknown")
        reason = wording(f"planning.budget.{kind}", **over)

    assert exceeded(run(spent=spent, **budget), cost) == reason


@pytest.mark.parametrize(
    ("spent", "cost"),
    [({}, Cost(1, None)), ({"usd": None}, FREE)],
    ids=["price of the call", "price of an earlier call"],
)
def test_a_budget_in_usd_is_not_kept_by_hoping(spent: dict[str, Any], cost: Cost) -> None:
    """A price that is not known is not nothing."""
    reason = wording("planning.budget.usd.unknown")

    assert exceeded(run(spent=spent, usd=100.0), cost) == reason
    assert exceeded(run(spent=spent, tokens=100), cost) is None


def test_seconds_count_from_the_start_of_the_execution() -> None:
    state = run(seconds=60.0, began=20.0)
    state["created_at"] = time.time() - 3600  # in the queue

    assert seconds_left(state) == pytest.approx(40.0)
    assert exceeded(state, FREE) is None
    assert exceeded(run(seconds=1.5, began=2.0), FREE) == wording(
        "planning.budget.seconds", seconds=1.5
    )


def test_seconds_in_which_nothing_executed_the_run_are_not_counted() -> None:
    """Its process was down, or others had all the slots."""
    state = run(seconds=10.0, began=100.0)
    assert exceeded(state, FREE) == wording("planning.budget.seconds", seconds=10)

    state["paused"] = 95.0

    assert seconds_left(state) == pytest.approx(5.0)
    assert exceeded(state, FREE) is None
    assert over_time(state) is None


def test_a_run_of_an_earlier_version_was_never_paused() -> None:
    state = run(seconds=10.0, began=4.0)
    del state["paused"]

    assert seconds_left(state) == pytest.approx(6.0)


def test_a_run_that_has_not_begun_has_all_its_seconds() -> None:
    state = run(seconds=60.0)
    state["started_at"] = None

    assert seconds_left(state) == pytest.approx(60.0)


@pytest.mark.parametrize(("steps", "most"), [(None, 100), (3, 3), (500, 100)])
def test_the_lower_of_both_step_limits_holds(steps: int | None, most: int) -> None:
    assert limits_of(run(steps=steps)) == {**DEFAULT_LIMITS, "max_steps": most}


def test_usage_is_summed_over_all_and_by_model() -> None:
    usage = without_budget()["usage"]
    for model, usd in (("a", 0.25), ("b", 0.5), ("a", 0.125)):
        usage = add(usage, model, answer("", usd=usd, tokens=10))

    assert usage == {
        "calls": 3,
        "input_tokens": 30,
        "output_tokens": 30,
        "usd": 0.875,
        "by_model": {
            "a": {"calls": 2, "input_tokens": 20, "output_tokens": 20, "usd": 0.375},
            "b": {"calls": 1, "input_tokens": 10, "output_tokens": 10, "usd": 0.5},
        },
    }


def test_one_price_that_is_not_known_makes_the_sum_unknown_for_good() -> None:
    """Never 0: it would look as if it had cost nothing. What is known by model stays known."""
    usage = without_budget()["usage"]
    for model, usd in (("a", 0.25), ("local", None), ("a", 0.25)):
        usage = add(usage, model, answer("", usd=usd))

    assert usage["usd"] is None
    assert usage["by_model"]["local"]["usd"] is None
    assert usage["by_model"]["a"]["usd"] == 0.5


def test_a_call_that_really_costs_nothing_costs_nothing() -> None:
    assert add(without_budget()["usage"], "own", answer("", usd=0.0))["usd"] == 0.0


def test_adding_changes_no_earlier_usage() -> None:
    """It is part of a checkpoint."""
    before = add(without_budget()["usage"], "a", answer("", usd=0.25))
    kept = {**before, "by_model": {"a": dict(before["by_model"]["a"])}}
    add(before, "a", Completion("", "stop", usd=None))

    assert before == kept


def test_tokens_that_a_model_does_not_tell_make_their_sum_unknown() -> None:
    """A budget of tokens is then not kept by hoping either."""
    silent = Completion("{}", "stop", input_tokens=None, output_tokens=None, usd=None)
    told = Completion("{}", "stop", input_tokens=5, output_tokens=5, usd=0.1)
    usage = add(add(without_budget()["usage"], "a", silent), "a", told)

    assert (usage["calls"], usage["input_tokens"], usage["output_tokens"]) == (2, None, None)
