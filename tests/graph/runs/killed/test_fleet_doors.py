"""What is asked of one server about runs that came in by another, and of workers themselves."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from graph.settings.configured import new_key
from tests.support.databases.postgres import NAME, PostgresServer, runs_kept_in
from tests.support.models.llm_runs import SUM, models
from tests.support.models.stream_server import stream_server
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.patience import patience, wait_until
from tests.support.servers.fleet import FleetProcesses, WorkerProcess
from tests.support.servers.proxies.deaf import deaf_proxy
from tests.support.servers.server_process import (
    ServerProcess,
    forked,
    http_client,
    runwright,
    serving,
)

WORDS = ["The ", "sum ", "is ", "42."]


@pytest.fixture
def folder(tmp_path: Path, postgres: PostgresServer) -> Iterator[Path]:
    with runs_kept_in(tmp_path, postgres.empty()):
        yield tmp_path


class Stream:
    """Reads what a server streams in a thread; `told` are the kinds and the data so far."""

    def __init__(self, server: ServerProcess, path: str) -> None:
        self.told: list[tuple[str, Any]] = []
        self._server, self._path = server, path
        self.opened = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def until(self, kind: str, **said: Any) -> Any:
        """The data of the first event of a kind that says this."""

        def found() -> Any:
            events = [data for name, data in list(self.told) if name == kind]
            return next((one for one in events if said.items() <= one.items()), None)

        return wait_until(found, otherwise=lambda: str(self.told))

    def _read(self) -> None:
        kind = ""
        with (
            suppress(httpx.TransportError),  # the server has ended
            http_client(self._server.url) as client,
            client.stream("GET", self._path) as answer,
        ):
            self.opened.set()
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    self.told.append((kind, json.loads(line.removeprefix("data: "))))
                    if kind == "end":
                        return


@pytest.mark.slow
def test_words_of_an_answer_are_told_on_every_server_while_it_is_given(folder: Path) -> None:
    with stream_server(SUM, WORDS) as provider:
        given = {"models": models(("openai/gpt-5-mini", provider.url)), "answer": "auto"}
        given |= {"model_timeout": "600"}
        with FleetProcesses(folder, servers=2, workers=1, **given) as fleet:
            one, other = fleet.servers
            run_id = one.post("what is 40 + 2")
            streams = [Stream(server, f"/runs/{run_id}/stream") for server in (one, other)]
            for stream in streams:
                stream.until("step.completed")
            provider.let(2)  # the answer has not ended, and two words of it were sent
            for stream in streams:
                wait_until(lambda stream=stream: said(stream).startswith("The"))
            provider.let(len(WORDS))
            for stream in streams:
                stream.until("end")
                assert "The sum is 42.".startswith(said(stream))
            assert other.settled(run_id)["result"]["answer"]["text"] == "The sum is 42."


def said(stream: Stream) -> str:
    return "".join(data["text"] for kind, data in stream.told if kind == "answer.delta")


@pytest.mark.slow
def test_every_server_tells_of_what_was_asked_of_another(folder: Path) -> None:
    keys = {name: new_key(name) for name in ("ada", "bob")}
    configured = ",".join(str(kept) for _, kept in keys.values())
    with FleetProcesses(folder, servers=2, workers=1, api_keys=configured) as fleet:
        for server in fleet.servers:
            server.client.headers["authorization"] = f"Bearer {keys['ada'][0]}"
        one, other = (server.client for server in fleet.servers)
        run_id = fleet.servers[0].post("divide 1 by 0")
        assert fleet.servers[1].settled(run_id)["status"] == "failed"
        assert other.post(f"/runs/{run_id}/retry").json()["status"] == "pending"
        fleet.servers[0].settled(run_id)
        told = one.get("/audit").json()["entries"]
        assert [(entry["kind"], entry["by"]) for entry in told] == [
            ("retry", "ada"),
            ("post", "ada"),
        ]
        replayed = other.post(f"/runs/{run_id}/replay", json={}).json()
        assert replayed["same"], replayed
        other.headers["authorization"] = f"Bearer {keys['bob'][0]}"
        assert other.get(f"/runs/{run_id}").status_code == 404
        assert other.get("/audit").json()["entries"] == []


@pytest.mark.slow
def test_a_thread_of_langgraphs_protocol_goes_on_at_another_server(folder: Path) -> None:
    with FleetProcesses(folder, servers=2, workers=1, tools=GATE) as fleet:
        one, other = (server.client for server in fleet.servers)
        thread = one.post("/lg/threads", json={}).json()["thread_id"]
        asked = {"assistant_id": "runwright", "input": {"prompt": "pass gate h"}}
        run = one.post(f"/lg/threads/{thread}/runs", json=asked).json()
        runs = f"/lg/threads/{thread}/runs"
        wait_until(lambda: other.get(f"{runs}/{run['run_id']}").json()["status"] == "running")
        joined: list[str] = []
        joining = threading.Thread(target=join, args=(fleet.servers[1], runs, run, joined))
        joining.start()
        open_gate(folder, "h")
        joining.join()
        assert "event: values" in joined
        asked = {"assistant_id": "runwright", "input": {"prompt": "calculate 6 * 7"}}
        ended = other.post(f"{runs}/wait", json=asked)
        assert ended.status_code == 200, ended.text
        assert "42" in ended.text
        states = [client.get(f"/lg/threads/{thread}/state").json() for client in (one, other)]
        assert states[0]["values"] == states[1]["values"]


def join(server: ServerProcess, runs: str, run: dict[str, Any], told: list[str]) -> None:
    with (
        http_client(server.url) as client,
        client.stream("GET", f"{runs}/{run['run_id']}/stream") as answer,
    ):
        told += [line for line in answer.iter_lines() if line.startswith("event: ")]


@contextmanager
def deaf(folder: Path, postgres: PostgresServer) -> Iterator[None]:
    """Servers of this folder reach Postgres through something that lets no notice pass."""
    with deaf_proxy(postgres.socket) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/{NAME}?sslmode=disable&gssencmode=disable"
        with runs_kept_in(folder, url):
            yield


@pytest.mark.slow
def test_who_hears_nothing_sees_what_changes_all_the_same_and_is_told_so(
    folder: Path, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    far = tmp_path_factory.mktemp("far")
    with FleetProcesses(folder, servers=1, workers=1) as fleet, deaf(far, postgres):
        told = runwright("doctor", folder=far, workers="0")
        assert "LISTEN needs a direct connection" in told.stdout
        with serving(far, workers="0") as server:
            changes = Stream(server, "/runs/stream")
            assert changes.opened.wait(60)
            run_id = fleet.servers[0].post("what is 2 + 3")
            changes.until("run.changed", run_id=run_id, status="completed")  # nobody watches it
            watched = fleet.servers[0].post("what is 2 + 3")
            Stream(server, f"/runs/{watched}/stream").until("end")
            assert server.settled(server.post("what is 2 + 3"))["status"] == "completed"


@pytest.mark.slow
def test_a_worker_tells_how_it_does_to_whom_a_server_would(folder: Path) -> None:
    with serving(folder, workers="0") as server:
        worker = WorkerProcess(folder, ("worker", "--metrics-port", "0"))
        url = worker.logs("working").partition("metrics=")[2].split()[0]
        assert server.settled(server.post("what is 2 + 3"))["status"] == "completed"
        with http_client() as client:
            told = client.get(url).text
            assert 'runwright_runs_settled_total{error="",status="completed"} 1.0' in told
            assert client.get(url.replace("/metrics", "/health/live")).status_code == 204
            assert client.get(url.replace("/metrics", "/runs")).status_code == 404
        worker.kill()
    open_to_all = runwright("worker", "--host", "0.0.0.0", "--metrics-port", "0", folder=folder)
    assert open_to_all.returncode == 2
    assert "without keys" in open_to_all.stderr
    key, kept = new_key("ada")
    worker = WorkerProcess(
        folder, ("worker", "--metrics-port", "0"), api_keys=str(kept), metrics="key:ada"
    )
    url = worker.logs("working").partition("metrics=")[2].split()[0]
    with http_client() as client:
        assert client.get(url).status_code == 401
        given = {"authorization": f"Bearer {key}"}
        assert client.get(url, headers=given).status_code == 200
    worker.kill()


@pytest.mark.slow
def test_a_command_shows_a_run_of_the_fleet_and_leaves_it_to_the_workers(folder: Path) -> None:
    with FleetProcesses(folder, servers=1, workers=0, tools=GATE) as fleet:
        server = fleet.servers[0]
        run_id = server.post("pass gate k")
        # It could take the run, and has no such tool, as commands do.
        watching = WorkerProcess(folder, ("watch", run_id), workers="1")
        fleet.workers.append(watching)
        watching.logs("no worker executes runs just now")
        assert server.get(run_id)["status"] == "pending"
        fleet.workers.append(fleet.start())
        open_gate(folder, "k")
        assert server.settled(run_id)["status"] == "completed"
        assert watching.ended() == 0
        assert len(watching.lines) == 1
        assert server.get(run_id)["marks"] == []


def test_a_command_is_one_of_the_fleet_or_says_how_to_reach_it(folder: Path) -> None:
    with FleetProcesses(folder, servers=1, workers=1, tools=GATE) as fleet:
        server = fleet.servers[0]
        standing = server.post("pass gate m")
        server.until(standing, lambda run: run["status"] == "running")
        for command in (("list",), ("run", "what is 2 + 3"), ("watch", standing)):
            refused = runwright(*command, folder=folder)
            assert (refused.returncode, refused.stdout) == (2, "")
            [line] = refused.stderr.splitlines()
            assert "shared by several processes" in line
            assert "RUNWRIGHT_WORKERS=0" in line
            assert "--url" in line
        listed = runwright("list", folder=folder, workers="1")
        assert standing in listed.stdout
        body = {"prompt": "add tea to my list", "mode": "plan"}
        waiting = server.client.post("/runs", json=body).json()["run_id"]
        server.until(waiting, lambda run: run["status"] == "waiting")
        for approve in ((waiting,), (waiting, "--url", server.url)):
            approved = runwright("approve", *approve, folder=folder, workers="0")
            assert approved.returncode == (0 if "--url" in approve else 2), approved.stderr
            assert ("with --url" in approved.stderr) == bool(approved.returncode)
        assert server.settled(waiting)["status"] == "completed"
        # Behind one that has not ended, which only a worker goes on with.
        asked = ("run", "--thread", standing, "what is 2 + 3")
        following = forked(*asked, folder=folder, stdout=subprocess.PIPE, workers="1")
        find = {"thread_id": standing, "status": "pending"}
        wait_until(lambda: server.client.get("/runs", params=find).json()["runs"])
        open_gate(folder, "m")
        shown, _ = following.communicate(patience())
        assert following.returncode == 0
        assert shown.endswith("5\n")


def test_a_worker_without_postgres_is_refused_in_one_line(tmp_path: Path) -> None:
    refused = runwright("worker", folder=tmp_path, database_url="sqlite:///x.db")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "postgresql://" in refused.stderr


def test_a_newer_database_is_refused_in_one_line_and_parked_runs_outlive_an_upgrade(
    folder: Path, postgres: PostgresServer
) -> None:
    with FleetProcesses(folder, servers=1, workers=1) as fleet:
        body = {"prompt": "add tea to my list", "mode": "plan"}
        waiting = fleet.servers[0].client.post("/runs", json=body).json()["run_id"]
        fleet.servers[0].until(waiting, lambda run: run["status"] == "waiting")
        [versions] = postgres.execute("SELECT number, oldest FROM runwright.version")
        set_versions = "UPDATE runwright.version SET number = %s, oldest = %s"
        postgres.execute(set_versions, 99, None)
        for command in (("worker",), ("serve", "--workers", "0"), ("migrate",)):
            refused = runwright(*command, folder=folder)
            assert refused.returncode == 2
            assert len(refused.stderr.splitlines()) == 1
            assert "newer Runwright" in refused.stderr
        # Those that are there go on.
        done = fleet.servers[0].settled(fleet.servers[0].post("what is 2 + 3"))
        assert done["status"] == "completed"
        postgres.execute(set_versions, *versions)
    assert runwright("migrate", folder=folder).returncode == 0
    with FleetProcesses(folder, servers=1, workers=1) as fleet:
        server = fleet.servers[0]
        assert server.client.post(f"/runs/{waiting}/approve", json={}).status_code == 200
        assert server.settled(waiting)["status"] == "completed"


def test_the_last_webhook_of_a_fleet_goes_when_a_process_is_told_that_there_is_none(
    folder: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One to which nobody says anything of them leaves what the others have subscribed."""
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + "a" * 32)
    hook = {"url": "https://desk.example/runs", "secret_env": "HOOK_SECRET"}
    subscribed = "SELECT endpoint FROM runwright.webhooks"
    for given, kept in (
        ({"webhooks": json.dumps([hook])}, [(hook["url"],)]),
        ({}, [(hook["url"],)]),
        ({"webhooks": "[]"}, []),
    ):
        with serving(folder, workers="0", **given):
            assert postgres.execute(subscribed) == kept
