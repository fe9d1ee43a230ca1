"""`POST /runs/{run_id}/cancel`: what was done and what was not."""

from pathlib import Path

import pytest

from api.routes.runs import Cancelled
from graph.storage.storage import StorageUnavailable
from tests.support.runs.run_states import attempted, cancelled, finished, planned, queued
from tests.support.servers import server_process
from tests.support.servers.documented import documented
from tests.support.wording.messages import wording


async def test_it_tells_what_was_done_what_was_cut_off_and_what_was_not_done(runs, client):
    run_id = runs.store(attempted(planned(queued(), steps=3)))

    answer = await client.post(f"/runs/{run_id}/cancel")

    assert answer.status_code == 200
    documented(Cancelled, answer.content)
    assert answer.json() == {
        "run_id": run_id,
        "status": "cancelled",
        "cancelled_at": "2023-11-14T22:14:20.250Z",
        "message": "cancelled after some steps",
        "done": [{"step": 1, "tool": "notes.add"}],
        "in_flight": {
            "step": 2,
            "tool": "notes.add",
            "attempt": 1,
            "may_have_acted": True,
            "thread_running": False,
        },
        "not_done": [
            {"step": 2, "tool": "notes.add", "may_have_acted": True},
            {"step": 3, "tool": "notes.add", "may_have_acted": False},
        ],
    }


async def test_a_run_without_a_plan_has_nothing_to_tell_of(runs, client):
    answer = (await client.post(f"/runs/{runs.store(queued())}/cancel")).json()

    assert (answer["done"], answer["in_flight"], answer["not_done"]) == ([], None, [])


async def test_an_earlier_attempt_that_may_have_acted_is_not_forgotten(runs, client):
    """Nothing was in flight in the backoff, but the attempt before it had run out of time."""
    state = attempted(planned(queued(), steps=1), status="timeout", output=None, retry_at=9.0)

    answer = (await client.post(f"/runs/{runs.store(cancelled(state))}/cancel")).json()

    assert answer["in_flight"] is None
    assert answer["not_done"] == [{"step": 1, "tool": "notes.add", "may_have_acted": True}]


async def test_asked_again_it_answers_the_same_to_the_byte(runs, client):
    run_id = runs.store(planned(queued()))

    first = await client.post(f"/runs/{run_id}/cancel")
    second = await client.post(f"/runs/{run_id}/cancel", json={})

    assert first.status_code == second.status_code == 200
    assert first.content == second.content


async def test_a_run_that_has_ended_otherwise_is_not_cancelled(runs, client):
    answer = await client.post(f"/runs/{runs.store(finished())}/cancel")

    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:runwright:problem:already-settled"
    assert " completed;" in answer.json()["detail"]


async def test_an_unknown_run_is_not_found(client):
    assert (await client.post("/runs/none/cancel")).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        (b"{}", 200, []),
        (b"null", 400, ["body"]),
        (b"{", 400, ["body"]),
        (b'{"force": true}', 400, ["body"]),
        (b"[]", 400, ["body"]),
    ],
)
async def test_it_takes_no_options(runs, client, body, status, fields):
    run_id = runs.store(queued())

    answer = await client.post(
        f"/runs/{run_id}/cancel", content=body, headers={"content-type": "application/json"}
    )

    assert answer.status_code == status
    assert [error["field"] for error in answer.json().get("errors", [])] == fields
    assert runs.records[run_id]["status"] == ("cancelled" if status == 200 else "pending")


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}]
)
async def test_a_page_of_another_site_cannot_cancel(runs, client, headers):
    run_id = runs.store(queued())

    answer = await client.post(f"/runs/{run_id}/cancel", headers=headers)

    assert answer.status_code == 403
    assert runs.records[run_id]["status"] == "pending"


async def test_without_storage_it_does_not_claim_that_nothing_was_done(runs, client):
    run_id = runs.store(queued())
    runs.failure = StorageUnavailable()

    answer = await client.post(f"/runs/{run_id}/cancel")

    assert answer.status_code == 503
    told = answer.json()
    assert told["type"] == "urn:runwright:problem:storage-unavailable"
    assert told["detail"] == wording("problems.storage-unavailable.cancel.detail")


def test_a_real_run_is_cancelled_in_the_middle_of_a_step(tmp_path: Path):
    with server_process.serving(tmp_path, tools="examples.flaky:sleep") as server:
        run_id = server.post("calculate 6 * 7, then sleep 600 seconds")
        server.until(run_id, lambda run: run["current"] and run["current"]["step"] == 2)
        first = server.client.post(f"/runs/{run_id}/cancel")
        second = server.client.post(f"/runs/{run_id}/cancel")
        record = server.get(run_id)

    told = documented(Cancelled, first.content)
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert [step["step"] for step in told["done"]] == [1]
    assert told["in_flight"] is not None
    assert told["in_flight"]["step"] == 2
    assert record["status"] == "cancelled"
    assert record["actions"] == ["retry"]
    assert [entry["status"] for entry in record["execution_log"]] == ["ok", "cancelled"]
