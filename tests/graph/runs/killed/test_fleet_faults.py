"""What clients of a fleet see of its database's faults, and of a balancer: nothing that is lost."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.patience import wait_until
from tests.support.runs.fleet_history import breaches, effects
from tests.support.servers.event_reader import Watcher
from tests.support.servers.fleet import FleetProcesses
from tests.support.servers.proxies.cutting import cutting
from tests.support.servers.server_process import http_client

TOOLS = f"{GATE},tests.support.own_tools.effects:lay"

#: Effects with a gate between them, at which a test stops the run.
PROMPT = "lay bread, then pass gate {name}, then lay jam"

#: More than connections read at once.
READERS = 9


@pytest.fixture
def folder(tmp_path: Path, postgres: PostgresServer) -> Iterator[Path]:
    with runs_kept_in(tmp_path, postgres.empty()):
        yield tmp_path


def whole(watcher: Watcher) -> bool:
    """Whether it came to the end, and saw each event once and in order."""
    assert watcher.join()
    return [event["id"] for event in watcher.seen] == [*range(1, len(watcher.seen) + 1)]


def test_a_watcher_that_is_moved_from_server_to_server_misses_nothing(folder: Path) -> None:
    with (
        FleetProcesses(folder, servers=2, workers=1, tools=TOOLS) as fleet,
        cutting([server.url for server in fleet.servers]) as balancer,
    ):
        run_id = fleet.servers[0].post(PROMPT.format(name="a"))
        balancer.cut(*[400] * 6)  # bytes, in the middle of events, too
        watcher = Watcher(run_id, lambda: balancer.url)
        fleet.servers[1].until(run_id, lambda run: (run.get("current") or {}).get("step") == 2)
        wait_until(lambda: len(watcher.connections) > 2)  # at each server
        open_gate(folder, "a")
        assert whole(watcher)
        assert watcher.connections == sorted(watcher.connections)
        assert fleet.servers[1].settled(run_id)["status"] == "completed"


@pytest.mark.slow
def test_a_fleet_whose_database_restarts_refuses_for_a_while_and_goes_on(
    folder: Path, postgres: PostgresServer
) -> None:
    with FleetProcesses(folder, servers=2, workers=2, tools=TOOLS) as fleet:
        run_id = fleet.servers[0].post(PROMPT.format(name="a"))
        for server in fleet.servers:
            server.until(run_id, lambda run: (run.get("current") or {}).get("step") == 2)
        watchers = [Watcher(run_id, lambda url=server.url: url) for server in fleet.servers]
        wait_until(lambda: all(watcher.seen for watcher in watchers))
        postgres.stop(signal.SIGQUIT)
        try:
            for server in fleet.servers:
                refused = server.client.post("/runs", json={"prompt": "lay more"})
                assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
                assert server.client.get("/health/live").status_code == 200
        finally:
            postgres.start()
        for server in fleet.servers:
            wait_until(lambda server=server: server.client.get("/health/ready").is_success)
        later = [server.post(f"lay {place}") for place, server in enumerate(fleet.servers)]
        open_gate(folder, "a")
        for one in (run_id, *later):
            assert fleet.servers[0].settled(one)["status"] == "completed"
        assert all(whole(watcher) for watcher in watchers)
        assert effects(postgres) == ["0", "1", "bread", "jam"]
        assert [*breaches(postgres)] == []
        assert {worker.process.poll() for worker in fleet.workers} <= {None, 75}


def test_news_are_heard_again_after_their_connection_was_cut(
    folder: Path, postgres: PostgresServer
) -> None:
    with FleetProcesses(folder, servers=1, workers=1, tools=TOOLS) as fleet:
        [server] = fleet.servers
        run_id = server.post(PROMPT.format(name="a"))
        server.until(run_id, lambda run: (run.get("current") or {}).get("step") == 2)
        watcher = Watcher(run_id, lambda: server.url)
        wait_until(lambda: watcher.seen)
        listening = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)"
        assert postgres.cut(listening) == 2  # the server's and the worker's
        open_gate(folder, "a")
        assert whole(watcher)
        assert len(watcher.connections) == 1


def test_who_finds_no_free_connection_is_told_to_come_again(
    folder: Path, postgres: PostgresServer
) -> None:
    with FleetProcesses(folder, servers=1, workers=0, tools=TOOLS) as fleet:
        [server] = fleet.servers
        run_id = server.post("lay bread")
        answers: list[httpx.Response] = []

        def read() -> None:
            with http_client(server.url) as client:
                answers.append(client.get(f"/runs/{run_id}"))

        reading = [threading.Thread(target=read) for _ in range(READERS)]
        with psycopg.connect(postgres.url) as busy:
            busy.execute("LOCK TABLE runwright.runs")
            for one in reading:
                one.start()
            wait_until(lambda: answers)  # those that have a connection wait for the table
            busy.rollback()
        for one in reading:
            one.join()
        refused = [one for one in answers if one.status_code == 503]
        assert {one.status_code for one in answers} == {200, 503}
        assert all("retry-after" in one.headers for one in refused)
        assert server.get(run_id)["status"] == "pending"
