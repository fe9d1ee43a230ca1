"""Waiting for the end of a run: `POST /runs/wait` and `GET /runs/{run_id}/wait`."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.views import RunAnswer
from graph.storage.storage import StorageUnavailable
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import patience, wait_until
from tests.support.runs.fake_runs import FakeRuns
from tests.support.runs.run_states import attempted, completed, finished, planned, queued
from tests.support.servers import server_process
from tests.support.servers.asgi_clients import application, visiting
from tests.support.servers.documented import documented


async def started(runs: FakeRuns) -> str:
    """The run that a call has accepted, once it waits for it."""
    async with asyncio.timeout(patience()):
        await runs.read.wait()
    return runs.started[-1]


async def test_a_task_that_is_waited_for_is_answered_with_its_settled_record(runs, client):
    posting = asyncio.create_task(client.post("/runs/wait", json={"prompt": "say hello"}))
    run_id = await started(runs)
    assert not posting.done()

    runs.store(completed(attempted(planned(runs.states[run_id], steps=1))))
    answer = await posting

    assert answer.status_code == 201
    assert answer.headers["location"] == f"/runs/{run_id}"
    read = documented(RunAnswer, answer.content)
    assert (read["run_id"], read["status"], read["progress"]["done"]) == (run_id, "completed", 1)


async def test_a_task_that_takes_longer_is_answered_as_it_is(runs, client):
    answer = await client.post("/runs/wait?timeout=0.02", json={"prompt": "say hello"})

    [run_id] = runs.started
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/runs/{run_id}"
    assert answer.json()["status"] == "pending"


async def test_an_accepted_task_is_told_also_when_its_end_cannot_be_read(runs, client):
    async def failing(run_id, timeout, *, owner):
        raise StorageUnavailable

    runs.wait = failing
    answer = await client.post("/runs/wait", json={"prompt": "say hello"})

    assert answer.status_code == 202
    assert answer.headers["location"] == f"/runs/{runs.started[0]}"


async def test_a_settled_run_is_answered_at_once_and_any_other_when_it_settles(runs, client):
    state = planned(queued())
    ended = await client.get(f"/runs/{runs.store(finished())}/wait")
    runs.read.clear()
    waiting = asyncio.create_task(client.get(f"/runs/{runs.store(state)}/wait"))
    await runs.read.wait()
    runs.store(completed(state))

    assert ended.status_code == (await waiting).status_code == 200
    assert (await waiting).json()["status"] == "completed"


async def test_a_run_that_is_not_settled_in_time_is_answered_as_it_is(runs, client):
    answer = await client.get(f"/runs/{runs.store(planned(queued()))}/wait?timeout=0.01")

    assert answer.status_code == 202
    assert answer.json()["status"] == "running"


async def test_when_the_server_ends_who_waits_is_answered_at_once(runs, client):
    state = planned(queued())
    waiting = asyncio.create_task(client.get(f"/runs/{runs.store(state)}/wait"))
    await runs.read.wait()
    runs.broadcaster.close()

    async with asyncio.timeout(patience()):
        assert (await waiting).status_code == 202


@pytest.mark.parametrize(
    "timeout", ["nan", "inf", "-1", "300.1", "301", "", "1e400", "0x1", "soon"]
)
async def test_a_timeout_that_is_none_is_refused(runs, client, timeout):
    run_id = runs.store(queued())

    for answer in (
        await client.get(f"/runs/{run_id}/wait", params={"timeout": timeout}),
        await client.post("/runs/wait", params={"timeout": timeout}, json={"prompt": "hello"}),
    ):
        assert answer.status_code == 400
        [fault] = answer.json()["errors"]
        assert fault["field"] == "timeout"
    assert runs.started == []


@pytest.mark.parametrize("timeout", ["0", "0.0", "1e-3"])
async def test_a_timeout_may_be_as_short_as_one_likes(runs, client, timeout):
    answer = await client.get(f"/runs/{runs.store(queued())}/wait", params={"timeout": timeout})

    assert answer.status_code == 202


async def test_an_unknown_run_and_a_bad_task_are_refused_at_once(runs, client):
    unknown = await client.get("/runs/none/wait")
    blank = await client.post("/runs/wait", json={"prompt": " "})

    assert unknown.status_code == 404
    assert blank.status_code == 400
    assert blank.json()["type"] == "urn:runwright:problem:prompt-rejected"


async def test_nobody_is_waited_for_who_has_gone(runs):
    app = application(runs)
    run_id = runs.store(queued())
    before = len(asyncio.all_tasks())
    async with app.router.lifespan_context(app), visiting(app, f"/runs/{run_id}/wait") as visit:
        await runs.read.wait()
        await visit.leave()

    assert runs.watched() == {}
    assert len(asyncio.all_tasks()) == before


async def test_a_task_goes_on_when_its_client_goes(runs):
    app = application(runs)
    body = json.dumps({"prompt": "say hello"}).encode()
    async with (
        app.router.lifespan_context(app),
        visiting(
            app,
            "/runs/wait",
            method="POST",
            body=body,
            content_type="application/json",
            content_length=str(len(body)),
        ) as visit,
    ):
        run_id = await started(runs)
        await visit.leave()

    assert runs.watched() == {}
    assert runs.records[run_id]["status"] == "pending"


def test_a_real_task_is_waited_for_until_it_ends_or_the_time_is_up(tmp_path: Path):
    with server_process.serving(tmp_path, tools="examples.flaky:sleep") as server:
        quick = server.client.post("/runs/wait", json={"prompt": "calculate 6 * 7"})
        begun = time.monotonic()
        slow = server.client.post("/runs/wait?timeout=0.3", json={"prompt": "sleep 600 seconds"})
        took = time.monotonic() - begun
        again = server.client.get(slow.headers["location"] + "/wait?timeout=0")
        continues = server.until(slow.json()["run_id"], lambda run: run["current"])

    assert quick.status_code == 201
    assert quick.json()["result"]["output"] == 42
    assert slow.status_code == again.status_code == 202
    assert continues["current"]["step"] == 1
    assert took >= 0.3


def test_who_waits_is_answered_when_the_server_is_told_to_end(tmp_path: Path):
    with (
        server_process.serving(tmp_path, tools=GATE, grace="3600") as server,
        ThreadPoolExecutor() as threads,
    ):
        task = {"prompt": "pass gate one, then 2 + 2"}
        waiting = threads.submit(server.client.post, "/runs/wait?timeout=300", json=task)
        wait_until(lambda: server.client.get("/runs").json()["runs"])
        [listed] = server.client.get("/runs").json()["runs"]
        # At its gate: between two steps it would end there.
        server.until(listed["run_id"], lambda run: run["current"])
        server.end_requested()
        assert not waiting.done()
        server.open_gate("one")
        assert server.ended() == 0

    assert waiting.result().status_code == 202
