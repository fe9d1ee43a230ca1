"""A fleet's database restored to a point in time, from a copy of its files and its log."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases.archive import ArchivedServer
from tests.support.databases.postgres import runs_kept_in
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.patience import patience, wait_until
from tests.support.runs.fleet_history import breaches, effects, jobs_left
from tests.support.servers.fleet import FleetProcesses
from tests.support.servers.server_process import ServerProcess, runwright

#: What lays down words once, and what stands until a test lets it go on.
TOOLS = f"tests.support.own_tools.effects:lay,{GATE}"

#: How many runs come during the copy, and how many are between the copy and the time.
DURING, BETWEEN = 40, 20

pytestmark = pytest.mark.slow


@pytest.fixture
def archived(tmp_path: Path) -> Iterator[ArchivedServer]:
    with ArchivedServer() as server, runs_kept_in(tmp_path, server.url):
        yield server


def words(number: int) -> list[str]:
    return [f"w{number:05}s{step}" for step in range(3)]


def post(server: ServerProcess, number: int) -> str:
    return server.post(", then ".join(f"lay {word}" for word in words(number)))


def test_a_fleet_goes_on_from_a_point_in_time(
    tmp_path: Path, archived: ArchivedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAUSE", "0.02")
    with FleetProcesses(tmp_path, servers=1, workers=2, tools=TOOLS) as fleet:
        [server] = fleet.servers
        first = [post(server, number) for number in range(DURING)]
        copying = threading.Thread(target=archived.back_up)
        copying.start()
        first += [post(server, DURING + number) for number in range(BETWEEN)]
        copying.join(patience())
        assert not copying.is_alive()

        settled = [run_id for run_id in first[:DURING] if server.settled(run_id)]
        standing = server.post("pass gate a, then lay w90000s0")
        server.until(standing, lambda run: (run.get("current") or {}).get("step") == 1)
        waiting = server.client.post("/runs", json={"prompt": "lay w90001s0", "mode": "plan"})
        asked = waiting.json()["run_id"]
        server.until(asked, lambda run: run["status"] == "waiting")
        under_way = [post(server, 200 + number) for number in range(BETWEEN)]
        moment = archived.time()
        later = [post(server, 300 + number) for number in range(5)]
        for run_id in later:
            server.settled(run_id)
        records = {run_id: record_of(server, run_id) for run_id in settled}
        archived.lose()

    archived.restore(moment)
    doctor = runwright("doctor", folder=tmp_path, workers="0", tools=TOOLS)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert [line for line in breaches(archived) if not line.startswith("not settled")] == []
    assert stored(archived, later) == set()
    before = {*first, *under_way, standing, asked}
    assert stored(archived, before) == before
    half = "SELECT run_id FROM runwright.runs WHERE status IN ('pending', 'running') EXCEPT "
    half += "SELECT lock FROM runwright.procrastinate_jobs WHERE status IN ('todo', 'doing')"
    assert archived.execute(half) == []

    with FleetProcesses(tmp_path, servers=1, workers=2, tools=TOOLS) as fleet:
        [server] = fleet.servers
        # Who stood waits again, and who waited for a person still does.
        server.until(standing, lambda run: (run.get("current") or {}).get("step") == 1)
        open_gate(tmp_path, "a")
        assert server.client.post(f"/runs/{asked}/approve", json={}).status_code == 200
        for run_id in before:
            assert server.settled(run_id)["status"] == "completed"
        assert {run_id: record_of(server, run_id) for run_id in settled} == records
        again = post(server, 400)
        assert server.settled(again)["status"] == "completed"
        wait_until(lambda: not jobs_left(archived))
    assert [*breaches(archived)] == []
    numbers = [*range(DURING + BETWEEN), *(200 + number for number in range(BETWEEN)), 400]
    laid = [word for number in numbers for word in words(number)]
    assert effects(archived) == [*laid, "w90000s0", "w90001s0"]


def record_of(server: ServerProcess, run_id: str) -> dict[str, object]:
    return {**server.get(run_id), "server_time": None}


def stored(server: ArchivedServer, run_ids: object) -> set[str]:
    """Those of these runs that there are."""
    assert isinstance(run_ids, set | list)
    rows = server.execute("SELECT run_id FROM runwright.runs WHERE run_id = ANY(%s)", [*run_ids])
    return {str(run_id) for (run_id,) in rows}
