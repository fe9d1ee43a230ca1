"""What a server does while its Postgres is away, restarts, or cuts it off: it goes on."""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from graph.storage.open import open_storage
from graph.storage.postgres import connection
from graph.storage.postgres.connection import (
    SCHEMA,
    Connect,
    Connection,
    NoAnswer,
    PostgresReader,
    TooManyReaders,
    connecting,
)
from graph.storage.postgres.writer import PostgresWriter
from graph.storage.storage import Storage
from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.patience import until, wait_until
from tests.support.servers.server_process import ServerProcess, serving

FLAKY = "examples.flaky:sleep"


def check_once(server: ServerProcess, ids: Sequence[str]) -> None:
    """All of them completed, and each added its to-do once."""
    records = [server.settled(run_id) for run_id in ids]
    todos = server.settled(server.post("show my list"))["result"]["output"]
    assert {record["status"] for record in records} == {"completed"}
    assert Counter(todo["text"] for todo in todos) == {f"number {n}": 1 for n in range(len(ids))}


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(signal.SIGINT, id="fast", marks=[pytest.mark.slow, pytest.mark.lease]),
        pytest.param(signal.SIGQUIT, id="at once"),
    ],
)
def test_runs_go_on_after_a_restart_of_the_database(
    postgres: PostgresServer, tmp_path: Path, how: signal.Signals
) -> None:
    with runs_kept_in(tmp_path, postgres.empty()), serving(tmp_path, tools=FLAKY) as server:
        ids = [server.post(f"sleep 0.3 seconds, then add todo number {n}") for n in range(20)]
        postgres.stop(how)
        try:
            refused = server.client.post("/runs", json={"prompt": "add more"})
            health = server.client.get("/health").json()
            alive = server.client.get("/health/live")
        finally:
            postgres.start()
        wait_until(lambda: server.client.get("/health").json()["storage"]["writable"])

        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        assert health["storage"] == {"backend": "postgres", "writable": False}
        assert alive.status_code == 200
        check_once(server, ids)


def test_runs_go_on_however_often_their_connections_are_cut(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with runs_kept_in(tmp_path, postgres.empty()), serving(tmp_path, tools=FLAKY) as server:
        ids: list[str] = []
        while len(ids) < 20:
            n = len(ids)
            answer = server.client.post(
                "/runs",
                json={"prompt": f"sleep 0.2 seconds, then add todo number {n}"},
                headers={"idempotency-key": f"{n}"},
            )
            if answer.status_code in (200, 201):
                ids.append(answer.json()["run_id"])
            else:
                assert answer.status_code == 503, answer.text
            if n % 5 == 0:
                postgres.cut("datname = 'runwright'")
        check_once(server, ids)


#: What is accepted, decided or cancelled, and not acknowledged.
ACCEPTED = """
    INSERT INTO runs (run_id, owner, prompt, words, limits, created_at, status, starts,
        thread_id)
    SELECT %s, owner, prompt, words, limits, created_at, 'pending', 1, %s FROM runs
    WHERE run_id = %s
"""
DECIDED = "UPDATE runs SET decision = %s WHERE run_id = %s"
CANCELLED = "UPDATE runs SET cancel_at = %s, cancel_by = 'client' WHERE run_id = %s"


def test_what_was_stored_and_not_acknowledged_is_carried_out(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with runs_kept_in(tmp_path, postgres.empty()), serving(tmp_path, tools=FLAKY) as server:
        first = server.post("add todo one")
        server.settled(first)
        accepted = str(uuid4())
        approved, cancelled = server.ask("add todo two"), server.post("sleep 3600 seconds")
        server.until(cancelled, lambda record: record["status"] == "running")
        now = time.time()
        decision = {"what": "approved", "at": now, "by": "me", "reason": None, "plan": None}
        with psycopg.connect(postgres.url) as other:
            other.execute(f"SET search_path TO {SCHEMA}".encode())
            other.execute(ACCEPTED, (accepted, accepted, first))
            other.execute(DECIDED, (json.dumps(decision), approved))
            other.execute(CANCELLED, (now, cancelled))
        postgres.cut("datname = 'runwright'")

        ended = [server.settled(run_id)["status"] for run_id in (accepted, approved, cancelled)]
    assert ended == ["completed", "completed", "cancelled"]


async def test_a_reader_whose_connections_were_cut_reads_on_others(
    postgres: PostgresServer,
) -> None:
    reader = PostgresReader(connecting(postgres.empty()))
    sleeping = [reader.execute_fetchall("SELECT 1 FROM pg_sleep(0.1)") for _ in range(3)]
    await asyncio.gather(*sleeping)
    assert postgres.cut("datname = 'runwright'") == 3

    assert await reader.execute_fetchall("SELECT 2") == [(2,)]
    await reader.aclose()


async def test_who_finds_every_connection_taken_is_told_after_a_while(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "READER_WAIT", 0.01)
    reader = PostgresReader(connecting(postgres.empty()), most=1)
    taken = asyncio.create_task(reader.execute_fetchall("SELECT 1 FROM pg_sleep(60)"))
    await asyncio.sleep(0)
    with pytest.raises(TooManyReaders):
        await reader.execute_fetchall("SELECT 2")

    await until(lambda: postgres.cut("query LIKE '%pg_sleep%'"))
    with pytest.raises(psycopg.OperationalError):
        await taken
    assert await reader.execute_fetchall("SELECT 2") == [(2,)]
    await reader.aclose()


async def test_a_read_whose_caller_went_away_leaves_nothing_behind(
    postgres: PostgresServer,
) -> None:
    reader = PostgresReader(connecting(postgres.empty()), most=1)
    await reader.execute_fetchall("SELECT 1")
    reading = asyncio.create_task(reader.execute_fetchall("SELECT 1 FROM pg_sleep(60)"))
    await asyncio.sleep(0.05)
    reading.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert await reader.execute_fetchall("SELECT 2") == [(2,)]
    assert time.monotonic() - began < 59
    await reader.aclose()


async def test_who_waits_for_an_answer_in_vain_gives_up_and_has_it_stopped(
    postgres: PostgresServer,
) -> None:
    reader = PostgresReader(connecting(postgres.empty()), answer=0.5)
    await reader.execute_fetchall("SELECT 1")
    with pytest.raises(NoAnswer):
        await reader.execute_fetchall("SELECT 1 FROM pg_sleep(3600)")

    asleep = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)%' AND pid <> "
    await until(lambda: not postgres.execute(f"{asleep} pg_backend_pid() AND state = 'active'"))
    assert await reader.execute_fetchall("SELECT 2") == [(2,)]
    await reader.aclose()


async def test_who_goes_away_while_connecting_leaves_no_connection(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[psycopg.AsyncConnection[Any]] = []

    async def never_answers(self: psycopg.AsyncConnection[Any], *_: Any) -> None:
        opened.append(self)
        await asyncio.Event().wait()

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", never_answers)
    connecting_to = asyncio.ensure_future(connecting(postgres.empty())())
    await until(lambda: opened)
    connecting_to.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting_to
    assert opened[0].closed


def recorded(url: str) -> tuple[Connect, list[Connection]]:
    """What connects to a database, and all that it has connected."""
    opened: list[Connection] = []

    async def connect() -> Connection:
        opened.append(await connecting(url)())
        return opened[-1]

    return connect, opened


async def test_who_reads_while_the_reader_is_closed_leaves_no_connection(
    postgres: PostgresServer,
) -> None:
    url = postgres.empty()
    connect, opened = recorded(url)
    reader = PostgresReader(connect)
    with psycopg.connect(postgres.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(7)")
        readings = [
            asyncio.create_task(reader.execute_fetchall("SELECT 1 FROM pg_advisory_xact_lock(7)"))
            for _ in range(2)
        ]
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        await until(lambda: len(postgres.execute(waiting)) == len(readings))
        await reader.aclose()
        readings[0].cancel()
        other.commit()
        outcomes = await asyncio.gather(*readings, return_exceptions=True)
    assert [type(outcomes[0]), outcomes[1]] == [asyncio.CancelledError, [(1,)]]
    assert await reader.execute_fetchall("SELECT 2") == [(2,)]
    assert [one.closed for one in opened] == [True] * 3


async def test_a_writer_whose_closing_is_given_up_leaves_no_connection(
    postgres: PostgresServer,
) -> None:
    url = postgres.empty()
    connect, opened = recorded(url)
    writer = PostgresWriter(connect, lambda *_: (), lambda _: None)
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(7)")
        writing = asyncio.create_task(writer.write(("SELECT pg_advisory_xact_lock(7)", ())))
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        await until(lambda: postgres.execute(waiting))
        closing = asyncio.create_task(writer.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        other.commit()
        await writing
    await until(lambda: opened[0].closed)


async def test_one_bad_write_fails_none_of_those_beside_it(postgres: PostgresServer) -> None:
    put = "INSERT INTO store (prefix, key, value) VALUES (?, ?, ?)"
    async with open_storage(postgres.empty()) as storage:
        writes = [
            _writer(storage).write((put, ("p", key, value)))
            for key, value in (("a", "1"), ("a", "twice"), ("b", "nul\x00"), ("c", "1"))
        ]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)

    kinds = [one if isinstance(one, int) else type(one) for one in outcomes]
    assert kinds == [1, psycopg.errors.UniqueViolation, psycopg.DataError, 1]


async def test_what_waits_for_the_disk_says_so_to_the_database(postgres: PostgresServer) -> None:
    asked = "INSERT INTO store (prefix, key, value) SELECT 'p', ?, current_setting(?)"
    async with open_storage(postgres.empty()) as storage:
        for durable in (True, False):
            values = (str(durable), "synchronous_commit")
            await _writer(storage).write((asked, values), durable=durable)

    said = dict(postgres.execute("SELECT key, value FROM runwright.store"))
    assert said == {"True": "on", "False": "off"}


def _writer(storage: Storage) -> Any:
    index: Any = storage.index
    return index._writer
