"""A SQLite installation moves to Postgres, and is there what it was."""

import lzma
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig

from graph.build import build_graph
from graph.compose import open_runs
from graph.record.record import Record
from graph.settings import Settings
from graph.state import DEFAULT_LIMITS
from graph.state.row import IdempotencyKey, RunRow
from graph.storage.open import migrate, move, open_storage
from graph.storage.postgres import schema
from graph.storage.postgres.migration import MOVED_TABLES
from graph.storage.records import ThreadChange
from graph.storage.search import Search
from graph.storage.storage import StorageError
from nodes.planning.model import Call, Cost
from tests.support.checkout import ROOT
from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.servers.server_process import runwright, serving
from tests.support.stored.stored_runs import TOOLS_WHEN_MADE
from tools.calculator import calculator
from tools.registry import make_tools

STORED = ROOT / "tests/support/stored/databases"

ROW = RunRow(run_id="a", owner="me", prompt="add milk", limits=DEFAULT_LIMITS, created_at=1.5)


def unpacked(name: str, folder: Path) -> Path:
    path = folder / "runs.db"
    path.write_bytes(lzma.decompress((STORED / name).read_bytes()))
    return path


async def records(url: str) -> list[Record]:
    """What every owner is told of every run."""
    settings = Settings(database_url=url, tools=tuple(TOOLS_WHEN_MADE.split(",")))
    found: list[Record] = []
    async with open_runs(settings, resume_unfinished=False) as runs:
        for owner in ("alice", "bob", "default"):
            page = await runs.search(owner, Search(limit=200))
            found += [await runs.get(one["run_id"], owner=owner) for one in page["runs"]]
    return found


#: Moments that the two have in forms of their own.
MOMENTS = ("created_at", "updated_at", "expires_at")


def rows_of(connection: Any, table: str, columns: str) -> list[tuple[Any, ...]]:
    found = connection.execute(f"SELECT {columns} FROM {table} ORDER BY {columns}").fetchall()
    return [tuple(map(plain, row)) for row in found]


def plain(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def every_row(path: Path, postgres: PostgresServer) -> Iterator[tuple[str, Any, Any]]:
    """Each table with its rows as they are in the file and as they are in Postgres."""
    import psycopg

    with closing(sqlite3.connect(path)) as file, psycopg.connect(postgres.url) as there:
        there.execute("SET search_path TO runwright")
        for table in MOVED_TABLES:
            names = [one[1] for one in file.execute(f"PRAGMA table_info({table})")]
            kept = [one for one in names if table != "store" or one not in MOMENTS]
            columns = ", ".join(kept)
            yield table, rows_of(file, table, columns), rows_of(there, table, columns)


@pytest.mark.parametrize("name", ["settled_11.db.xz", "unfinished_11.db.xz"])
async def test_what_an_installation_has_kept_is_kept_record_by_record(
    postgres: PostgresServer, tmp_path: Path, name: str
) -> None:
    path = unpacked(name, tmp_path)
    source, url = f"sqlite:///{path}", postgres.empty()
    before = await records(source)
    moved = await move(source, url)

    assert moved.runs == len(before) > 10
    for table, there, here in every_row(path, postgres):
        assert sorted(there, key=repr) == sorted(here, key=repr), table
    assert await records(url) == before


async def test_all_that_is_kept_beside_runs_moves_with_them(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    path = tmp_path / "runs.db"
    source, url = f"sqlite:///{path}", postgres.empty()
    key, call = IdempotencyKey(name="k", fingerprint="f"), Call("me", "a", "first", "a/b")
    async with open_storage(source) as storage:
        await storage.outbox.subscribe({"https://example.org/hook": ["waiting", "completed"]})
        await storage.index.accept_once(replace(ROW, thread_name="home"), key)
        await storage.index.accept(replace(ROW, run_id="b", thread_id="a", metadata={"n": "é"}))
        await storage.threads.change("a", "me", ThreadChange(metadata={"of": "mine"}))
        await storage.index.project("a", "running", started_at=2.0, completed_at=None)
        await storage.index.project("a", "completed", started_at=2.0, completed_at=3.0)
        await storage.spending.add(call, "2026-11-22", Cost(usd=0.5, tokens=7))
        await storage.store.aput(("todos", "me"), "1", {"text": "milk \x00", "n": 1e22})
        item = await storage.store.aget(("todos", "me"), "1")
    await move(source, url)

    for table, there, here in every_row(path, postgres):
        assert there or table in ("spending_held", "checkpoints", "writes"), table
        assert sorted(there, key=repr) == sorted(here, key=repr), table
    async with open_storage(url) as storage:
        [due] = await storage.outbox.due(1e12, limit=9)
        moved = await storage.store.aget(("todos", "me"), "1")
        await storage.index.accept(replace(ROW, run_id="c", prompt="Café"))
        found = await storage.index.search("me", Search(text="milk"))
        last = await storage.index.search("me", Search(text="cafe"))

        assert (due.run_id, due.status) == ("a", "completed")
        assert item is not None
        assert moved is not None
        assert (moved.value, moved.created_at) == (item.value, item.created_at.replace(tzinfo=UTC))
        assert await storage.threads.named("me", "home") == "a"
        assert [row.run_id for row in found.rows] == ["b", "a"]
        assert [row.run_id for row in last.rows] == ["c"]
        assert (await storage.index.kept("me")).runs == 3
        assert (await storage.spending.of("me", "2026-11-22")).usd == 0.5
        assert not await storage.spending.add(call, "2026-11-22", Cost(usd=0.5, tokens=7))
        first = await storage.index.find_key("me", "k", at=2.0)
        assert first is not None
        assert first.run_id == "a"


async def test_a_database_that_has_something_is_left_as_it_is(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    source, url = f"sqlite:///{tmp_path}/runs.db", postgres.empty()
    async with open_storage(source) as storage:
        await storage.index.accept(ROW)
    async with open_storage(url) as storage:
        await storage.store.aput(("todos", "me"), "1", {"text": "milk"})
    with pytest.raises(StorageError, match="is not empty: it has store; move into a database"):
        await move(source, url)

    assert postgres.execute("SELECT count(*) FROM runwright.runs") == [(0,)]


async def test_a_move_that_fails_has_moved_nothing(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    source, url = f"sqlite:///{tmp_path}/runs.db", postgres.empty()
    async with open_storage(source) as storage:
        await storage.index.accept(ROW)
        await storage.store.aput(("todos", "me"), "1", {"text": "milk"})
    with closing(sqlite3.connect(tmp_path / "runs.db")) as file, file:
        file.execute("UPDATE store SET key = 'a' || char(0)")
    with pytest.raises(StorageError, match="NUL"):
        await move(source, url)

    assert postgres.execute("SELECT count(*) FROM runwright.runs") == [(0,)]
    with closing(sqlite3.connect(tmp_path / "runs.db")) as file, file:
        file.execute("UPDATE store SET key = 'a'")
    assert (await move(source, url)).stored == 1
    async with open_storage(url) as storage:
        assert await storage.index.find("a") == ROW
        await storage.index.accept(replace(ROW, run_id="b"))  # the triggers are there again
        assert (await storage.index.kept("me")).runs == 2


def test_what_was_left_unfinished_goes_on_after_the_move(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url, flaky = postgres.empty(), "examples.flaky:sleep"
    with serving(tmp_path, tools=flaky) as server:
        run_id = server.post("add todo milk, then sleep 30 seconds, then show my list")
        server.until(run_id, lambda record: record["execution_log"])
        busy = runwright(
            *("migrate", "--from", f"sqlite:///{tmp_path}/runs.db"),
            folder=tmp_path,
            database_url=url,
        )
        server.kill()
    done = runwright(
        *("migrate", "--from", f"sqlite:///{tmp_path}/runs.db"), folder=tmp_path, database_url=url
    )

    assert (busy.returncode, server.url in busy.stderr) == (2, True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 run with ")
    with runs_kept_in(tmp_path, url), serving(tmp_path, tools=flaky) as server:
        assert [step["step"] for step in server.get(run_id)["execution_log"]] == [1]
        server.client.post(f"/runs/{run_id}/cancel")
        assert server.settled(server.post("show my list"))["result"]["output"][0]["text"] == "milk"


async def test_checkpoints_that_name_others_are_read_there_but_by_no_program_of_before(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written there afterwards is as those of before read it, beside whom it may be."""
    source, url = f"sqlite:///{tmp_path}/runs.db", postgres.empty()
    config: RunnableConfig = {"configurable": {"thread_id": "t"}}
    prompt = {"prompt": "calculate 10 + 5, and then multiply it by 3"}
    tools = make_tools([calculator])
    kept = "SELECT count(*) FROM runwright.checkpoints WHERE position('base' in checkpoint) > 0"
    async with open_storage(source) as storage:
        graph = build_graph(tools, checkpointer=storage.saver, store=storage.store)
        await graph.ainvoke(prompt, config, durability="sync", interrupt_after=["execute_step"])
        states = [of async for *of, _, _ in graph.aget_state_history(config)]
    await move(source, url)
    [(moved,)] = postgres.execute(kept)
    async with open_storage(url) as storage:
        graph = build_graph(tools, checkpointer=storage.saver, store=storage.store)
        assert [of async for *of, _, _ in graph.aget_state_history(config)] == states
        done = await graph.ainvoke(None, config, durability="sync")
        later = [of async for *of, _, _ in graph.aget_state_history(config)]

    assert [entry["output"] for entry in done["log"]] == [15, 45]
    assert later[-len(states) :] == states
    assert moved == 1
    assert postgres.execute(kept) == [(moved,)]

    steps, beside = (*schema.MIGRATIONS, ()), schema.BESIDE | {schema.VERSION + 1}
    for program in (len(steps), schema.OF_FILES, schema.OF_FILES - 1):
        with monkeypatch.context() as other:
            other.setattr(schema, "VERSION", program)
            other.setattr(schema, "MIGRATIONS", steps[:program])
            other.setattr(schema, "BESIDE", beside)
            if program >= schema.OF_FILES:
                assert (await migrate(url))[1] == len(steps)
                continue
            with pytest.raises(StorageError, match="newer Runwright"):
                await migrate(url)


async def test_migrating_again_changes_nothing(postgres: PostgresServer) -> None:
    assert await migrate(postgres.url) == await migrate(postgres.url)
