"""Who did what with runs: written with the change, told to owners, and kept when a run is not."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from graph.runs.upkeep import Retention
from graph.settings.configured import new_key
from graph.storage.open import open_storage
from graph.storage.records import AuditQuery
from tests.graph.telemetry.test_webhooks import SECRET, listening
from tests.support.databases.postgres import database_of, rows_of
from tests.support.patience import wait_until
from tests.support.servers.server_process import ServerProcess, http_client, runwright, serving

MARKER = "xylophone"

KEYS = {name: new_key(name) for name in ("alice", "bob")}


@pytest.fixture
def keyed(tmp_path: Path, kept_on: str) -> Iterator[ServerProcess]:
    entries = ",".join(str(kept) for _, kept in KEYS.values())
    tools = "tests.support.own_tools.uncertain:send"
    with serving(tmp_path, api_keys=entries, approve="always", tools=tools) as server:
        yield server


def client_of(server: ServerProcess, name: str) -> httpx.Client:
    return http_client(server.url, headers={"X-Api-Key": KEYS[name][0]})


def asked(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/audit", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["entries"])


def did(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What was done and by whom, the first first."""
    return [(entry["kind"], entry["by"]) for entry in reversed(entries)]


def post(client: httpx.Client, prompt: str) -> str:
    answer = client.post("/runs", json={"prompt": prompt})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["run_id"])


def at_rest(client: httpx.Client, run_id: str) -> Any:
    return client.get(f"/runs/{run_id}/wait", params={"timeout": 300}).json()


def ordered(client: httpx.Client, run_id: str, order: str, **body: Any) -> Any:
    answer = client.post(f"/runs/{run_id}/{order}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


def test_every_order_is_told_by_who_gave_it_and_to_nobody_else(keyed):
    with client_of(keyed, "alice") as alice, client_of(keyed, "bob") as bob:
        begun = time.time()
        first = post(alice, f"divide 1 by 0, then add {MARKER} to my list")
        at_rest(alice, first)
        ordered(alice, first, "approve")
        at_rest(alice, first)
        ordered(alice, first, "retry", skip=[1])
        at_rest(alice, first)
        second = post(alice, f"add {MARKER} to my list")
        at_rest(alice, second)
        ordered(alice, second, "reject", reason=MARKER)
        history = alice.get(f"/runs/{second}/history").json()["checkpoints"]
        fork = ordered(alice, second, "fork", checkpoint_id=history[-1]["checkpoint_id"])["run_id"]
        at_rest(alice, fork)
        ordered(alice, fork, "cancel")
        third = post(alice, f"courier {MARKER}")
        at_rest(alice, third)
        ordered(alice, third, "approve")
        wait_until(lambda: alice.get(f"/runs/{third}").json()["in_doubt"])
        ordered(alice, third, "resolve", **{"as": "fail"})
        at_rest(alice, third)
        for run_id in (first, fork):
            assert alice.get(f"/runs/{run_id}").json()["posted_by"] == "alice"
            [queued, *_] = alice.get(f"/runs/{run_id}/events").json()["events"]
            assert (queued["type"], queued["data"]["by"]) == ("run.queued", "alice")
        other = post(bob, "what is 2 plus 3")
        assert alice.delete(f"/runs/{second}").status_code == 204

        everything = asked(alice)
        assert {entry["owner"] for entry in everything} == {"alice"}
        assert MARKER not in json.dumps(everything)
        assert {entry["run_id"] for entry in asked(bob)} == {other}
        assert did(asked(alice, run_id=first)) == [
            *(("post", "alice"), ("approve", "alice"), ("retry", "alice"))
        ]
        assert did(asked(alice, run_id=second)) == [
            *(("post", "alice"), ("reject", "alice"), ("delete", "alice"))
        ]
        assert did(asked(alice, run_id=fork)) == [("fork", "alice"), ("cancel", "alice")]
        assert did(asked(alice, run_id=third)) == [
            *(("post", "alice"), ("approve", "alice"), ("resolve", "alice"))
        ]
        assert asked(bob, run_id=first) == []
        assert len(asked(alice, kind=["fork", "delete"])) == 2
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun - 60))
        assert asked(alice, before=moment) == []
        assert asked(alice, since=moment) == everything

        pages: list[dict[str, Any]] = []
        cursor = None
        while cursor or not pages:
            given = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            answer = alice.get("/audit", params=given).json()
            pages += answer["entries"]
            cursor = answer["next_cursor"]
        assert pages == everything
        wrong = bob.get("/audit", params={"cursor": "x"})
        assert wrong.status_code == 400
        assert keyed.client.get("/audit").status_code == 401


def test_what_endpoints_were_told_is_among_it_by_their_hosts(tmp_path, kept_on, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", SECRET.decode())
    with listening() as hook:
        one = {"url": hook.url, "secret_env": "HOOK_SECRET", "allow_private": True}
        with serving(tmp_path, webhooks=json.dumps([one])) as server:
            server.settled(server.post("what is 2 plus 3"))
            wait_until(lambda: asked(server.client, kind="webhook"))
            [told] = asked(server.client, kind="webhook")

    assert told["by"] == hook.url.removesuffix("/hook?of=us")


def test_the_terminal_tells_all_of_a_database_and_its_own_of_a_server(tmp_path):
    done = runwright("run", "what is 2 plus 3", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    told = runwright("audit", folder=tmp_path)
    assert told.stdout.endswith("  by the command line, of default\n"), told
    with serving(tmp_path) as server:
        server.settled(server.post("hello there"))
        told = runwright("audit", "--kind", "post", "--json", folder=tmp_path)
        assert did(json.loads(told.stdout)["entries"]) == [
            *(("post", "the command line"), ("post", "client"))
        ]
        assert runwright("audit", "--kind", "fork", folder=tmp_path).stdout == "nothing\n"


async def test_entries_outlast_their_run_for_a_time(tmp_path, kept_on):
    with serving(tmp_path, retention="0") as server:
        kept, gone = server.post("what is 2 plus 3"), server.post("hello there")
        for run_id in (kept, gone):
            server.settled(run_id)
        server.client.delete(f"/runs/{gone}")
        server.terminate()
    async with open_storage(database_of(tmp_path)) as storage:
        sweeper = Retention(
            storage.index, storage.remove, days=0, audit=storage.audit, audit_days=7
        )

        async def told() -> list[str]:
            page, _ = await storage.audit.page(None, AuditQuery(), limit=9, before=None)
            return [entry["kind"] for entry in page]

        await sweeper.sweep(time.time() + 6 * 86_400)
        assert await told() == ["delete", "post", "post"]
        await sweeper.sweep(time.time() + 8 * 86_400)
        assert await told() == ["post"]
        [left], _ = await storage.audit.page(None, AuditQuery(), limit=9, before=None)
        assert left["run_id"] == kept


def test_what_a_kill_cuts_off_is_written_with_its_change_or_not_at_all(tmp_path, kept_on):
    for _ in range(5):
        with serving(tmp_path, approve="always") as server:
            begun = [server.post("what is 2 plus 3") for _ in range(4)]
            server.client.post(f"/runs/{begun[0]}/cancel", json={})
            server.kill()
    entries = rows_of(tmp_path, "SELECT run_id, kind FROM audit")
    runs = rows_of(tmp_path, "SELECT run_id, 'post' FROM runs")
    runs += rows_of(tmp_path, "SELECT run_id, 'cancel' FROM runs WHERE cancel_at IS NOT NULL")
    assert sorted(entries) == sorted(runs)
