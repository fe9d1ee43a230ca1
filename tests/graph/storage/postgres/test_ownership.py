"""Who has a Postgres database: one process, whatever becomes of its connections."""

import asyncio
import signal
import threading
from pathlib import Path

import psycopg
import pytest

from graph.state import DEFAULT_LIMITS
from graph.state.row import RunRow
from graph.storage.fleet import LeaseLost, lease, without_lease
from graph.storage.open import open_storage
from graph.storage.postgres import ownership
from graph.storage.postgres.ownership import APPLICATION, FENCED, OWNER, TAKEN
from graph.storage.records import DatabaseOwned, ServerAddress
from graph.storage.storage import Storage
from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.patience import patience, wait_until
from tests.support.servers.server_process import runwright, serving

#: The connection that has the lock, among those of the server.
HOLDER = (
    "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    f" AND classid = {APPLICATION} AND objid = {OWNER})"
)


def row(run_id: str) -> RunRow:
    return RunRow(run_id=run_id, owner="me", prompt="task", limits=DEFAULT_LIMITS, created_at=1.0)


async def test_a_second_process_is_told_whose_the_database_is(postgres: PostgresServer) -> None:
    url, server = postgres.empty(), ServerAddress("http://127.0.0.1:7")
    async with open_storage(url, server=server):
        with pytest.raises(DatabaseOwned) as error:
            async with open_storage(url):
                pass

    assert "in use by the server at http://127.0.0.1:7 (process " in str(error.value)
    assert error.value.owner is not None
    assert error.value.owner.secret == server.secret
    async with open_storage(url):  # it was left in order
        assert error.value.owner_now() is not None
        assert error.value.owner_now().url is None  # type: ignore[union-attr]  # of this process


def test_a_second_server_ends_with_one_line(postgres: PostgresServer, tmp_path: Path) -> None:
    with runs_kept_in(tmp_path, postgres.empty()), serving(tmp_path) as first:
        second = runwright("serve", folder=tmp_path)
        task = runwright("run", "add todo milk", folder=tmp_path)

    assert second.returncode == 2, second.stderr
    assert [first.url in line for line in second.stderr.splitlines()] == [True]
    assert (task.returncode, task.stderr) == (0, "")  # the server has done it


def test_a_server_whose_lock_was_cut_takes_it_back(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with runs_kept_in(tmp_path, postgres.empty()), serving(tmp_path) as server:
        assert postgres.cut(HOLDER) == 1
        wait_until(lambda: any("is held again" in line for line in server.lines))
        assert server.settled(server.post("add todo milk"))["status"] == "completed"
        server.terminate()


def test_a_server_whose_database_another_one_took_ends(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with (
        runs_kept_in(tmp_path, postgres.empty()),
        serving(tmp_path) as server,
        psycopg.connect(postgres.url, autocommit=True) as other,
    ):
        lock = f"SELECT pg_advisory_lock({APPLICATION}, {OWNER})".encode()
        waiting = threading.Thread(target=other.execute, args=(lock,))
        waiting.start()
        wait_until(
            lambda: postgres.execute(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            )
        )
        postgres.cut(HOLDER)
        waiting.join()
        other.execute("UPDATE runwright.owner SET epoch = epoch + 1")
        assert server.process.wait(patience()) == TAKEN
        # What it has said comes through a thread, maybe after its end.
        wait_until(lambda: any("belongs to another process now" in one for one in server.lines))


async def test_nothing_is_written_by_a_process_that_was_overtaken(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(ownership.os, "_exit", ended.append)
    async with open_storage(postgres.empty()) as storage:
        await storage.index.accept(row("a"))
        postgres.execute("UPDATE runwright.owner SET epoch = epoch + 1")
        with pytest.raises(psycopg.OperationalError) as refused:
            await storage.index.accept(row("b"))

    assert refused.value.sqlstate == FENCED
    assert ended == [TAKEN]
    assert postgres.execute("SELECT run_id FROM runwright.runs") == [("a",)]


async def test_no_execution_of_before_a_loss_writes(postgres: PostgresServer) -> None:
    async with open_storage(postgres.empty()) as storage:
        tenure = storage.tenure
        assert tenure is not None
        before = tenure.lease
        lease.set(before)
        await storage.index.accept(row("a"))
        tenure.look.clear()
        postgres.execute("TRUNCATE runwright.since_loss")  # as a crash does
        beside = asyncio.create_task(_accepted(storage, "b"))
        with pytest.raises(LeaseLost):
            await storage.index.accept(row("c"))
        await beside  # in one transaction with it, maybe
        await tenure.look.wait()
        assert tenure.lease != before
        with pytest.raises(LeaseLost):
            await storage.index.accept(row("d"))
        lease.set(tenure.lease)
        await storage.index.accept(row("e"))

    assert sorted(postgres.execute("SELECT run_id FROM runwright.runs")) == [("a",), ("b",), ("e",)]


async def _accepted(storage: Storage, run_id: str) -> None:
    with without_lease():
        await storage.index.accept(row(run_id))


@pytest.mark.parametrize(("how", "lost"), [(signal.SIGINT, False), (signal.SIGQUIT, True)])
async def test_only_a_crash_of_the_database_loses_something(
    postgres: PostgresServer, how: signal.Signals, lost: bool
) -> None:
    async with open_storage(postgres.empty()) as storage:
        assert storage.tenure is not None
        before = storage.tenure.lease
        storage.tenure.look.clear()
        postgres.stop(how)
        postgres.start()
        await storage.tenure.look.wait()
        assert (storage.tenure.lease != before) == lost


def test_a_killed_server_leaves_a_database_that_the_next_one_takes_at_once(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with runs_kept_in(tmp_path, postgres.empty()):
        with serving(tmp_path) as server:
            run_id = server.post("add todo milk, then add todo bread")
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        with serving(tmp_path) as server:
            assert server.settled(run_id)["status"] == "completed"
            todos = server.settled(server.post("show my list"))["result"]["output"]

    assert [todo["text"] for todo in todos] == ["milk", "bread"]


def test_commands_find_the_server_that_has_the_database_or_read_it_themselves(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with runs_kept_in(tmp_path, postgres.empty()):
        with serving(tmp_path, approve="always") as server:
            run_id = server.post("add todo milk")
            server.until(run_id, lambda record: record["status"] == "waiting")
            approved = runwright("approve", run_id, folder=tmp_path)
            assert server.settled(run_id)["status"] == "completed"
            server.terminate()
        shown = runwright("show", run_id, folder=tmp_path)
        alone = runwright("approve", run_id, folder=tmp_path)
        task = runwright("run", "add todo bread", folder=tmp_path)

    assert (approved.returncode, approved.stderr) == (0, "")
    assert (shown.returncode, "milk" in shown.stdout) == (0, True)
    assert "no server is there to execute run" in alone.stderr
    assert (task.returncode, task.stderr) == (0, "")
