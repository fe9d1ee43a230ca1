"""Opening a Postgres database: its tables, who may make them, and what is told where it fails."""

import threading
from pathlib import Path

import pytest

from graph.storage import open as opening
from graph.storage.open import open_storage
from graph.storage.postgres.schema import MIGRATIONS, VERSION
from graph.storage.storage import StorageError
from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.servers.server_process import runwright, serving

#: Nobody answers at this port.
NOWHERE = "postgresql://me:s3cr%40t@127.0.0.1:1/runs"

#: Passwords that were not written as a URL has them.
BADLY_WRITTEN = [
    "postgresql://me:s3cr@t@127.0.0.1:1/runs",
    "postgresql://me:s3c/r@t@127.0.0.1:1/runs",
    "postgresql://me:s3cr%zzt@127.0.0.1:1/runs",
    "postgresql://127.0.0.1:1/runs?user=me&password=s3crt",
    "postgresql://me@127.0.0.1:1/runs?passwort=s3crt",
]


def test_there_is_a_step_to_every_version_of_the_tables() -> None:
    assert len(MIGRATIONS) == VERSION


async def test_a_newer_database_is_refused_and_left_as_it_is(postgres: PostgresServer) -> None:
    url = postgres.make("newer")
    newer = "UPDATE runwright.version SET number = number + 1, oldest = NULL"
    postgres.execute(newer, database="newer")
    with pytest.raises(StorageError) as error:
        async with open_storage(url):
            pass

    assert str(error.value) == (
        f"postgresql:///newer?host={postgres.url.partition('=')[2]} has version {VERSION + 1} and"
        f" was written by a newer Runwright; this one reads up to version {VERSION}: upgrade it or"
        " choose another database"
    )
    with pytest.raises(StorageError, match="written by a newer"):
        await opening.migrate(url)


def test_tables_are_made_once_however_many_make_them(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    postgres.execute("CREATE DATABASE bare", database="postgres")
    url = postgres.url_of("bare")
    said: list[str] = []

    def migrate() -> None:
        done = runwright("migrate", folder=tmp_path, database_url=url)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)

    both = [threading.Thread(target=migrate) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()

    assert sorted(said) == [
        f"the database already has version {VERSION} of the tables\n",
        f"the database now has version {VERSION} of the tables\n",
    ]
    with runs_kept_in(tmp_path, url), serving(tmp_path) as server:
        assert server.settled(server.post("add todo milk"))["status"] == "completed"


async def test_a_database_without_tables_gets_them_when_it_is_opened(
    postgres: PostgresServer,
) -> None:
    postgres.execute("CREATE DATABASE empty", database="postgres")
    async with open_storage(postgres.url_of("empty")) as storage:
        assert await storage.index.unsettled() == []


async def test_a_role_that_may_not_make_tables_is_told_who_may(postgres: PostgresServer) -> None:
    postgres.execute("CREATE DATABASE strict", database="postgres")
    postgres.execute("CREATE ROLE guest LOGIN")
    with pytest.raises(StorageError) as error:
        async with open_storage(postgres.url_of("strict", user="guest")):
            pass

    assert str(error.value).startswith("cannot make the tables in postgresql:///strict?host=")
    assert "let a role that may do so run `runwright migrate`" in str(error.value)


async def test_text_in_another_encoding_is_refused(postgres: PostgresServer) -> None:
    making = "CREATE DATABASE latin ENCODING LATIN1 LOCALE 'C' TEMPLATE template0"
    postgres.execute(making, database="postgres")
    with pytest.raises(StorageError, match="keeps text in LATIN1; make a database with UTF8"):
        async with open_storage(postgres.url_of("latin")):
            pass


@pytest.mark.parametrize("url", [NOWHERE, *BADLY_WRITTEN])
async def test_a_database_that_does_not_answer_is_told_in_one_line_without_its_password(
    url: str,
) -> None:
    with pytest.raises(StorageError) as error:
        async with open_storage(url):
            pass

    said = str(error.value)
    assert "RUNWRIGHT_DATABASE_URL" in said or "postgresql://host/name" in said
    assert "\n" not in said
    assert not any(part in said for part in ("s3c", "r@t", "r%40t"))


@pytest.mark.parametrize("command", ["serve", "doctor", "migrate", "list"])
@pytest.mark.parametrize("url", [NOWHERE, *BADLY_WRITTEN])
def test_no_command_prints_a_password(tmp_path: Path, command: str, url: str) -> None:
    done = runwright(command, folder=tmp_path, database_url=url)

    assert done.returncode != 0
    assert not any(part in done.stdout + done.stderr for part in ("s3c", "r@t", "r%40t"))
    assert "Traceback" not in done.stderr


def test_doctor_says_which_database_can_be_used(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.empty()
    alone = runwright("doctor", folder=tmp_path, database_url=url)
    with runs_kept_in(tmp_path, url), serving(tmp_path) as server:
        beside = runwright("doctor", folder=tmp_path, database_url=url)
        health = server.client.get("/health").json()
        metrics = server.client.get("/metrics").text

    assert alone.returncode == 0, alone.stdout
    assert "can be used; 0 runs would go on at a start" in alone.stdout
    assert f"is in use by the server at {server.url}" in beside.stdout
    assert health["storage"] == {"backend": "postgres", "writable": True}
    sizes = [line for line in metrics.splitlines() if "storage_bytes{" in line]
    assert any('"database"' in line for line in sizes), metrics
    assert any('"log"' in line for line in sizes)


async def test_without_its_driver_it_is_said_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda _: None)
    with pytest.raises(StorageError) as error:
        async with open_storage(NOWHERE):
            pass

    assert str(error.value) == (
        "RUNWRIGHT_DATABASE_URL names a Postgres database, and what it needs is not installed;"
        " `make postgres` installs it"
    )
