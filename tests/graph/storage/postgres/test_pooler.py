"""Postgres behind a pooler: PgBouncer, as Debian has it, in both of its modes."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.patience import wait_until
from tests.support.servers.fleet import FleetProcesses
from tests.support.servers.server_process import runwright, serving

pytestmark = pytest.mark.slow

#: It keeps so few connections to the database that processes have to share them.
POOL = 8


@contextmanager
def pooled(postgres: PostgresServer, mode: str) -> Iterator[str]:
    """The URL of the empty database by way of a pooler in a mode."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    assert program, "pgbouncer is missing; Debian's package pgbouncer has it"
    postgres.empty()
    folder, socket = postgres.folder / mode, Path(postgres.socket).parent
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    settings = {
        "listen_addr": "",
        "unix_socket_dir": folder,
        "listen_port": 6432,
        "auth_type": "any",
        "pool_mode": mode,
        "default_pool_size": POOL if mode == "transaction" else 40,
        "max_client_conn": 200,
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    database = f"runwright = host={socket} dbname=runwright user=postgres"
    file = folder / "pgbouncer.ini"
    file.write_text("\n".join(["[databases]", database, "[pgbouncer]", *lines, ""]))
    process = subprocess.Popen(
        [program, "--quiet", file], user=postgres.user, stderr=subprocess.DEVNULL
    )
    try:
        wait_until((folder / ".s.PGSQL.6432").exists)
        yield f"postgresql://postgres@/runwright?host={folder}&port=6432"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_fleet_works_behind_a_pooler(postgres: PostgresServer, tmp_path: Path, mode: str) -> None:
    with pooled(postgres, mode) as url, runs_kept_in(tmp_path, url):
        found = runwright("doctor", folder=tmp_path, workers="0")
        with FleetProcesses(tmp_path, servers=2, workers=2) as fleet:
            one, other = fleet.servers
            ids = [one.post(f"add todo number {n}, then show my list") for n in range(40)]
            records = [other.settled(run_id) for run_id in ids]
            fleet.replace(0)
            last = other.settled(one.post("show my list"))
    assert {record["status"] for record in records} == {"completed"}
    assert sorted(todo["text"] for todo in last["result"]["output"]) == sorted(
        f"number {n}" for n in range(40)
    )
    assert found.returncode == 0, found.stdout
    # In the other mode another session than the one that listens would be told.
    heard = "LISTEN needs a direct connection" not in found.stdout
    assert heard == (mode == "session"), found.stdout


def test_one_server_may_have_its_database_alone_behind_a_pooler_of_sessions(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with (
        pooled(postgres, "session") as url,
        runs_kept_in(tmp_path, url),
        serving(tmp_path) as server,
    ):
        assert server.settled(server.post("what is 2 + 3"))["result"]["output"] == 5
        found = server.client.get("/runs", params={"text": "what"}).json()
    assert [run["prompt"] for run in found["runs"]] == ["what is 2 + 3"]
