"""The daily budget in runs and drafts: beyond it no model is asked, and the record says why."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from graph.build import build_graph
from graph.commands.retry import RetryRequest
from graph.models.breaker import CircuitBreaker
from graph.models.calls import DailyBudget, DailyLimit
from graph.queue.executor import Executor
from graph.runs.accept import RunPolicy
from graph.runs.context import make_context
from graph.service import Runs
from graph.state import Channels
from graph.state.row import RunRow, state_of
from graph.storage.storage import Spent, Storage
from nodes.planning.model import Call, Completion, Cost, ModelLadder
from tests.support.models.planning_runs import LIMITS, Planning
from tests.support.models.scripted_models import (
    Killed,
    ScriptedModel,
    Turn,
    answer,
    calculation,
    outage,
)
from tests.support.patience import until
from tests.support.runs.live_runs import AT_ONCE, SilentModel, rested
from tests.support.wording.messages import wording
from tools.loading import BUILTIN
from tools.registry import make_tools

PROSE = answer("I would calculate that.", usd=0.004, tokens=10)


def model(*script: Turn, usd: float | None = 0.01) -> ScriptedModel:
    return ScriptedModel("a/one", list(script), cost=Cost(tokens=100, usd=usd))


def daily(storage: Storage, **limit: Any) -> DailyBudget:
    return DailyBudget(DailyLimit(**limit), storage.spending)


async def spent(budget_guard: DailyBudget, owner: str = "default") -> Spent | None:
    return (await budget_guard.account(owner)).spent


async def test_beyond_the_days_budget_the_patterns_plan_and_the_record_says_so(
    storage: Storage,
) -> None:
    """No model is asked, also not the next one; what the patterns do not understand, is told."""
    first, second = model(calculation(usd=0.004)), ScriptedModel("b/two", [])
    planning = Planning(storage, first, second, budget_guard=daily(storage, usd=0.01))
    asked = await planning.run()
    planned = await planning.run()
    refused = await planning.run("hum a tune")

    assert asked.outcomes == [("a/one", "planned")]
    assert len(first.calls) == 1
    assert planned.outcomes == [("a/one", "skipped"), (None, "planned")]
    assert planned.log[0]["error_class"] == "daily_budget_exceeded"
    assert planned.log[0]["transient"] is True
    assert planned.state["status"] == "completed"
    assert planned.state["planned_by"]["source"] == "pattern"  # type: ignore[index]
    assert _is_used_up(planned.state["planned_by"]["reason"])  # type: ignore[index]
    assert refused.state["status"] == "failed"
    assert refused.state["error"]["type"] == "not_understood"  # type: ignore[index]
    assert _is_used_up(refused.state["error"]["message"])  # type: ignore[index]
    assert "hum a tune" in refused.state["error"]["message"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("fallback", "budget", "usd", "status"),
    [
        ("always", {}, 0.01, "completed"),
        ("transient", {}, 0.01, "completed"),  # it passes by itself
        ("transient", {}, None, "failed"),  # the price will not be known tomorrow either
        ("never", {}, 0.01, "failed"),
        ("always", {"steps": 5, "on_exceeded": "fail"}, 0.01, "failed"),
        ("always", {"steps": 5, "on_exceeded": "pattern"}, 0.01, "completed"),
    ],
)
async def test_where_the_patterns_may_not_plan_the_run_fails(
    storage: Storage, fallback: str, budget: dict[str, Any], usd: float | None, status: str
) -> None:
    """By the policy for models that fail, or by what the run's own budget says."""
    budget_guard = daily(storage, usd=0.009)
    planned = await Planning(
        storage, model(usd=usd), budget_guard=budget_guard, fallback=fallback
    ).run(**budget)

    assert planned.state["status"] == status
    if status == "failed":
        error = planned.state["error"]
        assert error is not None
        assert error["type"] == "budget_exceeded"
        assert ("RUNWRIGHT_FALLBACK" in error["message"]) is (fallback != "always")


async def test_a_repair_is_a_call_that_has_to_fit_too(storage: Storage) -> None:
    only = model(PROSE)
    budget_guard = daily(storage, usd=0.013)
    planned = await Planning(storage, only, budget_guard=budget_guard).run()

    assert planned.outcomes == [("a/one", "rejected"), ("a/one", "skipped"), (None, "planned")]
    assert await spent(budget_guard) == Spent(0.004, 20, 1)


async def test_the_day_adds_up_to_what_the_records_say(storage: Storage) -> None:
    """Failures, repairs and second tries included."""
    budget_guard = daily(storage, usd=1.0, tokens=10_000)
    only = model(PROSE, calculation(), outage(), calculation(usd=0.002))
    planning = Planning(storage, only, budget_guard=budget_guard)
    usages = [(await planning.run()).state["usage"] for _ in range(2)]

    sums = [sum(usage[name] for usage in usages) for name in ("usd", "calls")]  # type: ignore[literal-required]
    assert await spent(budget_guard) == Spent(pytest.approx(sums[0]), 60, sums[1])  # type: ignore[arg-type]


class DyingPurse(DailyBudget):
    """Its process is gone right after what a call cost was stored."""

    async def charge(
        self, call: Call, cost: Cost, ask: Callable[[], Awaitable[Completion]]
    ) -> Completion:
        await super().charge(call, cost, ask)
        raise Killed


async def test_what_a_killed_process_has_spent_is_counted_once(storage: Storage) -> None:
    """It died before the checkpoint that would have held the answer, which is asked for again."""
    accepted = RunRow(
        run_id=str(uuid4()), owner="default", prompt="what is 2 + 2", limits=LIMITS, created_at=1.0
    )
    await storage.index.accept(accepted)
    dying = DyingPurse(DailyLimit(usd=1.0), storage.spending)
    with pytest.raises(Killed):
        await Planning(storage, model(calculation(usd=0.25)), budget_guard=dying).drive(
            state_of(accepted), accepted.run_id
        )
    later = daily(storage, usd=1.0)
    assert await spent(later) == Spent(0.25, 20, 1)

    taken_up = Planning(storage, model(calculation(usd=0.25)), budget_guard=later)
    planned = await taken_up.drive(None, accepted.run_id)
    assert planned.state["usage"]["calls"] == 1
    assert await spent(later) == await spent(daily(storage, usd=1.0)) == Spent(0.25, 20, 1)


async def test_an_interrupted_call_is_charged_once_however_often_it_is_made(
    storage: Storage,
) -> None:
    """Its first process ended in order in the middle of it, and the next one got the answer."""
    budget_guard = daily(storage, usd=1.0)
    silent = SilentModel("a/one", [], cost=Cost(tokens=100, usd=0.01))
    async with opened(storage, silent, budget_guard=budget_guard) as runs:
        run_id = (await runs.start("what is 2 + 2"))["run_id"]
        await until(lambda: silent.is_silent)
    assert await spent(budget_guard) == Spent(0.01, 100, 1)

    later = daily(storage, usd=1.0)
    async with opened(storage, model(calculation(usd=0.002)), budget_guard=later) as runs:
        record = await rested(runs, run_id)
    assert record["planned_by"]["source"] == "llm"  # type: ignore[index]
    assert record["usage"]["calls"] == 1
    assert await spent(later) == Spent(0.01, 100, 1)


async def test_a_retry_that_plans_again_is_charged_again(storage: Storage) -> None:
    """Otherwise cancelling and retrying would cost nothing."""
    budget_guard = daily(storage, usd=1.0)
    silent = SilentModel("a/one", [], cost=Cost(tokens=100, usd=0.01))
    async with opened(storage, silent, budget_guard=budget_guard) as runs:
        run_id = (await runs.start("what is 2 + 2"))["run_id"]
        for calls in (1, 2):
            await until(lambda: silent.is_silent)
            silent.is_silent = False
            await runs.cancel(run_id, by="me", owner=None)
            assert await spent(budget_guard) == Spent(
                pytest.approx(0.01 * calls), 100 * calls, calls
            )  # type: ignore[arg-type]
            await runs.retry(run_id, RetryRequest(), by="me", owner=None)


async def test_drafts_count_as_runs_do(storage: Storage) -> None:
    """Their calls cost the same, and beyond the budget the patterns plan them."""
    budget_guard = daily(storage, usd=0.017)
    async with opened(
        storage, model(calculation(usd=0.004), PROSE), budget_guard=budget_guard
    ) as runs:
        previews = [await runs.preview("what is 2 + 2", owner="alice") for _ in range(2)]
        account = await runs.account("alice")

    assert [preview["planned_by"]["source"] for preview in previews] == ["llm", "pattern"]  # type: ignore[index]
    assert _is_used_up(previews[1]["planned_by"]["reason"])  # type: ignore[index]
    assert account.spent == Spent(pytest.approx(0.008), 40, 2)  # type: ignore[arg-type]


async def test_without_a_daily_budget_nothing_is_kept_or_counted(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("the spending is read or written")

    monkeypatch.setattr(storage.spending, "of", never)
    monkeypatch.setattr(storage.spending, "hold", never)
    monkeypatch.setattr(storage.spending, "add", never)
    only = model(calculation())
    monkeypatch.setattr(only, "max_cost", never)
    async with opened(storage, only, budget_guard=None) as runs:
        record = await rested(runs, (await runs.start("what is 2 + 2"))["run_id"])
        account = await runs.account("default")

    assert record["status"] == "completed"
    assert (bool(account.limit), account.spent) == (False, None)


def _is_used_up(text: str) -> bool:
    """Whether a reason is that the day's budget in USD has no room, and until when."""
    said = re.escape(wording("planning.day.usd", model="a/one", usd="0.010000"))
    until = said.replace("<left>", ".*").replace("<until>", r"\d{4}-\d\d-\d\dT00:00:00Z")
    return re.match(until, text) is not None


@asynccontextmanager
async def opened(
    storage: Storage, only: ScriptedModel, *, budget_guard: DailyBudget | None
) -> AsyncIterator[Runs]:
    """Runs as a process has them that was just started on this storage."""
    tools, executor = make_tools(BUILTIN), Executor(slots=2, max_queued=100)
    breaker = CircuitBreaker((), threshold=100, pause=60.0)
    ladder = ModelLadder(
        models={only.name: only}, order=[only.name], breaker=breaker, budget_guard=budget_guard
    )
    graph = build_graph(
        tools,
        checkpointer=storage.saver,
        store=storage.store,
        ladder=ladder,
        wait=executor.wait_until,
        input_schema=Channels,
    )
    context = make_context(graph, storage, executor, tools)
    runs = Runs(context, RunPolicy(AT_ONCE), ladder, daily_budget=budget_guard)
    await runs.open(resume_unfinished=True)
    try:
        yield runs
    finally:
        await runs.close(grace=0.05)
