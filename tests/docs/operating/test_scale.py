"""docs/scale.md tells the truth: a copy is made and put back, its questions have answers."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.cli.serve import WORKER_GRACE
from graph.queue.worker import LEASE
from graph.settings import Settings
from tests.support import pages
from tests.support.databases.postgres import NAME, PostgresServer, runs_kept_in
from tests.support.deployment import deployment_page
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.servers.fleet import FleetProcesses

PAGE = (pages.DOCS / "scale.md").read_text()

PROMPT = "add bread to my list, then pass gate a, then add jam to my list"


@pytest.fixture
def folder(tmp_path: Path, postgres: PostgresServer) -> Iterator[Path]:
    with runs_kept_in(tmp_path, postgres.empty()):
        yield tmp_path


def in_a_shell(commands: str, folder: Path, postgres: PostgresServer) -> str:
    """What they print, with the programs of the server and the way to it."""
    url = postgres.url_of(NAME)
    place = url.partition("host=")[2]
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=folder,
        env={
            "PATH": f"{postgres.programs}:/usr/bin:/bin",
            "RUNWRIGHT_DATABASE_URL": url,
            "PGHOST": place,
            "PGUSER": "postgres",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_copy_of_a_running_fleet_is_put_back_and_goes_on(
    folder: Path, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    [copying] = re.findall(r"```sh\n(pg_dump .*?)```", PAGE, re.DOTALL)
    with FleetProcesses(folder, servers=1, workers=1, tools=GATE) as fleet:
        server = fleet.servers[0]
        settled = server.settled(server.post("what is 6 * 7"))
        cut_off = server.post(PROMPT)
        server.until(cut_off, lambda run: (run.get("current") or {}).get("step") == 2)
        in_a_shell(copying, folder, postgres)
        lost = server.post("what is 2 + 3")
        server.settled(lost)
    there = tmp_path_factory.mktemp("restored")
    with (
        runs_kept_in(there, postgres.url_of("restored")),
        FleetProcesses(there, servers=1, workers=1, tools=GATE) as fleet,
    ):
        server = fleet.servers[0]
        found = server.get(settled["run_id"])
        assert found | {"server_time": None} == settled | {"server_time": None}
        assert server.client.get(f"/runs/{lost}").status_code == 404
        open_gate(there, "a")
        record = server.settled(cut_off)
        assert record["status"] == "completed"
        assert [mark["what"] for mark in record["marks"]] == ["taken_up"]
    postgres.execute("DROP DATABASE restored WITH (FORCE)", database="postgres")


def test_the_questions_to_the_database_have_answers(folder: Path, postgres: PostgresServer) -> None:
    [asked] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    queue, workers, connections = asked.strip().splitlines()
    with FleetProcesses(folder, servers=1, workers=1, tools=GATE) as fleet:
        server = fleet.servers[0]
        run_id = server.post("pass gate a")
        server.until(run_id, lambda run: run["status"] == "running")
        assert postgres.execute(queue) == [("doing", 1)]
        [(_, silent)] = postgres.execute(workers)
        assert silent.total_seconds() >= 0
        assert sum(count for count, _ in postgres.execute(connections)) >= 3


def test_what_the_page_says_of_times_and_numbers_is_so() -> None:
    settings = Settings()
    assert f"`--slots {settings.max_executing}`" in PAGE
    assert f"`--in-flight {settings.in_flight}`" in PAGE
    assert f"`RUNWRIGHT_GRACE` ({WORKER_GRACE:g} s)" in PAGE
    assert LEASE == 5
    assert "taken for dead after five seconds" in PAGE
    [connections] = re.findall(r"A server takes at most (\d+) connections", deployment_page.PAGE)
    [[_, of_server, _], [_, of_worker, _]] = pages.rows(PAGE, "process")
    assert (int(of_server), int(of_worker)) == (int(connections), int(connections) + 1)


def test_every_metric_that_is_named_is_one() -> None:
    table = " ".join(name for name, _ in pages.rows(deployment_page.PAGE, "metric"))
    known = set(re.findall(r"runwright_\w+", table))
    assert set(re.findall(r"`(runwright_\w+)", PAGE)) <= known
