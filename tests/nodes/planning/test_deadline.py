"""How long models may keep a run waiting: two of the longest calls together, however many hang."""

import time
from typing import Any, cast

import pytest

from graph.models.breaker import CircuitBreaker
from graph.state import DEFAULT_LIMITS, Planning, PlanningCall, new_run
from graph.storage.storage import Storage
from nodes.planning.model import NOT_READY, ModelFailure
from nodes.planning.model_attempt import PlanningDeadline, deadline_of, first_of
from tests.support.clocks import Clocks
from tests.support.models.planning_runs import Planning as Runs
from tests.support.models.scripted_models import (
    ScriptedModel,
    Turn,
    answer,
    calculation,
    outage,
)

RATE_LIMIT = "rate_limited"


def model(name: str, *script: Turn) -> ScriptedModel:
    return ScriptedModel(name, list(script))


def left(seconds: float, *, budget: float | None = None) -> PlanningDeadline:
    """Where one call may take 20 s."""
    return PlanningDeadline(longest=20.0, left=seconds, budget=budget)


pytestmark = pytest.mark.usefixtures("stopped")


class Hanging(ScriptedModel):
    """A model that never answers within its deadline."""

    def __init__(self, name: str, clocks: Clocks) -> None:
        super().__init__(name, [])
        self._clocks = clocks

    async def complete(self, *arguments: Any, timeout: float, **named: Any) -> Any:
        self._clocks.forward(timeout)
        raise ModelFailure("timeout", transient=True)


@pytest.mark.parametrize(
    ("seconds", "taken", "over"),
    [
        (40.0, 20.0, False),
        (20.0, 20.0, False),
        (15.0, 15.0, False),
        (1.0, 1.0, False),
        (0.9, 0.9, True),
        (-5.0, 0.0, True),
    ],
)
def test_a_call_may_take_its_whole_time_while_that_of_all_of_them_lasts(
    seconds: float, taken: float, over: bool
) -> None:
    """A remainder too short for an answer is none."""
    assert left(seconds).deadline == taken
    assert left(seconds).is_over is over


@pytest.mark.parametrize(
    ("budget", "seconds", "cut_short"),
    [(None, 20.0, False), (60.0, 20.0, False), (7.0, 7.0, True), (0.0, 0.0, True), (-1, 0.0, True)],
)
def test_the_budget_of_the_run_cuts_a_call_short(
    budget: float | None, seconds: float, cut_short: bool
) -> None:
    deadline = left(40.0, budget=budget)

    assert (deadline.deadline, deadline.is_cut_short) == (seconds, cut_short)


def test_a_wait_has_to_leave_time_for_a_call() -> None:
    assert left(40.0).outlasts(39.0)
    assert not left(40.0).outlasts(39.5)
    assert left(40.0, budget=None).affords(10**6)
    assert left(40.0, budget=5.0).affords(4.9)
    assert not left(40.0, budget=5.0).affords(5.0)


def call(planner: str, seconds: float) -> PlanningCall:
    return cast("PlanningCall", {"planner": planner, "duration_ms": seconds * 1000})


def test_calls_of_models_and_waits_for_them_use_it_up() -> None:
    """Whatever the pattern planner took, and a run of an earlier version had no waits."""
    state = new_run("task", run_id="r", owner="o", limits=DEFAULT_LIMITS, created_at=0.0)
    log = [call("llm", 4.0), call("pattern", 9.0), call("llm", 3.0)]
    planning = first_of("task", ["a", "b"], waited=5.0)
    earlier = {key: value for key, value in planning.items() if key != "waited"}

    assert deadline_of(state, planning, log, 20.0) == left(28.0)
    assert deadline_of(state, cast("Planning", earlier), log, 20.0) == left(33.0)


async def test_models_that_hang_are_asked_once_while_there_is_time_and_then_left_alone(
    storage: Storage, clocks: Clocks
) -> None:
    """The first run waits for two deadlines, as does the next one for the two that are left."""
    models = [Hanging(f"{name}/model", clocks) for name in "abcd"]
    planning = Runs(storage, *models, timeout=20.0)
    began = time.time()
    first = await planning.run("what is 2 + 2")
    took = time.time() - began
    second = await planning.run("what is 2 + 2")

    assert [run.state["status"] for run in (first, second)] == ["completed"] * 2
    assert took == pytest.approx(40.0)
    hung, skipped, late = ["timeout"] * 2, ["circuit_open"] * 2, ["out_of_time"] * 2
    assert [entry["error_class"] for entry in first.log[:-1]] == hung + late
    assert [entry["error_class"] for entry in second.log[:-1]] == skipped + hung


async def test_the_last_model_is_tried_again_after_a_timeout(storage: Storage) -> None:
    """There is no other one to turn to."""
    only = model("a/one", outage("timeout"), calculation())
    planned = await Runs(storage, only).run("what is 2 + 2")

    assert planned.outcomes == [("a/one", "failed"), ("a/one", "planned")]
    assert only.calls[1].timeout == 20.0


async def test_a_wait_leaves_the_next_calls_less_time(storage: Storage) -> None:
    """Also those of the next model."""
    first = model("a/one", outage(RATE_LIMIT, retry_after=30.0), outage(RATE_LIMIT))
    second = model("b/two", answer("prose"), calculation())
    planned = await Runs(storage, first, second).run()

    assert planned.outcomes[-1] == ("b/two", "planned")
    timeouts = [asked.timeout for one in (first, second) for asked in one.calls]
    assert timeouts == pytest.approx([20.0, 10.0, 10.0, 10.0])


async def test_waits_may_use_it_up(storage: Storage) -> None:
    """A second wait that no longer fits is not begun."""
    first = model("a/one", outage(RATE_LIMIT, retry_after=38.0), outage(RATE_LIMIT))
    second = model("b/two", outage(RATE_LIMIT, retry_after=1.5))
    planning = Runs(storage, first, second)
    await planning.run()

    assert planning.waits.seconds == [pytest.approx(38.0)]


async def test_a_rate_limit_that_is_not_waited_for_closes_the_model_at_once(
    storage: Storage,
) -> None:
    """For as long as the provider asked: the next runs do not ask it."""
    first = model("a/one", outage(RATE_LIMIT, retry_after=90.0))
    second = model("b/two", calculation(), calculation())
    planning = Runs(storage, first, second)
    await planning.run()
    later = await planning.run()

    assert later.outcomes == [("a/one", "skipped"), ("b/two", "planned")]
    until = planning.breaker.state()["a/one"]["until"]
    assert until == pytest.approx(time.time() + 90.0, rel=0.0, abs=0.001)


async def test_a_wait_that_only_the_budget_forbids_is_not_held_against_the_model(
    storage: Storage,
) -> None:
    """A patient run would have waited."""
    first = model("a/one", outage(RATE_LIMIT, retry_after=4.0))
    planning = Runs(storage, first, model("b/two", calculation()))
    planned = await planning.run(seconds=3.0)

    assert planned.outcomes == [("a/one", "failed"), ("b/two", "planned")]
    assert await planning.breaker.allows("a/one")


async def test_a_call_cut_short_by_others_is_held_against_the_model(
    storage: Storage, clocks: Clocks
) -> None:
    """Or each run would be kept waiting by it; one cut short by the run's own budget is not."""
    names = ["a/one", "b/two"]
    first = ScriptedModel(names[0], [outage(RATE_LIMIT, retry_after=5.0), outage(RATE_LIMIT)])
    patient = Runs(storage, first, Hanging(names[1], clocks), timeout=3.0)
    hurried = Runs(storage, *[Hanging(name, clocks) for name in names], timeout=5.0)
    planned = await patient.run()
    await hurried.run(seconds=0.1)

    assert planned.log[2]["duration_ms"] < 3000
    assert patient.breaker.holds_back(names[1])
    assert [hurried.breaker.holds_back(name) for name in names] == [False] * 2


async def test_nobody_waits_for_a_model_that_the_failure_has_closed(storage: Storage) -> None:
    breaker = CircuitBreaker((), threshold=1, pause=60.0)
    first = model("a/one", outage(RATE_LIMIT, retry_after=5.0))
    planning = Runs(storage, first, model("b/two", calculation()), breaker=breaker)
    planned = await planning.run()

    assert planned.outcomes == [("a/one", "failed"), ("b/two", "planned")]
    assert planning.waits.seconds == []


async def test_a_client_that_was_slow_to_load_says_nothing_of_its_model(storage: Storage) -> None:
    breaker = CircuitBreaker((), threshold=1, pause=60.0)
    only = model("a/one", outage(NOT_READY), calculation())
    planned = await Runs(storage, only, breaker=breaker).run()

    assert planned.outcomes == [("a/one", "failed"), ("a/one", "planned")]
