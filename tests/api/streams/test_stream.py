"""`GET /runs/{run_id}/stream`: the events of one run over HTTP."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime

import pytest
from fastapi import FastAPI

from api import streams
from api.views import RunEvent
from tests.support.runs.run_states import attempted, cancelled, completed, finished, planned, queued
from tests.support.servers.asgi_clients import Visit, application, serving, visiting
from tests.support.servers.documented import documented
from tests.support.wording.messages import wording

Watch = Callable[..., AbstractAsyncContextManager[Visit]]

RETRY = b"retry: 2000\n\n"


@pytest.fixture
def watch(app: FastAPI) -> Watch:
    """Visits the stream of a run."""

    def watch(run_id: str, query: str = "", **headers: str) -> AbstractAsyncContextManager[Visit]:
        return visiting(app, f"/runs/{run_id}/stream{query}", **headers)

    return watch


async def test_each_event_comes_when_its_state_is_stored_and_the_stream_ends_with_the_run(
    runs, watch
):
    state = queued()
    async with watch(runs.store(state)) as visit:
        assert [event.event for event in await visit.until(1)] == ["run.queued"]
        runs.store(state := planned(state, steps=1))
        assert (await visit.until(7))[-1].event == "step.started"
        runs.store(state := attempted(state))
        runs.store(completed(state))
        told = await visit.end()

    assert [event.id for event in told] == list(range(1, len(told) + 1))
    assert [event.event for event in told][-3:] == ["step.completed", "run.completed", "end"]


async def test_an_event_is_told_whole_with_its_times_in_utc(runs, watch):
    state = planned(queued(), steps=1)
    failed = attempted(state, status="timeout", output=None, retry_at=state["created_at"] + 9)

    async with watch(runs.store(failed)) as visit:
        told = await visit.until(9)

    for event in told:
        read = documented(RunEvent, event.data)
        assert (read["id"], read["type"]) == (event.id, event.event)
        assert event.data["time"].endswith("Z")
    assert told[0].data["time"] == "2023-11-14T22:13:20.250Z"
    by_type = {event.event: event.data for event in told}
    assert by_type["step.failed"]["data"]["retry_at"] == "2023-11-14T22:13:29.250Z"
    assert by_type["step.failed"]["data"]["started_at"] == "2023-11-14T22:13:22.250Z"
    assert by_type["step.failed"]["attempt"] == 1
    assert told[-1].data["data"]["not_before"] == "2023-11-14T22:13:29.250Z"


async def test_a_settled_run_is_told_again_from_any_number(runs, watch):
    run_id = runs.store(finished())
    async with watch(run_id) as visit:
        whole = await visit.end()

    for number in range(len(whole)):
        async with watch(run_id, f"?after={number}") as visit:
            assert await visit.end() == whole[number:]


async def test_the_last_event_that_a_browser_saw_goes_before_the_address_it_was_given(runs, watch):
    run_id = runs.store(finished())

    async with watch(run_id, "?after=1", last_event_id="4") as visit:
        assert next(event.id for event in await visit.end()) == 5


async def test_whoever_has_seen_the_end_is_told_not_to_come_again(runs):
    run_id = runs.store(finished())
    async with serving(runs) as client:
        last = (await client.get(f"/runs/{run_id}")).json()["last_event_id"]
        answer = await client.get(f"/runs/{run_id}/stream", headers={"Last-Event-ID": str(last)})

    assert answer.status_code == 204
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content == b""


@pytest.mark.parametrize("number", ["", "x", "-1", "1.5", "0x1", "9" * 5000, "²"])
async def test_a_malformed_number_is_refused(runs, number):
    run_id = runs.store(finished())
    async with serving(runs) as client:
        by_header = await client.get(
            f"/runs/{run_id}/stream", headers={"Last-Event-ID": number.encode()}
        )
        by_query = await client.get(f"/runs/{run_id}/stream", params={"after": number})

    for answer, field in ((by_header, "last-event-id"), (by_query, "after")):
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        [fault] = answer.json()["errors"]
        assert fault["field"] == field


async def test_a_number_that_the_run_has_not_come_to_is_not_found(runs):
    run_id = runs.store(queued())
    async with serving(runs) as client:
        answer = await client.get(f"/runs/{run_id}/stream", params={"after": 2})

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:runwright:problem:event-not-found"
    assert answer.json()["detail"] == wording("problems.event-not-found.detail", number=2, last=1)


async def test_an_unknown_run_is_not_found_and_leaves_nothing(runs):
    async with serving(runs) as client:
        answer = await client.get("/runs/none/stream")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:runwright:problem:run-not-found"
    assert runs.watched() == {}


async def test_nothing_on_the_way_keeps_or_holds_up_a_stream(runs, watch):
    async with watch(runs.store(finished())) as visit:
        await visit.end()

    assert visit.status == 200
    assert visit.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert visit.headers["cache-control"] == "no-store"
    assert visit.headers["x-accel-buffering"] == "no"


async def test_heartbeats_have_a_name_and_a_time_and_no_number(runs):
    app = application(runs, heartbeat=0.02)
    async with (
        app.router.lifespan_context(app),
        visiting(app, f"/runs/{runs.store(queued())}/stream") as visit,
    ):
        event, first, second = await visit.until(3)

    assert event.event == "run.queued"
    assert (first.event, first.id, second.event) == ("heartbeat", None, "heartbeat")
    times = [datetime.fromisoformat(due.data["server_time"]) for due in (first, second)]
    assert times == sorted(times)


async def test_a_stream_begins_and_at_the_servers_end_ends_with_when_to_come_again(runs, watch):
    async with watch(runs.store(queued())) as visit:
        await visit.until(1)
        assert visit.body[0].startswith(RETRY)
        runs.broadcaster.close()
        told = await visit.end()

    assert visit.body[-2:] == [RETRY, b""]
    assert [event.event for event in told] == ["run.queued"]


async def test_while_the_server_ends_what_is_stored_is_still_told(runs, watch):
    run_id = runs.store(queued())
    runs.broadcaster.close()

    async with watch(run_id) as visit:
        assert [event.event for event in await visit.end()] == ["run.queued"]


async def test_what_is_due_comes_in_one_message(runs, watch):
    async with watch(runs.store(planned(queued(), steps=3))) as visit:
        await visit.until(7)

    assert len(visit.body) == 1


async def test_large_events_come_in_pieces_that_a_slow_reader_takes_one_by_one(runs, watch):
    state = planned(queued(), steps=10)
    for _ in range(10):
        state = attempted(state, output="x" * 100_000)

    async with watch(runs.store(completed(state))) as visit:
        told = await visit.end()

    assert [event.id for event in told] == list(range(1, len(told) + 1))
    assert 4 < len(visit.body) < 10
    assert max(map(len, visit.body)) < 2 * streams.BATCH


async def test_the_header_of_a_stream_can_be_asked_for_alone(runs):
    run_id = runs.store(queued())
    async with serving(runs) as client:
        answer = await client.head(f"/runs/{run_id}/stream")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.content == b""
    assert runs.watched() == {}


async def test_a_cancellation_is_told_where_it_came(runs, watch):
    async with watch(runs.store(cancelled(planned(queued()), cut_off=True))) as visit:
        told = await visit.end()

    assert [event.event for event in told][-4:] == [
        "run.cancelling",
        "step.failed",
        "run.cancelled",
        "end",
    ]
    assert told[-4].data["data"]["by"] == "client"
