"""`GET /runs/{run_id}/events`: the JSON twin of the stream."""

from typing import Any

import pytest

from api.views import EventPage
from tests.support.runs.run_states import attempted, finished, planned, queued
from tests.support.servers.asgi_clients import application, visiting
from tests.support.servers.documented import documented


async def test_they_are_the_events_of_the_stream(runs, client):
    run_id = runs.store(finished())
    app = application(runs)
    async with app.router.lifespan_context(app), visiting(app, f"/runs/{run_id}/stream") as visit:
        streamed = [event.data for event in await visit.end()]

    page = (await client.get(f"/runs/{run_id}/events")).json()

    assert page == {"events": streamed, "last_event_id": len(streamed), "ended": True}


async def test_they_are_as_documented(runs, client):
    state = planned(queued(), steps=1)
    run_id = runs.store(attempted(state, status="error", output=None, retry_at=1.5))

    answer = await client.get(f"/runs/{run_id}/events")

    page = documented(EventPage, answer.content)
    assert not page["ended"]
    assert page["last_event_id"] == len(page["events"]) == 9


async def test_they_are_read_page_by_page(runs, client):
    run_id = runs.store(finished(steps=5))
    whole = (await client.get(f"/runs/{run_id}/events")).json()

    read: list[dict[str, Any]] = []
    while True:
        query = {"after": read[-1]["id"] if read else 0, "limit": 3}
        page = (await client.get(f"/runs/{run_id}/events", params=query)).json()
        read += page["events"]
        assert len(page["events"]) <= 3
        if page["ended"] and read[-1]["id"] == page["last_event_id"]:
            break

    assert read == whole["events"]


async def test_after_the_last_one_there_are_none(runs, client):
    run_id = runs.store(queued())

    page = (await client.get(f"/runs/{run_id}/events", params={"after": 1})).json()

    assert page == {"events": [], "last_event_id": 1, "ended": False}


@pytest.mark.parametrize(
    ("query", "field", "bound"),
    [
        ({"after": "-1"}, "after", "greater than or equal to 0"),
        ({"limit": "0"}, "limit", "greater than or equal to 1"),
        ({"limit": "1001"}, "limit", "less than or equal to 1000"),
    ],
)
async def test_what_is_out_of_bounds_is_refused_with_the_bound(runs, client, query, field, bound):
    answer = await client.get(f"/runs/{runs.store(queued())}/events", params=query)

    assert answer.status_code == 400
    [fault] = answer.json()["errors"]
    assert fault["field"] == field
    assert bound in fault["message"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/runs/none/events", "run-not-found"), ("/runs/{run_id}/events?after=9", "event-not-found")],
)
async def test_what_is_not_there_is_not_found(runs, client, path, kind):
    answer = await client.get(path.format(run_id=runs.store(queued())))

    assert answer.status_code == 404
    assert answer.json()["type"] == f"urn:runwright:problem:{kind}"
