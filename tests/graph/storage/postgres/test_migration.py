"""Tables that only get more are upgraded beside a fleet, which goes on; all others never are."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from graph.storage.postgres import migration, schema
from graph.storage.postgres.open import migrate_postgres
from graph.storage.storage import StorageError
from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.servers.fleet import FleetProcesses
from tests.support.servers.server_process import runwright

#: What a later program may do to tables beside this one.
MORE = (
    "ALTER TABLE runs ADD COLUMN later text; ALTER TABLE store ADD COLUMN more text DEFAULT 'x';"
    " CREATE TABLE added (id integer)"
)

NAMES = (f"upgraded_{number}" for number in count())


@pytest.fixture
def url(postgres: PostgresServer, tmp_path: Path) -> Iterator[str]:
    """A database of its own, since its tables are changed."""
    url = postgres.make(next(NAMES))
    with runs_kept_in(tmp_path, url):
        yield url


def become(monkeypatch: pytest.MonkeyPatch, *steps: str, beside: set[int]) -> None:
    """Be a later program, of which programs of before go on with the steps `beside` them."""
    migrations = (*schema.MIGRATIONS, *((step,) for step in steps))
    monkeypatch.setattr(schema, "MIGRATIONS", migrations)
    monkeypatch.setattr(schema, "VERSION", len(migrations))
    monkeypatch.setattr(schema, "BESIDE", frozenset(beside))


def test_a_fleet_goes_on_beside_tables_that_got_more_and_is_kept_from_all_others(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = schema.VERSION
    with FleetProcesses(tmp_path, servers=1, workers=1) as fleet:
        [server] = fleet.servers
        waiting = server.ask("add tea to my list")
        with monkeypatch.context() as later:
            become(later, MORE, "CREATE TABLE another (id integer)", beside={now + 1, now + 2})
            assert asyncio.run(migrate_postgres(url)) == (now, now + 2)
            assert asyncio.run(migrate_postgres(url)) == (now + 2, now + 2)

        # Those that are there, and one that starts afterwards.
        fleet.workers.append(fleet.start())
        fleet.workers[1].logs("working")
        fleet.workers.pop(0).kill()
        assert server.client.post(f"/runs/{waiting}/approve", json={}).status_code == 200
        assert server.settled(waiting)["status"] == "completed"
        assert server.settled(server.post("add jam to my list"))["status"] == "completed"
        told = runwright("migrate", folder=tmp_path)
        assert told.stdout == f"the database already has version {now + 2} of the tables\n"

        become(
            monkeypatch, MORE, "SELECT 1", "ALTER TABLE runs DROP COLUMN later", beside={now + 1}
        )
        with pytest.raises(StorageError, match="in use: stop all its servers and workers"):
            asyncio.run(migrate_postgres(url))
    assert asyncio.run(migrate_postgres(url)) == (now + 2, now + 3)
    for command in (("worker",), ("serve", "--workers", "0"), ("migrate",)):
        refused = runwright(*command, folder=tmp_path)
        assert refused.returncode == 2
        [line] = refused.stderr.splitlines()
        assert "newer Runwright" in line


def test_a_change_that_would_hold_up_a_fleet_is_given_up_and_changes_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = schema.VERSION
    with psycopg.connect(url) as busy:
        busy.execute("LOCK TABLE runwright.store")
        with monkeypatch.context() as later:
            become(later, MORE, beside={now + 1})
            later.setattr(migration, "WAIT", 1)
            with pytest.raises(StorageError, match="nothing was changed, run `runwright migrate`"):
                asyncio.run(migrate_postgres(url))
    assert asyncio.run(migrate_postgres(url)) == (now, now)
