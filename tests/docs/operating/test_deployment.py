"""What docs/deployment.md says of the server holds; `tests/docs/test_deployed.py` deploys it."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from api.cli.command import CANNOT_BEGIN
from api.operations import LONGEST_WAIT
from api.streams import HEARTBEAT
from graph.settings import Settings
from tests.support.checkout import ROOT
from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.deployment import deployment_page as page
from tests.support.servers.server_process import environment, runwright, serving


def test_the_page_names_settings_that_there_are_and_log_lines_that_are_written() -> None:
    named = set(re.findall(r"RUNWRIGHT_([A-Z_]+)", page.PAGE))
    assert {name.lower() for name in named} <= set(Settings.model_fields)
    sources = "".join(
        path.read_text()
        for layer in ("api", "graph", "nodes")
        for path in (ROOT / layer).rglob("*.py")
    )
    [table] = re.findall(r"(?m)^\| line \|.*\n\| ---.*\n((?:\|.*\n)+)", page.PAGE)
    for line, level in re.findall(r"(?m)^\| `(.+?)` \| (\w+) \|", table):
        calls = "exception|error" if level == "error" else level
        assert re.search(rf'logger\.({calls})\(\s*"[^"]*{line}', sources), line
    assert 'logger.info("run taken up"' in sources


def test_a_server_with_traces_and_webhooks_as_the_page_has_them_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = in_a_shell(page.TRACES + page.WEBHOOKS + "env -0", {"PATH": "/usr/bin:/bin"}).stdout
    variables = dict(line.split("=", 1) for line in told.split("\0") if line)
    prefix = "RUNWRIGHT_"
    settings = {name: text for name, text in variables.items() if name.startswith(prefix)}
    for name in ("HOOK_SECRET", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME"):
        monkeypatch.setenv(name, variables[name])
    given = {name.removeprefix(prefix).lower(): text for name, text in settings.items()}
    assert set(given) == {"traces", "webhooks"}
    with serving(tmp_path, **given) as server:
        server.settled(server.post("what is 2 plus 3"))
        assert server.terminate() == 0


def test_what_a_file_has_is_moved_to_postgres_and_served_from_there(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    making, setting, migrating, serves, moving = page.POSTGRES.splitlines()
    url = postgres.make("documented")
    with serving(tmp_path) as server:
        run_id = server.post("add todo milk")
        server.settled(run_id)
        server.terminate()
    for line in (migrating, moving.replace("runwright.db", f"{tmp_path}/runs.db")):
        done = runwright(
            *arguments_of(line.split("#")[0].strip()), folder=tmp_path, database_url=url
        )
        assert done.returncode == 0, (line, done.stderr)

    assert making.startswith("make postgres ")
    assert setting.startswith("export RUNWRIGHT_DATABASE_URL=postgresql://")
    assert serves == "runwright serve"
    with runs_kept_in(tmp_path, url), serving(tmp_path) as server:
        assert server.get(run_id)["status"] == "completed"


def test_the_commands_do_what_is_told_beside_a_server(tmp_path: Path) -> None:
    """All that need neither a service nor a container; the first by the command as installed."""
    lines = (page.CHECK + page.NEW_KEY + page.BACKUP).splitlines()
    ran: dict[str, str] = {}
    with serving(tmp_path) as server:
        server.settled(server.post("add todo milk"))
        place = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        for line in lines:
            command = line.split("#")[0].strip().replace("/backups", str(tmp_path))
            if ran:
                done = runwright(*arguments_of(command), folder=tmp_path)
            else:
                done = in_a_shell(command, environment(tmp_path) | place)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            ran[command] = done.stdout
        served = f"in use by the server at {server.url}"

    assert served in ran["runwright doctor"]
    assert json.loads(ran["runwright doctor --json"])["ok"]
    assert re.search(r"rw_\S+", ran["runwright key new alice"])
    [copy] = tmp_path.glob("runwright-????-??-??.db")
    with closing(sqlite3.connect(copy)) as copied:
        assert copied.execute("SELECT prompt FROM runs").fetchall() == [("add todo milk",)]


def in_a_shell(command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


def arguments_of(command: str) -> list[str]:
    """What a shell makes of them."""
    told = in_a_shell(f"runwright() {{ printf '%s\\n' \"$@\"; }}; {command}", dict(os.environ))
    return told.stdout.splitlines()


def test_the_service_gives_the_server_the_time_that_it_takes_to_end() -> None:
    [stop] = re.findall(r"(?m)^TimeoutStopSec=(\d+)$", page.UNIT)
    assert int(stop) > Settings().grace
    assert f"RestartPreventExitStatus={CANNOT_BEGIN}\n" in page.UNIT
    assert f"--stop-timeout {stop} " in page.CONTAINER


def test_the_proxy_waits_as_long_as_the_server_may() -> None:
    [silence] = re.findall(r"proxy_read_timeout (\d+)s", page.NGINX)
    assert int(silence) > LONGEST_WAIT
    assert f"for up to {LONGEST_WAIT} s" in page.PAGE
    assert f"a heartbeat comes every {HEARTBEAT:g} s" in page.PAGE
