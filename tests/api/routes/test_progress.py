"""What the record tells of how far a run is, and of values that are too large to be told."""

from datetime import datetime
from typing import Any

import pytest

from api.views import RunAnswer
from tests.support.runs.run_states import attempted, cancelled, completed, planned, queued
from tests.support.servers.documented import documented


def at(record: dict[str, Any], pointer: str) -> Any:
    """The value at a JSON Pointer."""
    value: Any = record
    for name in pointer.split("/")[1:]:
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


async def test_a_record_tells_how_far_its_run_is(runs, client):
    state = attempted(planned(queued(), steps=3))
    again = attempted(attempted(state, status="error", output=None, retry_at=9.0))

    record = (await client.get(f"/runs/{runs.store(again)}")).json()

    assert record["progress"] == {"done": 2, "of": 3}
    assert record["retries"] == 1
    assert record["last_event_id"] == 13
    assert record["actions"] == ["cancel"]
    assert datetime.fromisoformat(record["server_time"]) > datetime.fromisoformat(
        record["created_at"]
    )


async def test_what_a_log_of_an_earlier_version_does_not_hold_is_not_known(runs, client):
    state = cancelled(planned(queued()), cut_off=True)
    del state["log"][0]["event"]
    del state["log"][1]["may_have_acted"]

    answer = await client.get(f"/runs/{runs.store(state)}")

    record = documented(RunAnswer, answer.content)
    assert record["marks"][0]["event"] is None
    assert record["execution_log"][0]["may_have_acted"] is None


async def test_large_values_are_shortened_where_that_is_asked_for_and_named(runs, client):
    state = planned(queued("p" * 500), steps=1)
    state["plan"]["steps"][0]["input"] = {"text": "ü" * 300}
    state = attempted(state, input={"text": "ü" * 300}, output=["x" * 300])
    run_id = runs.store({**completed(state), "result": {"output": "y" * 300, "summary": "ok"}})

    whole = await client.get(f"/runs/{run_id}")
    short = await client.get(f"/runs/{run_id}?max_value_bytes=100")

    assert whole.json()["shortened"] == []
    documented(RunAnswer, short.content)
    record = short.json()
    assert {value["path"]: value["bytes"] for value in record["shortened"]} == {
        "/prompt": 502,
        "/plan/steps/0/input": 611,
        "/execution_log/0/input": 611,
        "/execution_log/0/output": 304,
        "/result/output": 302,
    }
    assert record["prompt"] == "p" * 100 + "…"
    assert record["result"]["output"] == {"shortened": True, "bytes": 302, "start": "y" * 100}
    assert record["execution_log"][0]["output"]["start"] == '["' + "x" * 98
    assert record["plan"]["steps"][0]["input"]["start"] == '{"text":"' + "ü" * 45


async def test_nothing_but_the_named_values_is_changed(runs, client):
    run_id = runs.store(attempted(planned(queued()), output="x" * 300))

    whole = (await client.get(f"/runs/{run_id}")).json()
    short = (await client.get(f"/runs/{run_id}?max_value_bytes=299")).json()

    [left_out] = short["shortened"]
    at(short, "/execution_log/0")["output"] = at(whole, left_out["path"])
    assert short | {"server_time": 0, "shortened": []} == whole | {"server_time": 0}


async def test_a_value_of_just_that_size_is_whole(runs, client):
    run_id = runs.store(attempted(planned(queued()), output="x" * 298))

    record = (await client.get(f"/runs/{run_id}?max_value_bytes=300")).json()

    assert record["shortened"] == []


@pytest.mark.parametrize("value", ["99", "67108865", "", "many", "-1", "1e3"])
async def test_a_size_out_of_bounds_is_refused(runs, client, value):
    run_id = runs.store(queued())

    answer = await client.get(f"/runs/{run_id}", params={"max_value_bytes": value})

    assert answer.status_code == 400
    [fault] = answer.json()["errors"]
    assert fault["field"] == "max_value_bytes"


async def test_a_record_that_was_waited_for_can_be_shortened_too(runs, client):
    run_id = runs.store(completed(attempted(planned(queued("p" * 200), steps=1))))

    record = (await client.get(f"/runs/{run_id}/wait?max_value_bytes=100")).json()

    assert [value["path"] for value in record["shortened"]] == ["/prompt"]


async def test_one_output_can_be_read_whole(runs, client):
    state = attempted(planned(queued()), status="error", output=None, retry_at=9.0)
    run_id = runs.store(attempted(state, output=["x" * 100_000]))

    failed = await client.get(f"/runs/{run_id}/log/1/output")
    passed = await client.get(f"/runs/{run_id}/log/2/output")

    assert (failed.status_code, failed.json()) == (200, None)
    assert (passed.status_code, passed.json()) == (200, ["x" * 100_000])


@pytest.mark.parametrize(
    ("n", "status", "name", "fields"),
    [
        ("2", 404, "output-not-found", []),
        ("0", 400, "invalid-request", ["n"]),
        ("one", 400, "invalid-request", ["n"]),
        ("9" * 5000, 400, "invalid-request", ["n"]),
    ],
    ids=["2", "0", "one", "999…"],
)
async def test_an_attempt_that_is_not_there_has_no_output(runs, client, n, status, name, fields):
    run_id = runs.store(attempted(planned(queued())))

    answer = await client.get(f"/runs/{run_id}/log/{n}/output")

    assert answer.status_code == status
    assert answer.json()["type"] == f"urn:runwright:problem:{name}"
    assert [error["field"] for error in answer.json().get("errors", [])] == fields


async def test_an_unknown_run_has_no_output(client):
    answer = await client.get("/runs/none/log/1/output")

    assert answer.json()["type"] == "urn:runwright:problem:run-not-found"
