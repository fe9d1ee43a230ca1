"""Searches take turns, owner after owner, and each goes only so far; what it tells stays true."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from graph.storage.open import open_storage
from graph.storage.search import Found, Search, SearchTooLarge, total
from graph.storage.sqlite import index
from graph.storage.sqlite.index import ReadBudget, look_up
from graph.storage.sqlite.maintenance import FairLock, Searcher
from graph.storage.storage import Storage
from tests.graph.storage.sqlite.test_search_work import CountingSearcher
from tests.graph.storage.test_search import accept_all, ended
from tests.support.examples import slow

#: How many runs the owner has that searches go through.
RUNS = 400


async def test_turns_go_from_owner_to_owner() -> None:
    lock, order = FairLock(), list[str]()

    async def take(owner: str) -> None:
        async with lock.of(owner):
            order.append(owner)
            await asyncio.sleep(0)

    await asyncio.gather(*(take("many") for _ in range(20)), take("one"), take("another"))
    assert order[:4] == ["many", "many", "one", "another"]
    assert order[4:] == ["many"] * 18


async def test_a_turn_that_fails_is_passed_on() -> None:
    lock = FairLock()

    async def fail() -> None:
        async with lock.of("one"):
            await asyncio.sleep(0)
            raise ValueError

    failed = await asyncio.gather(*(fail() for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in failed] == [ValueError] * 5
    async with lock.of("another"):
        assert not lock.is_waited_for


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the runs, which take longer to store than to be found."""
    path = tmp_path_factory.mktemp("filled") / "runs.db"
    rows = [
        ended(
            f"{number}",
            seconds=float(number * 7 % RUNS),
            usd=None,
            prompt="task odd" if number % 2 else "task " + "long " * 50,
            status="failed" if number % 20 == 0 else "completed",
        )
        for number in range(RUNS)
    ]

    async def fill() -> None:
        async with open_storage(f"sqlite:///{path}") as storage:
            await accept_all(storage, rows)

    asyncio.run(fill())
    return path


@pytest.fixture
async def storage(tmp_path: Path, filled: Path) -> AsyncIterator[Storage]:
    async with open_storage(f"sqlite:///{shutil.copy(filled, tmp_path)}") as storage:
        yield storage


def paced(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    """Let searches go through parts that are so large at most."""
    for name in ("BY_FACTS", "BY_WORDS"):
        bounds: ReadBudget = getattr(index, name)
        monkeypatch.setattr(index, name, replace(bounds, **fields))


BOTH_WAYS = pytest.mark.parametrize("descending", [True, *slow(False)])

SMALL: Mapping[str, Any] = {"first": 16, "every": 100, "most": 2, "budget": 10**9}


async def pages(storage: Storage, search: Search) -> list[Found]:
    found = [await storage.index.search("me", search)]
    while found[-1].after:
        found.append(await storage.index.search("me", replace(search, after=found[-1].after)))
    return found


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"statuses": ("failed",)},
        {"text": "task"},
        {"text": "odd", "statuses": ("completed",)},
        {"text": "long", "sort": "duration"},
        {"max_retries": 0, "sort": "duration", "statuses": ("failed",)},
    ],
    ids=str,
)
@BOTH_WAYS
async def test_what_is_looked_through_in_parts_is_found_as_at_once(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], descending: bool
) -> None:
    search = Search(limit=60, descending=descending, **asked)
    at_once = await pages(storage, search)
    paced(monkeypatch, **SMALL)
    assert await pages(storage, search) == at_once


@BOTH_WAYS
@pytest.mark.parametrize("asked", [{"text": "odd"}, {"tool": "none"}, {"max_retries": 0}], ids=str)
async def test_beyond_the_budget_pages_are_shorter_and_lead_to_every_run(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], descending: bool
) -> None:
    """What is counted is told to be a lower bound, and nothing is left out or told twice."""
    search = Search(limit=60, descending=descending, **asked)
    at_once = await pages(storage, search)
    paced(monkeypatch, **SMALL | {"budget": 300})
    in_parts = await pages(storage, search)

    rows = [[row.run_id for page in found for row in page.rows] for found in (at_once, in_parts)]
    assert rows[0] == rows[1]
    assert len(in_parts) > len(at_once)
    for page in in_parts:
        told, is_lower_bound = total(page, search)
        assert told <= at_once[0].matching
        assert is_lower_bound or told == at_once[0].matching
    assert any(total(page, search)[1] for page in in_parts)


async def test_a_budget_that_ends_before_the_first_by_an_order_is_known_is_told(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest of those that were looked through need not be the longest."""
    paced(monkeypatch, **SMALL | {"budget": 300})
    with pytest.raises(SearchTooLarge):
        await storage.index.search("me", Search(text="task", sort="duration"))


async def test_a_search_of_many_words_takes_no_more_steps_than_its_budget(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As many as one without a budget would, are more; some part is always looked through."""
    many = Search(text=".".join(["long"] * 45))

    async def steps() -> int:
        async with aiosqlite.connect(tmp_path / "runs.db") as connection:
            searcher = CountingSearcher(connection)
            await look_up(searcher, "me", many)
            return searcher.taken

    without = await steps()
    paced(monkeypatch, **SMALL | {"budget": 1_000})
    assert await steps() * 2 < without


async def test_others_are_let_in_between_the_parts_of_a_search(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Their searches come to an end while this one goes on."""
    paced(monkeypatch, **SMALL)
    read: list[str] = []

    class Noting(Searcher):
        async def _read(self, owner: str, *arguments: Any) -> Any:
            rows = await super()._read(owner, *arguments)
            read.append(owner)
            return rows

    async with aiosqlite.connect(tmp_path / "runs.db") as connection:
        searcher = Noting(connection)
        asked = Search(text="task", sort="duration")
        await asyncio.gather(*(look_up(searcher, "me", asked) for _ in range(5)))
        alone = len(read)
        read.clear()
        slow = [look_up(searcher, "me", asked) for _ in range(5)]
        await asyncio.gather(*slow, look_up(searcher, "you", Search()))
    last = len(read) - 1 - read[::-1].index("you")
    assert last < 10 < alone


async def test_a_statement_ends_early_where_others_wait(tmp_path: Path) -> None:
    count = (
        "WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up LIMIT {})"
        " SELECT count(*) FROM up"
    )
    async with aiosqlite.connect(tmp_path / "any.db") as connection:
        searcher = Searcher(connection)

        async def read(owner: str, numbers: int) -> tuple[Any, int]:
            return await searcher.read(owner, count.format(numbers), (), every=1_000, most=80)

        [(alone, steps)] = [await read("me", 3_000)]
        assert alone == [(3_000,)]
        assert 10_000 < steps <= 80_000
        (beside, _), *_ = await asyncio.gather(read("me", 3_000), read("you", 10), read("you", 10))
        assert beside is None
        assert (await read("me", 1_000_000))[0] is None


async def test_the_search_of_an_owner_takes_as_many_steps_whatever_others_have(
    storage: Storage, tmp_path: Path
) -> None:
    """A frequent word is theirs as well; numbers in cursors are counted by owner."""

    async def steps(owner: str, **asked: Any) -> int:
        async with aiosqlite.connect(tmp_path / "runs.db") as connection:
            searcher = CountingSearcher(connection)
            await look_up(searcher, owner, Search(limit=5, **asked))
            return searcher.taken

    async def accepted(owner: str) -> None:
        rows = [ended(f"{owner}{n}", 1.0, 0.1, prompt="task odd", owner=owner) for n in range(10)]
        await accept_all(storage, rows)

    await accepted("first")
    alone = [await steps("first", text=text) for text in ("task", "odd", "long")]
    many = [ended(f"x{n}", 1.0, 0.1, prompt="task odd long", owner="other") for n in range(1_000)]
    await accept_all(storage, many)
    await accepted("second")
    beside = [await steps("second", text=text) for text in ("task", "odd", "long")]
    again = [await steps("first", text=text) for text in ("task", "odd", "long")]
    for one, two, three in zip(alone, beside, again, strict=True):
        assert two <= one * 1.5 + 3
        assert three <= one * 1.5 + 3

    cursors = [
        (await storage.index.search(owner, Search(limit=5, text="task"))).after
        for owner in ("first", "second")
    ]
    assert cursors[0] == cursors[1]
    assert cursors[0] is not None
    assert cursors[0].number == 6
