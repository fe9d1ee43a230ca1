"""Whatever is asked of whatever runs, a backend finds what their rows say, page by page."""

import random
from dataclasses import replace
from typing import Any

import pytest

from graph.state import DEFAULT_LIMITS
from graph.state.row import RunRow
from graph.state.run import Facts
from graph.state.status import STATUSES
from graph.storage.search import Search
from graph.storage.sqlite import index
from graph.storage.storage import Storage
from tests.graph.storage.test_search import row
from tests.support.databases.found_rows import search_rows

OWNERS = ("me", "you")
WORDS = ("milk", "Bread", "café", "todo")
MODELS = (None, "a/b", "a/c")
TOOLS = ("calculator", "todo_store.add", "calc")

#: What is near enough to be walked to, which SQLite alone does: the first steps, and all of them.
NEAR = [
    ("sqlite", (30, 300)),
    pytest.param("sqlite", (2, 8), marks=pytest.mark.slow),
    ("sqlite", (0, 0)),
    pytest.param("postgres", (30, 300), marks=pytest.mark.slow),
    pytest.param("postgres", (2, 8), marks=pytest.mark.slow),  # other rows and searches
    pytest.param("postgres", (0, 0), marks=pytest.mark.slow),
]


def some_row(number: int, chance: random.Random) -> RunRow:
    """A run with values that often coincide, so that ties are common, or are not known."""
    facts = Facts(
        planner=chance.choice((None, "llm", "pattern")),
        model=chance.choice(MODELS),
        tools=tuple(chance.sample(TOOLS, chance.randrange(3))),
        usd=chance.choice((None, 0.0, 0.1, 0.25)),
        retries=chance.randrange(3),
        rounds=chance.randrange(3),
        taken_up=chance.randrange(2),
    )
    started = chance.choice((None, 100.1, 100.7))
    seconds = chance.choice((None, 0.1, 1.3, 2.0))
    return RunRow(
        run_id=f"{number}",
        owner=chance.choice(OWNERS + OWNERS[:1]),
        prompt=" ".join(["task", *chance.sample(WORDS, chance.randrange(4))]),
        limits=DEFAULT_LIMITS,
        created_at=float(chance.randrange(10)),
        status=chance.choice((*STATUSES, "completed", "completed")),
        started_at=started,
        completed_at=None if None in (started, seconds) else started + seconds,
        facts=facts,
        metadata=chance.choice((None, {"team": "red"}, {"n": "é", "team": "red"})),
    )


def some_search(chance: random.Random) -> Search:
    """A search with a few of the filters."""
    filters: dict[str, Any] = {
        "statuses": tuple(sorted(chance.sample(STATUSES, chance.randrange(1, 4)))),
        "text": chance.choice(("task", "task", "milk", "bread TASK", "cafe", "none")),
        "tool": chance.choice(TOOLS),
        "planner": chance.choice(("llm", "pattern")),
        "model": chance.choice(MODELS[1:]),
        "created_from": float(chance.randrange(10)),
        "created_before": float(chance.randrange(10)),
        "min_usd": chance.choice((0.0, 0.1)),
        "max_usd": chance.choice((0.1, 0.3)),
        "min_retries": chance.randrange(3),
        "max_retries": chance.randrange(3),
        "min_rounds": chance.randrange(3),
        "max_rounds": chance.randrange(3),
        "taken_up": chance.random() < 0.5,
        "metadata": chance.choice(((("team", "red"),), (("n", "é"),))),
    }
    names = chance.sample(sorted(filters), chance.choice((0, 0, 1, 1, 2, 3)))
    if chance.random() < 0.5:
        names.append("text")
    return Search(
        **{name: filters[name] for name in names},
        sort=chance.choice(("time", "duration", "cost")),
        descending=chance.random() < 0.5,
        limit=chance.choice((1, 3, 10)),
    )


@pytest.mark.parametrize("bound", [10_000, 4])
@pytest.mark.parametrize(("database_url", "near"), NEAR, indirect=["database_url"])
async def test_what_is_found_is_what_the_rows_say_while_runs_are_added(
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
    near: tuple[int, int],
    bound: int,
) -> None:
    for module in (
        "tests.support.databases.found_rows",
        "graph.storage.search",
        "graph.storage.sqlite.index",
    ):
        monkeypatch.setattr(f"{module}.MOST_COUNTED", bound)
        monkeypatch.setattr(f"{module}.MOST_COUNTED_BY_WORDS", bound)
    monkeypatch.setattr(index, "FIRST", near[0])
    monkeypatch.setattr(index, "STEPS", near[1])
    chance = random.Random(near[1] + bound)
    rows = [some_row(number, chance) for number in range(60)]
    for one in rows:
        await storage.index.accept(one)
    for _ in range(40):
        search = some_search(chance)
        while True:
            mine = [*enumerate((one for one in rows if one.owner == "me"), 1)]
            found = await storage.index.search("me", search)
            assert found == search_rows(mine, search), search
            if found.after is None:
                break
            search = replace(search, after=found.after)
            if chance.random() < 0.05 and len(rows) < 200:
                rows.append(some_row(len(rows), chance))
                await storage.index.accept(rows[-1])


async def test_a_run_is_counted_once_and_where_it_has_come_to(storage: Storage) -> None:
    """The index of facts follows the run: it is counted once, where it has come to."""
    await storage.index.accept(row("a", prompt="task"))
    before = await storage.index.search("me", Search())
    await storage.index.project("a", "running", started_at=1.0, completed_at=None)
    after = await storage.index.search("me", Search())

    assert before.counts is not None
    assert after.counts is not None

    assert (before.counts["pending"], before.counts["running"]) == (1, 0)
    assert (after.counts["pending"], after.counts["running"]) == (0, 1)
