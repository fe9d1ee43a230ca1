"""Watchers of a run over HTTP: they are many, they are slow, they vanish, and the run goes on."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest
from fastapi import FastAPI

from api import streams
from tests.support.own_tools.gate_tool import GATE
from tests.support.runs.run_states import attempted, completed, planned, queued
from tests.support.servers import server_process
from tests.support.servers.asgi_clients import Visit, application, visiting


def watch(app: FastAPI, run_id: str) -> AbstractAsyncContextManager[Visit]:
    return visiting(app, f"/runs/{run_id}/stream")


async def test_250_watchers_are_one_read_and_one_encoding_and_leave_nothing(runs, app, monkeypatch):
    encoded = []

    def counting(event):
        encoded.append(event["id"])
        return encode(event)

    encode = streams._encode
    monkeypatch.setattr(streams, "_encode", counting)
    state = planned(queued(), steps=1)
    run_id = runs.store(state)
    before = len(asyncio.all_tasks())

    async with AsyncExitStack() as crowd:
        visits = [await crowd.enter_async_context(watch(app, run_id)) for _ in range(250)]
        for visit in visits:
            await visit.until(7)
        runs.store(state := attempted(state))
        runs.store(completed(state))
        everything = [await visit.end() for visit in visits]
    for _ in range(3):  # who come when all of them have gone
        async with watch(app, run_id) as visit:
            everything.append(await visit.end())

    assert all(told == everything[0] for told in everything)
    assert encoded == [event.id for event in everything[0]]
    assert runs.reads == 1
    assert runs.watched() == {}
    assert len(asyncio.all_tasks()) == before
    assert list(app.state.encoded_events._encoded) == [
        live.subscription for live in runs.broadcaster._kept.values()
    ]


@pytest.mark.parametrize("seen", [0, 1])
async def test_a_client_that_vanishes_leaves_nothing(runs, app, seen):
    run_id = runs.store(queued())
    before = len(asyncio.all_tasks())

    async with watch(app, run_id) as visit:
        await visit.until(seen)
        await visit.leave()

    assert runs.watched() == {}
    assert len(asyncio.all_tasks()) == before


async def test_waiting_through_many_heartbeats_keeps_nothing(runs):
    app = application(runs, heartbeat=0.001)
    run_id = runs.store(queued())
    async with app.router.lifespan_context(app), watch(app, run_id) as visit:
        await visit.until(50)
        assert len(runs.watched()[run_id]._notifier._waiting) <= 1


async def test_a_slow_reader_holds_up_nobody_else_and_misses_nothing(runs, app):
    state = planned(queued(), steps=1)
    run_id = runs.store(state)
    async with watch(app, run_id) as slow, watch(app, run_id) as quick:
        await slow.until(7)
        await quick.until(7)
        slow.throughput.clear()
        runs.store(state := attempted(state))
        await quick.until(8)
        runs.store(completed(state))
        whole = await quick.end()
        slow.throughput.set()
        assert await slow.end() == whole


async def test_a_client_that_leaves_while_it_reads_nothing_is_let_go(runs, app):
    async with watch(app, runs.store(queued())) as visit:
        visit.throughput.clear()
        await asyncio.sleep(0.01)
        await visit.leave()

    assert runs.watched() == {}


def test_a_real_stream_breaks_off_at_a_restart_and_goes_on_after_it(tmp_path: Path):
    """What was told before is told again with the same numbers, and what follows follows."""
    settings = {"tools": GATE, "grace": "3600"}
    before: list[str] = []
    with server_process.serving(tmp_path, **settings) as server:
        run_id = server.post("calculate 6 * 7, then pass gate one, then 2 + 2")
        with server.client.stream("GET", f"/runs/{run_id}/stream") as answer:
            for line in answer.iter_lines():
                before.append(line)
                if '"type":"step.started"' in line and '"step":2' in line:
                    server.end_requested()
                    server.open_gate("one")
        assert server.ended() == 0
        complaints = [line for line in server.lines if " error " in line]
    with server_process.serving(tmp_path, **settings) as server:
        after = server.client.get(f"/runs/{run_id}/stream").text.splitlines()

    told = [line for line in before if line.startswith("data: ") and '"id"' in line]
    again = [line for line in after if line.startswith("data: ") and '"id"' in line]
    assert complaints == []
    assert before[-2:] == ["retry: 2000", ""]
    assert again[: len(told)] == told
    assert [json.loads(line[6:])["id"] for line in again] == list(range(1, len(again) + 1))
    assert '"type":"end"' in again[-1]
    assert any('"type":"run.taken_up"' in line for line in again[len(told) :])
