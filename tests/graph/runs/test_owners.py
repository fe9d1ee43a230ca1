"""Whose a run is: for everybody else it is not there, wherever they ask and however long."""

import inspect
import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from graph.commands.retry import RetryRequest
from graph.commands.seeded import Edits
from graph.commands.threads import Threads
from graph.runs.context import RunNotFound
from graph.runs.threads import ThreadNotFound
from graph.service import Runs
from graph.settings.configured import new_key
from graph.storage.records import ThreadChange
from graph.storage.search import Search
from graph.storage.storage import Storage
from tests.support.patience import until
from tests.support.runs.live_runs import Gates, process, start
from tests.support.servers.api_calls import calls
from tests.support.servers.commands.call import call
from tests.support.servers.commands.process import running
from tests.support.servers.server_process import ServerProcess, http_client, runwright, serving
from tests.support.wording.messages import wording

KEYS = {name: new_key(name) for name in ("alice", "bob")}
ALICE, BOB = (key for key, _ in KEYS.values())
API_KEYS = ",".join(str(kept) for _, kept in KEYS.values())


async def test_a_run_is_there_for_its_owner_and_for_whoever_has_the_storage(storage: Storage):
    gates = Gates()
    async with process(storage, gates) as runs:
        run_id = await start(runs, "pass by", owner="alice")
        for owner in ("alice", None):
            record = await runs.wait(run_id, 5, owner=owner)
            assert (record["owner"], record["status"]) == ("alice", "completed")
            assert await runs.get(run_id, owner=owner) == record
            async with runs.watching(run_id, owner=owner) as subscription:
                assert subscription.ended
        [found] = (await runs.search("alice", Search()))["runs"]
        assert found["run_id"] == run_id
        assert (await runs.search("bob", Search()))["runs"] == []


async def settled_run(runs: Runs, gates: Gates) -> str:
    run_id = await start(runs, "pass by", owner="alice")
    await runs.wait(run_id, 5, owner="alice")
    return run_id


async def executing_run(runs: Runs, gates: Gates) -> str:
    run_id = await start(runs, "gate a", owner="alice")
    await until(lambda: gates.waiting == ["a"])
    return run_id


async def queued_run(runs: Runs, gates: Gates) -> str:
    await executing_run(runs, gates)
    return await start(runs, "gate b", owner="alice")


async def waiting_run(runs: Runs, gates: Gates) -> str:
    run_id = (await runs.start("gate a", owner="alice", approve="always"))["run_id"]
    assert (await runs.wait(run_id, 5, owner="alice"))["status"] == "waiting"
    return run_id


def test_every_call_about_one_run_is_in_the_next_test():
    about_one = {
        name
        for name, call in inspect.getmembers(Runs, callable)
        if not name.startswith("_") and {"run_id", "owner"} <= {*inspect.signature(call).parameters}
    }

    assert about_one == {
        *("get", "wait", "watching", "cancel", "approve", "reject", "retry", "retry_now"),
        *("history", "checkpoint", "fork", "explain", "remove", "resolve", "blob"),
    }


def test_every_call_about_one_thread_is_in_the_next_test():
    about_one = {
        name
        for name, call in inspect.getmembers(Threads, callable)
        if not name.startswith("_")
        and {"thread_id", "owner"} <= {*inspect.signature(call).parameters}
    }

    # Whose id is taken is told by `open`, to whoever knows it.
    assert about_one - {"open"} == {
        *("check", "get", "head", "change", "remove", "records"),
        *("opened", "remark", "close", "members"),
    }


async def test_anothers_thread_takes_the_same_steps_as_one_that_is_not_there(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    async with process(storage, Gates()) as runs:
        hers = (await runs.start("pass by", owner="alice", thread_name="plans"))["run_id"]
        await runs.wait(hers, 5, owner="alice")
        before = await runs.threads.get(hers, owner="alice")
        asked = _noted(storage, monkeypatch)
        steps = []
        for one in (str(uuid.uuid4()), hers):
            threads = runs.threads
            for asking in (
                lambda: threads.check(one, owner="bob"),  # noqa: B023
                lambda: threads.get(one, owner="bob"),  # noqa: B023
                lambda: threads.change(one, ThreadChange(metadata={}), owner="bob"),  # noqa: B023
                lambda: threads.remark(one, {}, owner="bob"),  # noqa: B023
                lambda: threads.remove(one, owner="bob"),  # noqa: B023
                lambda: runs.start("pass by", owner="bob", thread_id=one),  # noqa: B023
            ):
                with pytest.raises(ThreadNotFound):
                    await asking()
            assert await threads.head("bob", thread_id=one, name=None) is None
            assert await threads.head("bob", thread_id=None, name="plans") is None
            assert [record async for record in threads.records(one, owner="bob")] == []
            assert await threads.members(one, owner="bob") == []
            assert await threads.opened("bob", one) == []
            assert await threads.close(one, owner="bob") is False
            found = await runs.search("bob", Search(thread_id=one))
            assert (found["runs"], found["total"]) == ([], 0)
            page = await threads.page("bob", limit=5, name="plans")
            assert page["threads"] == (await threads.page("bob", limit=5))["threads"] == []
            steps.append(asked.copy())
            asked.clear()
        assert steps[0] == steps[1]
        assert {*steps[0]} == {"owned", "thread", "members", "change", "named", "page"}
        monkeypatch.undo()
        assert await runs.threads.get(hers, owner="alice") == before


@pytest.mark.parametrize("make", [settled_run, executing_run, queued_run, waiting_run])
async def test_anothers_run_takes_the_same_steps_as_one_that_is_not_there(
    storage: Storage, make: Callable[[Runs, Gates], Any], monkeypatch: pytest.MonkeyPatch
):
    """So that the time of the answer tells nothing: its state is read for nobody else."""
    gates = Gates()
    async with process(storage, gates, slots=1) as runs:
        run_id = await make(runs, gates)
        before = await runs.get(run_id, owner="alice")
        asked = _noted(storage, monkeypatch)
        steps = []
        for one in (str(uuid.uuid4()), run_id):
            with pytest.raises(RunNotFound):
                await runs.get(one, owner="bob")
            with pytest.raises(RunNotFound):
                await runs.blob(one, 1, "0" * 64, owner="bob")
            with pytest.raises(RunNotFound):
                await runs.wait(one, 5, owner="bob")
            with pytest.raises(RunNotFound):
                await runs.cancel(one, by="bob", owner="bob")
            with pytest.raises(RunNotFound):
                await runs.approve(one, by="bob", owner="bob")
            with pytest.raises(RunNotFound):
                await runs.reject(one, by="bob", owner="bob")
            with pytest.raises(RunNotFound):
                await runs.resolve(one, "redo", by="bob", owner="bob")
            with pytest.raises(RunNotFound):
                await runs.retry(one, RetryRequest(), by="bob", owner="bob")
            with pytest.raises(RunNotFound):
                await runs.retry_now(one, owner="bob")
            with pytest.raises(RunNotFound):
                await runs.history(one, owner="bob", limit=1)
            with pytest.raises(RunNotFound):
                await runs.checkpoint(one, "c", owner="bob")
            with pytest.raises(RunNotFound):
                await runs.fork(one, "c", Edits(), owner="bob")
            with pytest.raises(RunNotFound):
                await runs.explain(one, owner="bob")
            with pytest.raises(RunNotFound):
                await runs.remove(one, owner="bob")
            with pytest.raises(RunNotFound):
                async with runs.watching(one, owner="bob"):
                    pass
            steps.append(asked.copy())
            asked.clear()
        assert steps[0] == steps[1] == ["owned"] * 15
        monkeypatch.undo()
        assert await runs.get(run_id, owner="alice") == before


def _noted(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The reads of the storage, from now on."""
    asked: list[str] = []
    for part, name in (
        (storage.index, "owned"),
        (storage.index, "find"),
        (storage.reader, "aget_tuple"),
        *((storage.threads, name) for name in ("owned", "members", "change", "named", "page")),
        (storage.threads, "find"),
    ):
        read = getattr(part, name)
        called = "thread" if (part, name) == (storage.threads, "find") else name

        async def noting(
            *arguments: Any, called: str = called, read: Any = read, **named: Any
        ) -> Any:
            asked.append(called)
            return await read(*arguments, **named)

        monkeypatch.setattr(part, name, noting, raising=True)
    return asked


async def test_one_hears_of_changes_in_ones_own_runs_only(storage: Storage):
    async with process(storage, Gates()) as runs:
        with (
            runs.broadcaster.changes(owner="alice") as hers,
            runs.broadcaster.changes(owner=None) as everybodys,
        ):
            bobs = await start(runs, "pass one", owner="bob")
            await rested_of(runs, bobs, "bob")
            own = await start(runs, "pass two", owner="alice")
            await rested_of(runs, own, "alice")
            assert {change["run_id"] for change in await hers.next()} == {own}
            assert {change["run_id"] for change in await everybodys.next()} == {own, bobs}


async def rested_of(runs: Runs, run_id: str, owner: str) -> None:
    assert (await runs.wait(run_id, 5, owner=owner))["status"] == "completed"


def client_of(server: ServerProcess, key: str) -> httpx.Client:
    headers = {"authorization": f"Bearer {key}"}
    return http_client(server.url, headers=headers)


def test_no_call_finds_the_run_of_another(tmp_path: Path):
    """Every call that the server describes, also after a restart; and it has changed nothing."""
    with serving(tmp_path, api_keys=API_KEYS) as server:
        with client_of(server, ALICE) as alice:
            ids = {
                "completed": posted(alice, "add todo milk"),
                "failed": posted(alice, "hum a tune"),
            }
            records = {one: waited(alice, one) for one in ids.values()}
            found = strangers_finds(server, ids.values())
            assert found == {}
            assert {one: waited(alice, one) for one in ids.values()} == records
        server.terminate()
    with serving(tmp_path, api_keys=API_KEYS) as server:
        assert strangers_finds(server, ids.values()) == {}
        with client_of(server, ALICE) as alice:
            assert {one: waited(alice, one) for one in ids.values()} == records
            assert len(alice.get("/runs").json()["runs"]) == 2
        with client_of(server, BOB) as bob:
            assert posted_and_waited(bob, "show my list")["result"]["output"] == []


def strangers_finds(server: ServerProcess, ids: Any) -> dict[str, Any]:
    """The calls that answer bob for a run of alice's otherwise than for one that never was."""
    found = {}
    unknown = str(uuid.uuid4())
    with client_of(server, BOB) as bob:
        document = bob.get("/openapi.json").json()
        of_runs = [call for call in calls(document) if "{run_id}" in call[1]]
        of_runs += [call for call in calls(document) if "{thread_id}" in call[1]]
        assert len(of_runs) >= 20
        of_runs.append(("POST", "/runs", {"prompt": "2 + 2", "thread_id": "{run_id}"}))
        for method, path, body in of_runs:
            for run_id in ids:
                answers = [
                    bob.request(method, filled(path, one), json=named(body, one))
                    for one in (unknown, run_id)
                ]
                told = [(answer.status_code, answer.text) for answer in answers]
                alike = told[0] == (404, told[1][1].replace(run_id, unknown))
                if not alike or told[1][0] != 404:
                    found[f"{method} {path}"] = told
        assert "thread-not-found" in answers[0].text
        assert bob.get("/threads").json()["threads"] == []
        assert not set(ids) & set(re.findall(r"[0-9a-f-]{36}", bob.get("/runs").text))
    return found


def filled(path: str, run_id: str) -> str:
    """The path of a call, with this run, or its thread, and anything else it names."""
    path = path.replace("{run_id}", run_id).replace("{thread_id}", run_id)
    return re.sub(r"\{\w+\}", "1", path)


def named(body: Any, run_id: str) -> Any:
    """The body of a call, with this run where it names one."""
    return json.loads(json.dumps(body).replace("{run_id}", run_id))


def posted(client: httpx.Client, prompt: str) -> str:
    answer = client.post("/runs", json={"prompt": prompt})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["run_id"])


def waited(client: httpx.Client, run_id: str) -> dict[str, Any]:
    record = client.get(f"/runs/{run_id}/wait?timeout=300").json()
    del record["server_time"]
    return dict(record)


def posted_and_waited(client: httpx.Client, prompt: str) -> dict[str, Any]:
    return waited(client, posted(client, prompt))


def test_a_key_is_kept_nowhere(tmp_path: Path):
    """Neither in an answer, nor a log line, nor the database, whatever is done with it."""
    canary, kept = new_key("canary")
    wrong, _ = new_key("canary")
    with serving(tmp_path, api_keys=str(kept), log_level="debug") as server:
        told = []
        for key in (canary, wrong):
            with http_client(server.url) as client:
                document = client.get("/openapi.json").json()
                for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
                    told += [
                        answer.text + str(answer.headers)
                        for answer in answers_to(client, document, headers)
                    ]
        server.terminate()
        lines = "\n".join(server.lines)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert len(told) > 60
    assert "run prompt" in lines  # what debug adds is there
    assert b"2 + 2" in files["runs.db"]
    for key in (canary, wrong):
        assert key not in lines
        assert not [text for text in told if key in text]
        assert not [name for name, data in files.items() if key.encode() in data]


def answers_to(client: httpx.Client, document: Any, headers: dict[str, str]) -> Any:
    """Every call, with a body that is right and one that is not, and paths that do not exist."""
    made = client.post("/runs/wait?timeout=300", json={"prompt": "2 + 2"}, headers=headers)
    run_id = made.json().get("run_id", str(uuid.uuid4()))
    yield made
    for method, path, body in calls(document):
        if path == "/runs/stream":  # without an end
            continue
        yield client.request(method, filled(path, run_id), json=body, headers=headers)
        typed = headers | {"content-type": "application/json"}
        yield client.request(method, filled(path, run_id), content=b"{x", headers=typed)
        yield client.request("PUT", filled(path, "nobody"), headers=headers)
    yield client.get("/nothing", headers=headers)


def test_the_terminal_takes_its_key_to_the_server(tmp_path: Path):
    with serving(tmp_path, api_keys=API_KEYS) as server:
        without = call("run", "2 + 2", folder=tmp_path)
        wrong = call("run", "2 + 2", folder=tmp_path, api_key=new_key("x")[0])
        with running("run", "2 + 2", folder=tmp_path, api_key=ALICE) as own:
            assert own.ended() == 0
            run_id = own.run_id
        seen = call("watch", run_id, folder=tmp_path, api_key=ALICE)
        unseen = call("watch", run_id, folder=tmp_path, api_key=BOB)
        keyless = call("watch", run_id, folder=tmp_path)
    later = call("watch", run_id, folder=tmp_path)

    assert [without.returncode, wrong.returncode] == [2, 2]
    assert wording("terminal.server.key.none", url=server.url) in without.stderr
    assert len(without.stderr.splitlines()) == 1
    assert wording("terminal.server.key.wrong", url=server.url) in wrong.stderr
    assert (seen.returncode, seen.stdout.splitlines()[-1]) == (0, "4")
    assert (unseen.returncode, keyless.returncode) == (2, 2)
    assert wording("problems.run-not-found.detail", run_id=run_id) in unseen.stderr
    assert "set RUNWRIGHT_API_KEY" in keyless.stderr
    assert later.returncode == 0  # whoever has the file has what is in it


def test_a_task_of_the_terminal_belongs_to_the_owner_of_its_key(tmp_path: Path):
    without = call("run", "2 + 2", folder=tmp_path, api_keys=API_KEYS)
    wrong = call("run", "2 + 2", folder=tmp_path, api_keys=API_KEYS, api_key=new_key("x")[0])
    own = call("run", "2 + 2", "--json", folder=tmp_path, api_keys=API_KEYS, api_key=BOB)

    assert (without.returncode, wrong.returncode, own.returncode) == (2, 2, 0)
    assert without.stderr == wording("terminal.run.key.none") + "\n"
    assert wrong.stderr == wording("terminal.run.key.wrong") + "\n"
    assert '"owner": "bob"' in own.stdout


def test_without_keys_no_server_begins_beyond_loopback(tmp_path: Path):
    refused = call("serve", folder=tmp_path, host="0.0.0.0")

    assert refused.returncode == 2
    assert wording("settings.exposed", host="0.0.0.0") in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    for allowed in ({"api_keys": API_KEYS}, {"open_to_all": "true"}):
        with serving(tmp_path, host="0.0.0.0", **allowed) as server:
            assert server.client.get("/health/ready").status_code == 200


def test_the_command_prints_a_key_once_with_its_entry(tmp_path: Path):
    made = runwright("key", "new", "carol", folder=tmp_path)
    refused = call("key", "new", "two words", folder=tmp_path)
    printed = dict(re.findall(r"^RUNWRIGHT_(\w+)=(.*)$", made.stdout, re.MULTILINE))
    with (
        serving(tmp_path, api_keys=printed["API_KEYS"]) as server,
        client_of(server, printed["API_KEY"]) as carol,
    ):
        assert posted_and_waited(carol, "2 + 2")["owner"] == "carol"

    assert (made.returncode, refused.returncode) == (0, 2)
    assert refused.stderr == wording("terminal.key.name") + "\n"
