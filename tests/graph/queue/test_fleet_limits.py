"""What is limited of models and owners is limited over all processes of a fleet."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.models.capture_server import capturing, openai_answer
from tests.support.models.llm_runs import BACKUP, PATIENT, SUM, health, models
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.patience import wait_until
from tests.support.servers.fleet import FleetProcesses, WorkerProcess

#: What a run asks that a model plans, and without one the patterns.
PROMPT = "what is 40 + 2"


@pytest.fixture
def folder(tmp_path: Path, postgres: PostgresServer) -> Iterator[Path]:
    with runs_kept_in(tmp_path, postgres.empty()):
        yield tmp_path


def left_alone(record: dict[str, Any]) -> bool:
    """Whether the model of a run was passed by."""
    return any(one["error_class"] == "circuit_open" for one in record["planning_log"])


def ready(worker: WorkerProcess) -> WorkerProcess:
    worker.logs("working")
    worker.logs("models loaded")
    return worker


def test_a_model_that_one_worker_has_seen_fail_is_asked_by_none(folder: Path) -> None:
    with capturing() as provider:
        provider.status = 500
        given = PATIENT | {"models": models((BACKUP, provider.url)), "breaker_failures": "1"}
        with FleetProcesses(folder, servers=1, workers=1, **given) as fleet:
            [server] = fleet.servers
            ready(fleet.workers[0])
            assert server.settled(server.post(PROMPT))["status"] == "completed"
            asked = len(provider.requests)
            wait_until(lambda: health(server)[BACKUP]["state"] == "open")

            fleet.workers.append(ready(fleet.start()))
            fleet.workers.pop(0).kill()
            fleet.workers[0].logs("model left alone")
            assert left_alone(server.settled(server.post(PROMPT)))
            assert len(provider.requests) == asked


@pytest.mark.slow
def test_one_call_of_all_workers_sees_whether_a_model_is_there_again(
    folder: Path, postgres: PostgresServer
) -> None:
    with capturing() as provider:
        provider.status = 500
        given = PATIENT | {"models": models((BACKUP, provider.url)), "breaker_failures": "1"}
        with FleetProcesses(folder, servers=1, workers=2, **given) as fleet:
            [server] = fleet.servers
            for worker in fleet.workers:
                ready(worker)
            server.settled(server.post(PROMPT))
            for worker in fleet.workers:
                worker.logs("model left alone")
            asked = len(provider.requests)

            provider.status, provider.answer = 200, openai_answer(SUM)
            provider.speaks.clear()
            postgres.execute("UPDATE runwright.circuits SET until = 0")
            runs: list[str] = []
            while len(provider.requests) == asked:  # each worker looks every second
                runs.append(server.post(PROMPT))
                wait_until(lambda: len(provider.requests) > asked or ended(server, runs[-1:]))
            runs += [server.post(PROMPT) for _ in range(8)]
            wait_until(lambda: ended(server, runs) == len(runs) - 1)
            assert len(provider.requests) == asked + 1

            provider.speaks.set()
            records = [server.settled(run_id) for run_id in runs]
            assert Counter(map(left_alone, records)) == {True: len(runs) - 1, False: 1}
            for worker in fleet.workers:
                worker.logs("model asked again")
            wait_until(lambda: health(server)[BACKUP]["state"] == "ok")
            again = [server.settled(server.post(PROMPT)) for _ in range(4)]
            assert not any(map(left_alone, again))


def ended(server: Any, runs: list[str]) -> int:
    return sum(server.get(run_id)["status"] == "completed" for run_id in runs)


def test_posts_of_an_owner_are_counted_over_all_servers(
    folder: Path, postgres: PostgresServer
) -> None:
    with FleetProcesses(folder, servers=2, workers=0, posts_per_minute="3") as fleet:
        one, other = (server.client for server in fleet.servers)
        body = {"prompt": PROMPT}
        assert one.post("/runs", json=body).status_code == 201
        # Whatever time this takes, none comes back.
        postgres.execute("UPDATE runwright.posts SET at = at + 3600")
        assert other.post("/runs", json=body).status_code == 201
        assert one.post("/plan", json=body).status_code == 200
        assert other.get("/budget").json()["quota"]["used"]["posts"] == 3
        for client in (one, other, one):
            refused = client.post("/runs", json=body)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "20")
        assert postgres.execute("SELECT posted FROM runwright.posts") == [(3.0,)]
        assert postgres.execute("SELECT count(*) FROM runwright.runs") == [(2,)]


@pytest.mark.slow
def test_to_dos_of_an_owner_are_counted_over_all_workers(
    folder: Path, postgres: PostgresServer
) -> None:
    with FleetProcesses(folder, servers=1, workers=2, kept_todos="5") as fleet:
        [server] = fleet.servers
        runs = [server.post(f"add tea {number} to my list") for number in range(16)]
        statuses = Counter(server.settled(run_id)["status"] for run_id in runs)
        assert statuses == {"completed": 5, "failed": 11}
    kept = "SELECT count(*) FROM runwright.store WHERE prefix LIKE 'todo%'"
    assert postgres.execute(kept) == [(5,)]


def test_a_post_that_is_refused_for_want_of_room_is_counted(folder: Path) -> None:
    """So that who is refused again and again is refused as one who posts too much in the end."""
    given = {"kept_runs": "1", "posts_per_minute": "3"}
    with FleetProcesses(folder, servers=1, workers=0, **given) as fleet:
        [server] = fleet.servers
        server.post(PROMPT)

        def refused() -> str:
            answer = server.client.post("/runs", json={"prompt": PROMPT})
            return str(answer.json()["type"]).rpartition(":")[2]

        assert refused() == "no-room"
        wait_until(lambda: refused() == "too-many-posts")


def test_a_worker_takes_no_more_runs_than_it_has_places_for(
    folder: Path, postgres: PostgresServer
) -> None:
    doing = "SELECT count(*) FROM runwright.procrastinate_jobs WHERE status = 'doing'"
    with FleetProcesses(folder, servers=1, workers=0, tools=GATE, in_flight="1") as fleet:
        [server] = fleet.servers
        ids = [server.post(f"pass gate {name}") for name in "abc"]
        fleet.workers.append(fleet.start())
        server.until(ids[0], lambda run: run["status"] == "running")
        fleet.workers[0].logs("working")
        assert postgres.execute(doing) == [(1,)]
        # What the one has no place for another one does.
        fleet.workers.append(fleet.start())
        server.until(ids[1], lambda run: run["status"] == "running")
        for name in "abc":
            open_gate(folder, name)
        assert {server.settled(run_id)["status"] for run_id in ids} == {"completed"}
