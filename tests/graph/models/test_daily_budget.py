"""The daily budget of an owner: what is spent is kept, and beyond it no model is asked."""

import asyncio
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graph.models.calls import DAY, DailyBudget, DailyLimit
from graph.state import DEFAULT_LIMITS
from graph.state.row import RunArtifacts, RunRow
from graph.storage.open import back_up, open_storage
from graph.storage.storage import Spent, Storage
from nodes.planning.model import BudgetExceeded, Call, Completion, Cost, ModelFailure
from tests.support.databases.postgres import PostgresServer
from tests.support.models.scripted_models import answer, misconfigured, outage
from tests.support.patience import until
from tests.support.wording.messages import wording

NOON = 1_795_348_800.0  # 2026-11-22T12:00:00Z
TODAY = "2026-11-22"
WORST = Cost(tokens=100, usd=0.01)


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


class Provider:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[Completion]] = []

    async def ask(self) -> Completion:
        self.calls.append(asyncio.get_running_loop().create_future())
        return await self.calls[-1]


def call(number: int = 0, owner: str = "alice", run: str = "draft") -> Call:
    return Call(owner=owner, run_id=run, key=f"0:{number}", model="a/one")


def budget(storage: Storage, clock: Clock | None = None, **limit: Any) -> DailyBudget:
    return DailyBudget(DailyLimit(**limit), storage.spending, clock or Clock())


async def charge(
    budget_guard: DailyBudget,
    outcome: Completion | BaseException,
    paid: Call | None = None,
    cost: Cost = WORST,
) -> Completion:
    async def ask() -> Completion:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return await budget_guard.charge(paid or call(), cost, ask)


async def asked(provider: Provider) -> None:
    """Wait until the provider is asked."""
    await until(lambda: provider.calls)


async def spent(budget_guard: DailyBudget, owner: str = "alice") -> Spent | None:
    return (await budget_guard.account(owner)).spent


async def accepted(storage: Storage, run_id: str, status: Any = "pending") -> None:
    await storage.index.accept(
        RunRow(
            run_id=run_id,
            owner="alice",
            prompt="x",
            limits=DEFAULT_LIMITS,
            created_at=NOON,
            status=status,
        )
    )


async def test_what_a_call_cost_is_counted_for_its_owner_and_day(storage: Storage) -> None:
    clock = Clock()
    budget_guard = budget(storage, clock, usd=1.0)
    await charge(budget_guard, answer("a", usd=0.002, tokens=10))
    await charge(budget_guard, answer("b", usd=0.003, tokens=20), call(1))

    assert await spent(budget_guard) == Spent(usd=0.005, tokens=60, calls=2)
    assert await spent(budget_guard, "bob") == Spent()
    assert (await budget_guard.account("alice")).renewed_at == NOON + DAY / 2
    clock.now += DAY / 2 - 1
    assert await spent(budget_guard) == Spent(usd=0.005, tokens=60, calls=2)
    clock.now += 1
    assert await spent(budget_guard) == Spent()
    assert (await budget_guard.account("alice")).renewed_at == NOON + 3 * DAY / 2


@pytest.mark.parametrize(
    ("limit", "over"),
    [
        ({"usd": 0.011}, {"usd": "0.010000", "left": "0.009000 of 0.011"}),
        ({"tokens": 119}, {"tokens": 100, "left": "99 of 119"}),
        ({"usd": 0}, {"usd": "0.010000", "left": "0.000000 of 0"}),
    ],
)
async def test_a_call_whose_worst_case_does_not_fit_is_not_made_before_the_next_day(
    storage: Storage, limit: dict[str, Any], over: dict[str, object]
) -> None:
    """Others have a budget of their own."""
    clock = Clock()
    budget_guard = budget(storage, clock, **limit)
    if limit.get("usd") != 0:
        await charge(budget_guard, answer("a", usd=0.002, tokens=10))
    with pytest.raises(BudgetExceeded) as refused:
        await charge(budget_guard, AssertionError("it is asked"), call(1))

    assert refused.value.passes
    assert refused.value.reason == wording(
        f"planning.day.{next(iter(over))}", model="a/one", until="2026-11-23T00:00:00Z", **over
    )
    if limit.get("usd") != 0:
        await charge(budget_guard, answer("b"), call(2, owner="bob"))
        clock.now += DAY
        await charge(budget_guard, answer("c"), call(3))


async def test_what_just_fits_is_asked(storage: Storage) -> None:
    budget_guard = budget(storage, usd=0.01, tokens=100)
    assert (await charge(budget_guard, answer("a"))).text == "a"


async def test_spending_outlasts_its_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    async with open_storage(url) as storage:
        await charge(budget(storage, usd=1.0), answer("a", usd=0.25, tokens=10))
    async with open_storage(url) as storage:
        assert await spent(budget(storage, usd=1.0)) == Spent(0.25, 20, 1)


async def test_a_run_that_makes_a_call_again_after_a_crash_is_charged_once(
    storage: Storage,
) -> None:
    """What the process that died had stored stands; its next call counts again."""
    await accepted(storage, "r")
    await charge(budget(storage, usd=1.0), answer("a", usd=0.002), call(0, run="r"))
    after = budget(storage, usd=1.0)
    await charge(after, answer("a", usd=0.003), call(0, run="r"))
    assert await spent(after) == Spent(usd=0.002, tokens=20, calls=1)

    await charge(after, answer("a", usd=0.003), call(1, run="r"))
    assert await spent(after) == Spent(usd=0.005, tokens=40, calls=2)
    assert await storage.spending.of("alice", TODAY) == await spent(after)


async def test_a_call_that_a_kill_cut_off_counts_as_its_worst_case(tmp_path: Path) -> None:
    """Once; that it is made again counts, too. One that had ended by then leaves nothing."""
    killed, provider = tmp_path / "killed.db", Provider()
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        await accepted(storage, "r")
        budget_guard = budget(storage, usd=1.0)
        await charge(budget_guard, answer("a", usd=0.25), call(0, run="r"))
        with pytest.raises(ModelFailure):
            await charge(budget_guard, outage(), call(1, run="r"))
        asking = asyncio.create_task(budget_guard.charge(call(2, run="r"), WORST, provider.ask))
        await asked(provider)
        back_up(tmp_path / "runs.db", killed)  # as it would be found after a kill
        provider.calls[0].set_result(answer("b", usd=0.25))
        await asking
    for _ in range(2):
        async with open_storage(f"sqlite:///{killed}") as storage:
            assert await spent(budget(storage, usd=1.0)) == Spent(0.26, 120, 2)
    for _ in range(2):
        async with open_storage(f"sqlite:///{killed}") as storage:
            budget_guard = budget(storage, usd=1.0)
            await charge(budget_guard, answer("b", usd=0.25), call(2, run="r"))
            assert await spent(budget_guard) == Spent(0.51, 140, 3)
    async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
        assert await spent(budget(storage, usd=1.0)) == Spent(0.5, 40, 2)


async def test_every_draft_counts(storage: Storage) -> None:
    """It belongs to no run that is kept, and begins its calls at the same number."""
    budget_guard = budget(storage, usd=1.0)
    for _ in range(2):
        await charge(budget_guard, answer("a", usd=0.25))
    assert await spent(budget_guard) == Spent(0.5, 40, 2)


async def test_a_run_that_is_removed_gives_nothing_back(storage: Storage) -> None:
    await accepted(storage, "r", status="completed")
    budget_guard = budget(storage, usd=1.0)
    await charge(budget_guard, answer("a", usd=0.25), call(0, run="r"))
    removed = await storage.remove(
        [RunArtifacts(run_id="r", receipts=[("receipts", "alice")], step_keys=[], generation=0)]
    )

    assert removed == 1
    assert await spent(budget_guard) == await spent(budget(storage, usd=1.0)) == Spent(0.25, 20, 1)


async def test_calls_at_once_exceed_nothing_together(storage: Storage) -> None:
    """What others have set aside is spent until they have ended, and nobody waits for that."""
    budget_guard, provider = budget(storage, usd=0.025), Provider()
    paying = [
        asyncio.create_task(budget_guard.charge(call(n), WORST, provider.ask)) for n in range(3)
    ]
    await until(lambda: len(provider.calls) == 2 and sum(one.done() for one in paying) == 1)
    for asked_now in provider.calls:
        asked_now.set_result(answer("a", usd=0.0005))
    outcomes = await asyncio.gather(*paying, return_exceptions=True)

    [refused] = [outcome for outcome in outcomes if not isinstance(outcome, Completion)]
    assert isinstance(refused, BudgetExceeded)
    assert re.search(r"0\.025000 of 0\.025 are left, 0\.020000 set aside", refused.reason)
    await charge(budget_guard, answer("a", usd=0.0005), call(3))
    assert await spent(budget_guard) == Spent(pytest.approx(0.0015), 60, 3)  # type: ignore[arg-type]


async def race(one: DailyBudget, other: DailyBudget, at_once: int) -> None:
    """Of so many calls at once there is room for one, once the owner has made another."""
    for number in range(20):
        await race_of(f"owner-{number}", (one, other), at_once)


async def race_of(owner: str, budgets: Sequence[DailyBudget], at_once: int) -> None:
    provider = Provider()
    await charge(budgets[0], answer("a", usd=None, tokens=None), call(0, owner))
    paying = [
        asyncio.create_task(budgets[n % 2].charge(call(n, owner), WORST, provider.ask))
        for n in range(at_once)
    ]
    await until(lambda: sum(one.done() for one in paying) + len(provider.calls) == at_once)
    for asked_now in provider.calls:
        asked_now.set_result(answer("a", usd=None, tokens=None))
    outcomes = await asyncio.gather(*paying, return_exceptions=True)

    assert sum(isinstance(outcome, BudgetExceeded) for outcome in outcomes) == at_once - 1
    assert await spent(budgets[1], owner) == Spent(0.02, 200, 2)


@pytest.mark.parametrize(("limit", "at_once"), [({"usd": 0.025}, 2), ({"tokens": 299}, 12)])
async def test_calls_at_once_by_two_budgets_exceed_nothing_together(
    storage: Storage, limit: dict[str, Any], at_once: int
) -> None:
    await race(budget(storage, **limit), budget(storage, **limit), at_once)


@pytest.mark.parametrize(("limit", "at_once"), [({"usd": 0.025}, 2), ({"tokens": 299}, 12)])
async def test_calls_at_once_by_two_processes_exceed_nothing_together(
    postgres: PostgresServer, limit: dict[str, Any], at_once: int
) -> None:
    url = postgres.empty()
    async with open_storage(url, shared=True) as one, open_storage(url, shared=True) as other:
        await race(budget(one, **limit), budget(other, **limit), at_once)


async def test_a_call_that_finds_room_once_others_have_ended_is_asked(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the refusal and the look at what is left, which would tell of room."""
    budget_guard, spending = budget(storage, usd=0.01), storage.spending
    hold = spending.hold
    await hold(call(), TODAY, WORST, usd=None, tokens=None)

    async def hold_late(paid: Call, *given: Any, **limits: Any) -> bool:
        held = await hold(paid, *given, **limits)
        await spending.release(call())
        return held

    monkeypatch.setattr(spending, "hold", hold_late)
    assert (await charge(budget_guard, answer("a"), call(1))).text == "a"


async def test_a_call_that_is_cancelled_before_it_is_asked_sets_nothing_aside(
    storage: Storage,
) -> None:
    budget_guard, provider = budget(storage, usd=0.01), Provider()
    paying = asyncio.create_task(budget_guard.charge(call(), WORST, provider.ask))
    await asyncio.sleep(0)
    paying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await paying

    assert provider.calls == []
    assert await storage.spending.held("alice", TODAY) == Spent(None, 0, 0)
    await charge(budget_guard, answer("a"))


@pytest.mark.parametrize("failure", [outage(), outage("rate_limited"), misconfigured()])
async def test_a_call_that_failed_costs_nothing(storage: Storage, failure: ModelFailure) -> None:
    budget_guard = budget(storage, usd=0.01)
    with pytest.raises(ModelFailure):
        await charge(budget_guard, failure)
    assert await spent(budget_guard) == Spent()
    await charge(budget_guard, answer("a"))


async def test_a_call_that_was_cut_off_counts_as_its_worst_case(storage: Storage) -> None:
    """The provider may have answered; or who goes away early would spend for nothing."""
    budget_guard = budget(storage, usd=1.0)
    with pytest.raises(ModelFailure):
        await charge(budget_guard, outage("timeout"))
    provider = Provider()
    paying = asyncio.create_task(budget_guard.charge(call(1), WORST, provider.ask))
    await asked(provider)
    paying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await paying

    assert await spent(budget_guard) == Spent(0.02, 200, 2)
    assert await storage.spending.of("alice", TODAY) == Spent(0.02, 200, 2)


async def test_what_an_answer_does_not_tell_counts_as_its_worst_case(storage: Storage) -> None:
    budget_guard = budget(storage, usd=1.0, tokens=1000)
    await charge(budget_guard, answer("a", usd=None, tokens=None))
    assert await spent(budget_guard) == Spent(0.01, 100, 1)


async def test_without_a_price_a_budget_in_usd_pays_for_nothing(storage: Storage) -> None:
    """Which does not pass by itself; a budget of tokens needs no price."""
    unknown = replace(WORST, usd=None)
    with pytest.raises(BudgetExceeded) as refused:
        await charge(budget(storage, usd=1.0, tokens=1000), AssertionError(), cost=unknown)
    assert not refused.value.passes
    assert refused.value.reason == wording("planning.day.no-price", model="a/one")

    by_tokens = budget(storage, tokens=1000)
    await charge(by_tokens, answer("a", usd=None), cost=unknown)
    await charge(by_tokens, answer("a", usd=0.1), call(1))
    assert await spent(by_tokens) == Spent(None, 40, 2)  # "not known", never 0

    later_in_usd = budget(storage, usd=1.0)
    with pytest.raises(BudgetExceeded) as refused:
        await charge(later_in_usd, AssertionError())
    assert refused.value.passes
    assert refused.value.reason == wording("planning.day.unpriced", until="2026-11-23T00:00:00Z")


async def test_an_answer_counts_for_the_day_on_which_it_was_asked_for(storage: Storage) -> None:
    clock = Clock()
    budget_guard, provider = budget(storage, clock, usd=1.0), Provider()
    paying = asyncio.create_task(budget_guard.charge(call(), WORST, provider.ask))
    await asked(provider)
    clock.now += DAY / 2
    assert await spent(budget_guard) == Spent()
    provider.calls[0].set_result(answer("a", usd=0.25))
    await paying

    assert await spent(budget_guard) == Spent()
    assert await storage.spending.of("alice", TODAY) == Spent(0.25, 20, 1)


async def test_first_calls_at_once_share_one_account(storage: Storage) -> None:
    """Also where the stored sum is read by one while another has spent something already."""
    budget_guard = budget(storage, usd=1.0)
    await asyncio.gather(*(charge(budget_guard, answer("a", usd=0.01), call(n)) for n in range(30)))
    assert await spent(budget_guard) == Spent(pytest.approx(0.3), 600, 30)  # type: ignore[arg-type]
    assert await storage.spending.of("alice", TODAY) == await spent(budget_guard)


async def test_where_the_storage_fails_the_call_is_told_and_its_worst_case_stays_set_aside(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is let go on without what was spent being stored."""

    async def fail(*_: object) -> bool:
        raise sqlite3.OperationalError

    budget_guard = budget(storage, usd=0.015)
    with monkeypatch.context() as patch:
        patch.setattr(storage.spending, "add", fail)
        with pytest.raises(sqlite3.OperationalError):
            await charge(budget_guard, answer("a", usd=0.001))
    with pytest.raises(BudgetExceeded):
        await charge(budget_guard, answer("b"), call(1))


async def test_days_of_more_than_a_year_ago_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with open_storage(f"sqlite:///{path}") as storage:
        for day in ("2025-11-21", "2025-11-22", TODAY):
            await storage.spending.add(call(), day, WORST)
    with sqlite3.connect(path) as connection:
        days = connection.execute("SELECT day FROM spending ORDER BY day").fetchall()
    connection.close()
    assert days == [("2025-11-22",), (TODAY,)]
