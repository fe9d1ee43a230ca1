"""Databases that an older program left."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from graph.state import DEFAULT_LIMITS
from graph.state.row import Kept, Quota, RunArtifacts, RunRow
from graph.state.wording import searchable
from graph.storage.open import open_storage
from graph.storage.records import AuditQuery
from graph.storage.search import Search
from graph.storage.sqlite.schema import MIGRATIONS, VERSION
from tests.support.checkout import ROOT
from tests.support.servers.server_process import serving


def test_a_run_that_version_1_left_is_resumed(tmp_path: Path) -> None:
    """Its finished step is kept as it was, the rest is done, and the crash can be seen."""
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.executescript((ROOT / "tests/support/databases/version_1.sql").read_text())
        [(run_id,)] = connection.execute("SELECT run_id FROM runs")
    connection.close()
    with serving(tmp_path, tools="examples.flaky:sleep") as server:
        record = server.settled(run_id)
    assert record["status"] == "completed", record["error"]
    assert [entry["step"] for entry in record["execution_log"]] == [1, 2, 3]
    assert [todo["text"] for todo in record["result"]["output"]] == ["from version one"]
    assert [mark["what"] for mark in record["marks"]] == ["taken_up"]
    assert record["execution_log"][0]["started_at"] < record["marks"][0]["at"]


@contextmanager
def of_version(version: int, path: Path) -> Iterator[sqlite3.Connection]:
    """A database with the tables of an earlier version, for what is to be in them."""
    with closing(sqlite3.connect(path)) as earlier, earlier:
        earlier.create_function("searchable", 1, searchable, deterministic=True)
        for statements in MIGRATIONS[:version]:
            for statement in statements:
                earlier.execute(statement)
        earlier.execute(f"PRAGMA user_version = {version}")
        yield earlier


@pytest.mark.parametrize("version", range(1, VERSION))
async def test_tables_of_every_earlier_version_are_brought_up_to_this_one(
    tmp_path: Path, version: int
) -> None:
    """The runs in them are as they were, can be cancelled, and are not migrated twice."""
    path = tmp_path / "runs.db"
    with of_version(version, path) as earlier:
        earlier.execute(
            "INSERT INTO runs (run_id, owner, prompt, limits, created_at, status, starts)"
            " VALUES ('a', 'me', 'task', '{}', 1.5, 'running', 1)"
        )
    left = RunRow(
        run_id="a",
        owner="me",
        prompt="task",
        limits={},  # type: ignore[typeddict-item]
        created_at=1.5,
        status="running",
    )
    new = RunRow(run_id="b", owner="me", prompt="task", limits=DEFAULT_LIMITS, created_at=2.5)
    async with open_storage(f"sqlite:///{path}") as storage:
        assert await storage.index.unsettled() == [left]
        assert await storage.index.request_cancel("a", at=3.5, by="me")
        await storage.index.accept(new)
    async with open_storage(f"sqlite:///{path}") as storage:
        assert [row.cancel_at for row in await storage.index.unsettled()] == [3.5, None]
    with sqlite3.connect(path) as now:
        assert now.execute("PRAGMA user_version").fetchone() == (VERSION,)
    now.close()


async def test_what_an_earlier_version_settled_is_found_in_every_order(tmp_path: Path) -> None:
    """Runs that were there before the indexes of duration and cost are in them as well."""
    path = tmp_path / "runs.db"
    with of_version(9, path) as earlier:
        earlier.executemany(
            "INSERT INTO runs (run_id, owner, prompt, limits, created_at, status, starts,"
            " started_at, completed_at, usd)"
            " VALUES (?, 'me', 'task', '{}', 1.5, 'completed', 1, 2.0, ?, ?)",
            [("a", 4.0, 0.2), ("b", 5.0, 0.1), ("c", 3.0, 0.3)],
        )
    async with open_storage(f"sqlite:///{path}") as storage:
        longest = await storage.index.search("me", Search(sort="duration", limit=2))
        dearest = await storage.index.search("me", Search(sort="cost", limit=2))
    assert [row.run_id for row in longest.rows] == ["b", "a"]
    assert [row.run_id for row in dearest.rows] == ["c", "a"]


async def test_what_an_earlier_version_stored_is_found_by_the_words_of_any_script(
    tmp_path: Path,
) -> None:
    """And is forgotten when its run is removed."""
    path = tmp_path / "runs.db"
    with of_version(12, path) as earlier:
        earlier.executemany(
            "INSERT INTO runs (run_id, owner, prompt, limits, created_at, status, starts)"
            " VALUES (?, 'me', ?, '{}', 1.5, 'completed', 1)",
            [("a", "明天买牛奶"), ("b", "to the STRASSE")],
        )
    async with open_storage(f"sqlite:///{path}") as storage:
        found = [await storage.index.search("me", Search(text=text)) for text in ("牛奶", "straße")]
        await storage.remove([RunArtifacts("a", 0, ("receipts", "me"), [])])
        after = await storage.index.search("me", Search(text="牛奶"))
    assert [[row.run_id for row in page.rows] for page in found] == [["a"], ["b"]]
    assert after.matching == 0


async def test_runs_of_several_owners_are_numbered_and_counted_by_owner(tmp_path: Path) -> None:
    """What was there before is found in its order, and counts for whoever it belongs to."""
    path = tmp_path / "runs.db"
    with of_version(11, path) as earlier:
        earlier.executemany(
            "INSERT INTO runs (run_id, owner, prompt, limits, created_at, status, starts)"
            " VALUES (?, ?, 'task', '{}', 1.5, 'completed', 1)",
            [(name, "me" if name in "bdf" else "you") for name in "abcdefg"],
        )
    async with open_storage(f"sqlite:///{path}") as storage:
        index = storage.index
        for owner, ids in (("me", "fdb"), ("you", "geca")):
            for search in (Search(limit=2), Search(limit=2, text="task")):
                first = await index.search(owner, search)
                second = await index.search(owner, replace(search, after=first.after))
                assert "".join(row.run_id for page in (first, second) for row in page.rows) == ids
                assert first.after is not None
                assert first.after.number == len(ids) - 1
            assert await index.kept(owner) == Kept(runs=len(ids), bytes=len(ids) * len("task"))
        new = RunRow(run_id="h", owner="me", prompt="x", limits=DEFAULT_LIMITS, created_at=2.5)
        assert await index.accept(new, Quota(runs=4))
        assert not await index.accept(replace(new, run_id="i"), Quota(runs=4))
        assert [row.run_id for row in (await index.search("me", Search())).rows] == [*"hfdb"]


async def test_a_migration_that_fails_leaves_the_tables_as_they_were(tmp_path: Path) -> None:
    """Half a version would be none that any program knows."""
    path = tmp_path / "runs.db"
    with of_version(2, path) as earlier:
        earlier.execute("ALTER TABLE runs ADD COLUMN cancel_by TEXT")  # the second of two is there
    with pytest.raises(Exception, match="cancel_by"):
        async with open_storage(f"sqlite:///{path}"):
            pass
    with sqlite3.connect(path) as after:
        columns = [column[1] for column in after.execute("PRAGMA table_info(runs)")]
        assert "cancel_at" not in columns
        assert after.execute("PRAGMA user_version").fetchone() == (2,)
    after.close()


async def test_who_did_what_before_is_told_as_far_as_the_rows_say_it(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    orders = {"retry": {"at": 3.0, "by": "me"}, "decision": {"what": "approved", "at": 2.0}}
    with of_version(19, path) as earlier:
        earlier.executemany(
            "INSERT INTO runs (run_id, owner, prompt, limits, created_at, status, starts,"
            " forked_from, cancel_at, cancel_by, retry, decision)"
            " VALUES (?, 'me', 'task', '{}', 1.0, 'completed', 1, ?, ?, ?, ?, ?)",
            [
                ("a", None, None, None, json.dumps(orders["retry"]), None),
                ("b", "a", 4.0, "you", None, json.dumps({**orders["decision"], "by": "boss"})),
            ],
        )
    async with open_storage(f"sqlite:///{path}") as storage:
        found, more = await storage.audit.page(None, AuditQuery(), limit=9, before=None)
    assert more is None
    assert [(entry["kind"], entry["run_id"], entry["by"]) for entry in found] == [
        ("cancel", "b", "you"),
        ("retry", "a", "me"),
        ("approve", "b", "boss"),
        ("fork", "b", "me"),
        ("post", "a", "me"),
    ]
