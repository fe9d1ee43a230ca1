"""`GET /runs/stream`: which runs change."""

import asyncio

from pydantic import TypeAdapter

from api import streams
from graph.runs.watch import RunChanged
from tests.support.runs.run_states import attempted, finished, planned, queued
from tests.support.servers.asgi_clients import application, serving, visiting


async def test_a_change_tells_where_the_run_stands(runs, app):
    runs.store(queued("an old one"))
    async with visiting(app, "/runs/stream") as visit:
        await visit.begun()
        run_id = runs.store(attempted(planned(queued(), steps=2)))
        [told] = await visit.until(1)

    assert told.event == "run.changed"
    assert told.id is None
    assert told.data == {
        "run_id": run_id,
        "status": "running",
        "last_event_id": 9,
        "progress": {"done": 1, "of": 2},
    }
    TypeAdapter(RunChanged).validate_python(told.data, strict=True, extra="forbid")


async def test_changes_close_together_are_one_and_the_latest_counts(runs, app):
    async with visiting(app, "/runs/stream") as visit:
        await visit.begun()
        runs.store(queued())
        await visit.until(1)
        state = queued()
        for stored in (state, planned(state), attempted(planned(state))):
            runs.store(stored)
        other = runs.store(finished())
        told = await visit.until(3)
        await asyncio.sleep(0.2)

        assert len(visit.told) == 3
    assert [event.data["run_id"] for event in told[1:]] == [state["run_id"], other]
    assert told[1].data["progress"]["done"] == 1


async def test_it_lives_and_ends_as_the_stream_of_a_run_does(runs):
    app = application(runs, heartbeat=0.02)
    async with app.router.lifespan_context(app), visiting(app, "/runs/stream") as visit:
        due = (await visit.until(1))[0]
        runs.broadcaster.close()
        await visit.end()

    assert visit.headers["cache-control"] == "no-store"
    assert (due.event, due.id, list(due.data)) == ("heartbeat", None, ["server_time"])
    assert visit.body[0] == visit.body[-2] == b"retry: 2000\n\n"


async def test_a_client_that_vanishes_leaves_nothing(runs, app):
    before = len(asyncio.all_tasks())

    async with visiting(app, "/runs/stream") as visit:
        await visit.begun()
        await visit.leave()

    assert runs.broadcaster._changes == set()
    assert len(asyncio.all_tasks()) == before


async def test_its_path_is_no_run(runs):
    async with serving(runs) as client:
        head, posted = await client.head("/runs/stream"), await client.post("/runs/stream")

    assert head.headers["content-type"].startswith("text/event-stream")
    assert posted.status_code == 405


async def test_a_change_is_encoded_once_for_all_who_watch(runs, app, monkeypatch):
    encoded, original = [], streams.message

    def message(kind, data, **more):
        encoded.append(kind)
        return original(kind, data, **more)

    monkeypatch.setattr(streams, "message", message)
    async with (
        visiting(app, "/runs/stream") as one,
        visiting(app, "/runs/stream") as another,
    ):
        await one.begun()
        await another.begun()
        runs.store(queued())
        told = [(await visit.until(1))[0].data for visit in (one, another)]

    assert told[0] == told[1]
    assert encoded == ["run.changed"]
