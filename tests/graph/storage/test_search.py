"""Finding runs again, the same on every backend."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from graph.state import DEFAULT_LIMITS
from graph.state.row import RunRow
from graph.state.run import Facts
from graph.state.status import STATUSES
from graph.storage.search import InvalidCursor, Position, Search, decode, encode, total
from graph.storage.storage import Storage
from tests.support.patience import patience, until
from tests.support.runs.live_runs import Gates, process


def row(run_id: str, **fields: Any) -> RunRow:
    given: dict[str, Any] = {"owner": "me", "prompt": "task", "created_at": 100.0} | fields
    return RunRow(run_id=run_id, limits=DEFAULT_LIMITS, **given)


def ended(run_id: str, seconds: float, usd: float | None, **fields: Any) -> RunRow:
    given = {"status": "completed", "started_at": 10.0, "completed_at": 10.0 + seconds} | fields
    return row(run_id, facts=Facts(usd=usd), **given)


async def accept(storage: Storage, *rows: RunRow) -> None:
    for one in rows:
        await storage.index.accept(one)


async def ids(storage: Storage, owner: str = "me", **asked: Any) -> str:
    found = await storage.index.search(owner, Search(**asked))
    return " ".join(one.run_id for one in found.rows)


CALCULATED = Facts(planner="llm", model="a/b", tools=("calculator", "todo_store.add"), usd=0.5)
RETRIED = Facts(planner="pattern", tools=("calc",), usd=0.0, retries=3, taken_up=1, rounds=2)
PAIRS = {"n": "1", "team": "red"}
QUOTED = {"n": 'a "b": "c"', "team": "red"}
ROWS = [
    row("a", status="completed", facts=CALCULATED, created_at=100.0, metadata=PAIRS),
    row("b", status="failed", facts=RETRIED, created_at=200.0, metadata=QUOTED),
    row("c", created_at=300.0),
    row("d", owner="you", status="completed", facts=CALCULATED, created_at=150.0),
]


#: What is asked, and the runs that are found by it.
ASKED: list[tuple[dict[str, Any], str]] = [
    ({}, "c b a"),
    ({"descending": False}, "a b c"),
    ({"statuses": ("completed",)}, "a"),
    ({"statuses": ("failed", "pending")}, "c b"),
    ({"statuses": ("waiting",)}, ""),
    ({"tool": "calculator"}, "a"),
    ({"tool": "calc"}, "b"),
    ({"tool": "todo_store"}, ""),
    ({"tool": '"%'}, ""),
    ({"planner": "llm"}, "a"),
    ({"planner": "pattern"}, "b"),
    ({"model": "a/b"}, "a"),
    ({"created_from": 200.0}, "c b"),
    ({"created_before": 200.0}, "a"),
    ({"created_from": 150.0, "created_before": 250.0}, "b"),
    ({"min_usd": 0.0}, "b a"),
    ({"max_usd": 0.1}, "b"),
    ({"min_usd": 0.5, "max_usd": 0.5}, "a"),
    ({"min_retries": 1}, "b"),
    ({"max_retries": 2}, "c a"),
    ({"min_rounds": 1}, "b"),
    ({"max_rounds": 1}, "c a"),
    ({"taken_up": True}, "b"),
    ({"taken_up": False}, "c a"),
    ({"planner": "pattern", "taken_up": True, "statuses": ("failed",)}, "b"),
    ({"planner": "pattern", "taken_up": False}, ""),
    ({"metadata": (("team", "red"),)}, "b a"),
    ({"metadata": (("n", 'a "b": "c"'),)}, "b"),
    ({"metadata": (("n", "1"), ("team", "red"))}, "a"),
    ({"metadata": (("b", "c"),)}, ""),
    ({"metadata": (("team", "re"),)}, ""),
    ({"metadata": (("team", "red"),), "sort": "cost", "limit": 1}, "a"),
]


async def test_runs_are_found_by_what_is_asked(storage: Storage) -> None:
    """All filters have to hold; another owner's run is never found."""
    await accept(storage, *ROWS)

    assert [(asked, await ids(storage, **asked)) for asked, _ in ASKED] == ASKED


PROMPTS = {
    "milk": "Add a todo: buy MILK, bread",
    "cafe": "put Café-Crème on my list",
    "tokyo": "Grüße aus 東京 한국",
    "chinese": "提醒我明天买牛奶和面包",
    "japanese": "ｶﾀｶﾅの買い物リストに牛乳を追加して",
    "thai": "เพิ่มนมลงในรายการซื้อของ",
    "korean": "내일 우유를 사야 해",
    "wide": "\uff22\uff55\uff59 \uff26\uff29\uff33\uff28 for the straße №\uff15",
    "hidden": "write to pe\u00adter\u200b about ﬁgs",
    "odd": 'say "OR NOT near(x)" prompt:y * ^z',
}


#: Words, and the prompts that are found by them.
SOUGHT = [
    ("milk", "milk"),
    ("bread milk", "milk"),
    ("mil", ""),
    ("milk cafe", ""),
    ("CAFE", "cafe"),
    ("café-crème", "cafe"),
    ("creme-cafe", ""),
    ("on", "cafe"),
    ("grusse", "tokyo"),
    ("GRÜSSE", "tokyo"),
    ("牛奶", "chinese"),
    ("买牛奶", "chinese"),
    ("明天 面包", "chinese"),
    ("奶牛", ""),
    ("牛", "japanese chinese"),
    ("牛乳", "japanese"),
    ("カタカナ", "japanese"),
    ("ｶﾀｶﾅ", "japanese"),
    ("リスト", "japanese"),
    ("スリト", ""),
    ("นม", "thai"),
    ("รายการ", "thai"),
    ("เพิม", ""),
    ("เพิ่ม", "thai"),
    ("우유", "korean"),
    ("유를", "korean"),
    ("우를", ""),
    ("fish", "wide"),
    ("buy", "wide milk"),
    ("\uff2d\uff29\uff2c\uff2b", "milk"),
    ("STRASSE", "wide"),
    ("straße", "wide"),
    ("no5", "wide"),
    ("peter", "hidden"),
    ("figs", "hidden"),
    ("grüße", "tokyo"),
    ("GRUßE", "tokyo"),
    ("東京", "tokyo"),
    ("한국", "tokyo"),
    ("OR", "odd"),
    ("NOT", "odd"),
    ("milk OR cafe", ""),
    ("milk NOT cafe", ""),
    ("mil*", ""),
    ("prompt:milk", ""),
    ("prompt:y", "odd"),
    ('"', ""),
    ('"milk', "milk"),
    ('milk" OR "cafe', ""),
    ("near(x)", "odd"),
    ("near(milk bread)", ""),
    ("{prompt} : milk", ""),
    ("^z", "odd"),
    ("- +", ""),
    ("milk - bread", "milk"),
]


async def test_the_words_of_a_prompt_are_looked_for_and_nothing_in_them_is_syntax(
    storage: Storage,
) -> None:
    await accept(storage, *(row(name, prompt=prompt) for name, prompt in PROMPTS.items()))

    assert [(text, await ids(storage, text=text)) for text, _ in SOUGHT] == SOUGHT


@pytest.mark.parametrize("text", [None, "task"])
async def test_a_page_leads_to_the_next_in_every_order(storage: Storage, text: str | None) -> None:
    """None is left out or told twice; what is not known comes last, whichever way."""
    rows = [
        ended("a", 2.0, 0.2),
        ended("b", 1.0, None),
        row("c"),
        ended("d", 2.0, 0.1, status="failed"),
        ended("e", 3.0, 0.2),
        row("f"),
    ]
    await accept(storage, *rows)

    assert await pages(storage, text=text) == "f e|d c|b a"
    assert await pages(storage, text=text, descending=False) == "a b|c d|e f"
    assert await pages(storage, text=text, sort="duration") == "e d|a b|f c"
    assert await pages(storage, text=text, sort="duration", descending=False) == "b a|d e|c f"
    assert await pages(storage, text=text, sort="cost") == "e a|d f|c b"
    assert await pages(storage, text=text, sort="cost", descending=False) == "d a|e b|c f"
    asked = {"statuses": ("completed", "failed"), "sort": "cost"}
    assert await pages(storage, text=text, **asked) == "e a|d b"


async def pages(storage: Storage, **asked: Any) -> str:
    search, told = Search(limit=2, **asked), []
    while True:
        found = await storage.index.search("me", search)
        told.append(" ".join(one.run_id for one in found.rows))
        if found.after is None:
            return "|".join(told)
        search = replace(
            search, after=decode(encode(found.after, search, owner=""), search, owner="")
        )


async def test_the_statuses_are_counted_whichever_of_them_are_asked_for(storage: Storage) -> None:
    await accept(storage, *ROWS)
    search = Search(statuses=("failed",), max_retries=9)
    found = await storage.index.search("me", search)

    assert found.counts is not None
    assert {status: number for status, number in found.counts.items() if number} == {
        "completed": 1,
        "failed": 1,
        "pending": 1,
    }
    assert total(found, search) == (1, False)


async def test_where_words_are_sought_the_statuses_are_not_counted(storage: Storage) -> None:
    await accept(storage, *ROWS)
    search = Search(statuses=("failed", "pending"), text="task")
    found = await storage.index.search("me", search)

    assert found.counts is None
    assert total(found, search) == (2, False)


@pytest.mark.parametrize("text", [None, "task"])
async def test_a_total_is_exact_up_to_a_bound(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    bound = 40 if text is None else 20
    for module in ("graph.storage.search", "graph.storage.sqlite.index"):
        monkeypatch.setattr(f"{module}.MOST_COUNTED", 40)
        monkeypatch.setattr(f"{module}.MOST_COUNTED_BY_WORDS", 20)
    await accept_all(storage, [row(f"{number}") for number in range(bound)])
    search = Search(text=text, limit=1)
    assert total(await storage.index.search("me", search), search) == (bound, False)

    await accept(storage, row("one more", status="failed"))
    assert total(await storage.index.search("me", search), search) == (bound, True)

    await accept_all(storage, [row(f"more {number}") for number in range(20)])
    found = await storage.index.search("me", search)
    assert found.counts is None if text else found.counts == counts(pending=41, failed=1)


def counts(**some: int) -> dict[str, int]:
    return dict.fromkeys(STATUSES, 0) | some


async def accept_all(storage: Storage, rows: Sequence[RunRow]) -> None:
    await asyncio.gather(*map(storage.index.accept, rows))


@pytest.mark.parametrize("status", ["running", "completed"])
async def test_a_change_of_status_takes_the_facts_along(storage: Storage, status: Any) -> None:
    await accept(storage, row("a"))
    await storage.index.project("a", status, started_at=2.0, completed_at=None, facts=CALCULATED)
    found = await storage.index.find("a")

    assert found == row("a", status=status, started_at=2.0, facts=CALCULATED)


async def test_a_run_is_found_by_how_it_went(storage: Storage) -> None:
    """Its facts are there with its status: planned while it goes on, then what was called."""
    gates = Gates()
    async with process(storage, gates) as runs:
        prompt = "stumble once, then gate here, then fail hard, then pass never"
        run_id = (await runs.start(prompt, owner="me"))["run_id"]
        await until(lambda: gates.waiting)
        gates.end("here")
        await runs.wait(run_id, timeout=patience(), owner=None)
        page = await runs.search("me", Search(text="stumble", tool="fail", min_retries=1))
        unused = await runs.search("me", Search(tool="pass"))

    [told] = page["runs"]
    assert told["run_id"] == run_id
    assert told["planner"] == "pattern"
    assert told["tools"] == ["stumble", "gate", "fail"]
    assert (told["usd"], told["retries"], told["taken_up"]) == (0.0, 1, 0)
    assert told["duration_ms"] > 0
    assert page["total"] == 1
    assert unused["runs"] == []


async def test_a_run_that_was_taken_up_is_found_at_once_and_afterwards(storage: Storage) -> None:
    gates = Gates()
    async with process(storage, gates, orderly=False) as runs:
        run_id = (await runs.start("gate a", owner="me"))["run_id"]
        await until(lambda: gates.waiting)
    async with process(storage, gates) as runs:
        await until(lambda: gates.waiting)
        going_on = await runs.search("me", Search(taken_up=True))
        gates.end("a")
        await runs.wait(run_id, timeout=patience(), owner=None)
        ended = await runs.search("me", Search(taken_up=True))

    assert [run["status"] for run in going_on["runs"]] == ["running"]
    assert [(run["status"], run["taken_up"]) for run in ended["runs"]] == [("completed", 1)]


CURSOR = encode(Position(key=None, number=5), Search(), owner="me")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        CURSOR + "=",
        CURSOR + "A",
        CURSOR[:-1],
        "A" * 10_000,
        "W1tbW1s",
        "bnVsbA",
        encode(Position(key=1.0, number=5), Search(), owner="me"),
        encode(Position(key=None, number=-5), Search(), owner="me"),
        encode(Position(key=None, number=2**70), Search(), owner="me"),
        encode(Position(key=None, number=5), Search(), owner="you"),
        encode(Position(key=None, number=5), Search(descending=False), owner="me"),
        encode(Position(key=None, number=5), Search(tool="calculator"), owner="me"),
    ],
    ids=lambda text: text[:12],
)
def test_what_is_no_cursor_of_the_search_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        decode(cursor, Search(), owner="me")


def test_a_cursor_holds_for_pages_of_any_size() -> None:
    assert decode(CURSOR, Search(limit=7), owner="me") == Position(key=None, number=5)
