"""A file with damaged pages: noticed at the start, by whoever meets it, and by looking for it."""

import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from graph.state import DEFAULT_LIMITS
from graph.state.row import IdempotencyKey, RunRow
from graph.storage.open import BackupFailed, back_up, open_storage
from graph.storage.search import Search
from graph.storage.sqlite.connections import MALFORMED, PAGE
from graph.storage.storage import Storage, StorageError, StorageFaults, StorageUnavailable
from nodes.planning.model import Call, Cost
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import until, wait_until
from tests.support.servers.server_process import runwright, serving

CONFIG: Any = {"configurable": {"thread_id": "r1", "checkpoint_ns": ""}}


def row(run_id: str, prompt: str = "add milk") -> RunRow:
    return RunRow(run_id=run_id, owner="me", prompt=prompt, limits=DEFAULT_LIMITS, created_at=1.5)


async def fill(path: Path, runs: int = 3) -> None:
    """Something in every table; the runs are settled."""
    async with open_storage(f"sqlite:///{path}") as storage:
        for number in range(runs):
            key = IdempotencyKey(name=f"k{number}", fingerprint="f")
            await storage.index.accept_once(row(f"r{number}", f"buy {number} {'x' * 500}"), key)
        written = await storage.saver.aput(CONFIG, empty_checkpoint(), {"step": 1}, {})
        await storage.saver.aput_writes(written, [("log", ["entry"])], "task")
        await storage.store.aput(("todos", "me"), "1", {"text": "milk"})
        call = Call(run_id="r1", key="c", owner="me", model="some/model")
        await storage.spending.add(call, "2026-11-28", Cost(usd=0.1, tokens=10))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE runs SET status = 'completed', completed_at = 2.0")


def roots(path: Path) -> dict[str, int]:
    """The first page of every table and index."""
    with closing(sqlite3.connect(path)) as database:
        return dict(database.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0"))


@contextmanager
def checkpointed(path: Path) -> Iterator[None]:
    """Everything is in the file itself, and whoever has it open reads it anew."""
    with closing(sqlite3.connect(path)) as database:
        with database:
            database.execute("UPDATE probe SET at = at + 1")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield


def damage(path: Path, *pages: int) -> None:
    """Overwrite pages, counted from 1, with what cannot be one; without pages all but the first."""
    with checkpointed(path), path.open("r+b") as file:
        for page in pages or all_pages(path):
            file.seek((page - 1) * PAGE)
            file.write(b"\xa5" * PAGE)


def all_pages(path: Path) -> range:
    """All but the first, which says what the file is."""
    return range(2, path.stat().st_size // PAGE + 1)


NEEDED = [
    *("runs", "checkpoints", "writes", "store", "request_keys", "spending", "spending_held"),
    *("probe", "runs_text_data", "runs_text_idx", "runs_number", "runs_unsettled", "runs_facts"),
    *("sqlite_autoindex_runs_1", "sqlite_autoindex_checkpoints_1", "sqlite_autoindex_store_1"),
]


@pytest.mark.parametrize("table", NEEDED)
async def test_a_start_comes_upon_damage_of_every_table_that_a_run_needs(
    tmp_path: Path, table: str
) -> None:
    path = tmp_path / "runs.db"
    await fill(path)
    damage(path, roots(path)[table])
    with pytest.raises(StorageError) as error:
        async with open_storage(f"sqlite:///{path}"):
            pass

    assert str(error.value) == f"the database {path} is {MALFORMED}"


def cut_off(path: Path) -> None:
    with checkpointed(path):
        pass
    os.truncate(path, path.stat().st_size // 2)


def zeroed(path: Path) -> None:
    with checkpointed(path), path.open("r+b") as file:
        file.seek(PAGE)
        file.write(bytes(path.stat().st_size - PAGE))


def scattered(path: Path) -> None:
    damage(path)


@pytest.mark.parametrize("harm", [cut_off, zeroed, scattered], ids=lambda harm: harm.__name__)
async def test_serve_and_doctor_say_what_to_do_about_a_damaged_file(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    path = tmp_path / "runs.db"
    await fill(path)
    harm(path)
    served = runwright("serve", folder=tmp_path)
    looked = runwright("doctor", folder=tmp_path)
    copied = runwright("backup", str(tmp_path / "copy.db"), folder=tmp_path)

    assert (served.returncode, served.stdout) == (2, "")
    assert served.stderr == f"runwright: the database {path} is {MALFORMED}\n"
    assert f"the database {path} is {MALFORMED}" in looked.stdout
    assert looked.returncode == 1
    assert copied.returncode == 2
    assert "an earlier copy is to be put back" in copied.stderr
    assert not (tmp_path / "copy.db").exists()


Meeting = Callable[[Storage], Awaitable[object]]


async def write_checkpoint(storage: Storage) -> None:
    await storage.saver.aput(CONFIG, empty_checkpoint(), {"step": 2}, {})


async def write_todo(storage: Storage) -> None:
    await storage.store.aput(("todos", "me"), "2", {"text": "bread"})


MEETINGS: dict[str, Meeting] = {
    "a row is read": lambda storage: storage.index.find("r1"),
    "rows are read": lambda storage: storage.index.unsettled(),
    "a key is read": lambda storage: storage.index.find_key("me", "k1", at=2.0),
    "runs are sought": lambda storage: storage.index.search("me", Search()),
    "words are sought": lambda storage: storage.index.search("me", Search(text="buy")),
    "a run is accepted": lambda storage: storage.index.accept(row("new")),
    "a checkpoint is read": lambda storage: storage.reader.aget_tuple(CONFIG),
    "the saver reads": lambda storage: storage.saver.aget_tuple(CONFIG),
    "the saver writes": write_checkpoint,
    "a to-do is read": lambda storage: storage.store.aget(("todos", "me"), "1"),
    "to-dos are sought": lambda storage: storage.store.asearch(("todos", "me")),
    "a to-do is written": write_todo,
    "spending is read": lambda storage: storage.spending.of("me", "2026-11-28"),
    "it is looked at": lambda storage: storage.check(),
}


@pytest.mark.parametrize("meet", MEETINGS.values(), ids=MEETINGS)
async def test_whoever_meets_damage_first_makes_it_known(tmp_path: Path, meet: Meeting) -> None:
    path = tmp_path / "runs.db"
    await fill(path)
    async with open_storage(f"sqlite:///{path}") as storage:
        damage(path)
        assert storage.faults.damage is None
        with pytest.raises(Exception, match=r"malformed|not answer|runs_text"), storage.available():
            await meet(storage)

        assert storage.faults.damage == MALFORMED
        with pytest.raises(StorageUnavailable) as told:
            storage.faults.refuse_damaged()
        assert told.value.damage == MALFORMED


def inner_pages(path: Path) -> range:
    """Pages of a table that neither its first nor its last entries are on."""
    with closing(sqlite3.connect(path)) as database:
        known = {root for (root,) in database.execute("SELECT rootpage FROM sqlite_schema")}
    whole = path.read_bytes()
    # A leaf of the rows' own table, by what it begins with and one of the prompts.
    leaves = [
        page
        for page in all_pages(path)
        if page not in known
        and whole[(page - 1) * PAGE] == 13
        and b"buy 50 x" in whole[(page - 1) * PAGE : page * PAGE]
    ]
    return range(leaves[0], leaves[0] + 1)


async def test_damage_that_nobody_met_is_found_after_an_unclean_end(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    await fill(path, runs=100)
    damage(path, *inner_pages(path))
    async with open_storage(f"sqlite:///{path}") as storage:  # it was closed in order
        await storage.check()
        assert storage.faults.damage is None
    (tmp_path / "runs.db.owner").write_text("")  # as a killed process leaves it
    async with open_storage(f"sqlite:///{path}") as storage:
        await until(lambda: storage.faults.damage)

    with pytest.raises(BackupFailed, match="an earlier copy is to be put back"):
        back_up(path, tmp_path / "copy.db")


async def test_a_sound_file_is_sound_after_an_unclean_end(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    await fill(path, runs=100)
    (tmp_path / "runs.db.owner").write_text("")
    async with open_storage(f"sqlite:///{path}") as storage:
        for _ in range(20):
            await storage.check()
        assert storage.faults.damage is None


async def test_looking_leaves_nothing_in_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    await fill(path)

    def rows() -> dict[str, int]:
        with closing(sqlite3.connect(path)) as database:
            tables = [name for name in roots(path) if not name.startswith("sqlite_")]
            known = {
                name
                for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type='table'")
            }
            return {
                name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
                for name in tables
                if name in known
            }

    before = rows()
    async with open_storage(f"sqlite:///{path}") as storage:
        await storage.check()
        found = await storage.index.search("probe", Search())
    assert rows() == before
    assert found.rows == []


async def test_a_server_whose_file_is_damaged_under_it_turns_not_ready_and_says_so(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, tools=GATE) as server:
        done = server.post("add todo milk")
        server.settled(done)
        damage(tmp_path / "runs.db")
        wait_until(lambda: server.client.get("/health/ready").status_code == 503)
        read = server.client.get(f"/runs/{done}/explain")
        posted = server.client.post("/runs", json={"prompt": "add todo bread"})
        ready = server.client.get("/health/ready")
        health = server.client.get("/health").json()
        for _ in range(20):
            server.client.get("/runs")
        server.logs("malformed")
        lines = list(server.lines)

    assert (read.status_code, posted.status_code, ready.status_code) == (503, 503, 503)
    assert MALFORMED in posted.json()["detail"]
    assert ready.json()["detail"] == f"Storage is {MALFORMED}."
    assert health["status"] == "degraded"
    assert health["storage"] == {"backend": "sqlite", "writable": False, "damage": MALFORMED}
    assert len([line for line in lines if MALFORMED in line]) == 1
    assert len([line for line in lines if "storage does not answer" in line]) <= 2
    assert not [line for line in lines if "Traceback" in line]


async def test_a_server_looks_for_damage_by_itself_after_it_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    await fill(path, runs=100)
    with serving(tmp_path) as server:
        server.kill()
    damage(path, *inner_pages(path))
    with serving(tmp_path) as server:
        wait_until(lambda: server.client.get("/health/ready").status_code == 503)
        server.logs(MALFORMED)


# Which faults are told.


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_fault_that_goes_on_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    faults = StorageFaults(clock)
    for second in range(150):
        clock.now = float(second)
        for _ in range(10):
            faults.tell(sqlite3.OperationalError("database or disk is full"))
    faults.tell(sqlite3.OperationalError("database is locked"))

    words = "storage does not answer: database or disk is full"
    assert [record.getMessage() for record in caplog.records] == [
        words,
        f"{words} (and 599 times more since it was told last)",
        f"{words} (and 599 times more since it was told last)",
        "storage does not answer: database is locked",
    ]
    assert not [record for record in caplog.records if record.exc_info]
