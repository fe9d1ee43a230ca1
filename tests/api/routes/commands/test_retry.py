"""`POST /runs/{run_id}/retry` and `retry-now`, on a real server that may die at any moment."""

import json
from pathlib import Path
from typing import Any

import pytest
from httpx_sse import connect_sse

from api.routes.commands import RetriedNow
from api.views import RunAnswer
from tests.support.servers.documented import documented
from tests.support.servers.server_process import ServerProcess, serving

TOOLS = "tests.support.own_tools.doomed:note,examples.flaky:sleep"


def retry(server: ServerProcess, run_id: str, body: Any = None) -> Any:
    return server.client.post(f"/runs/{run_id}/retry", json=body if body is not None else {})


def events(server: ServerProcess, run_id: str) -> list[dict[str, Any]]:
    return list(server.client.get(f"/runs/{run_id}/events").json()["events"])


def streamed(server: ServerProcess, run_id: str, after: int) -> list[int]:
    """The numbers that a stream tells which goes on after this one, until it is closed."""
    headers = {"Last-Event-ID": str(after)}
    with connect_sse(server.client, "GET", f"/runs/{run_id}/stream", headers=headers) as source:
        found = [json.loads(sent.data) for sent in source.iter_sse() if sent.data]
    return [event["id"] for event in found if "id" in event]


def test_a_failed_run_is_repaired_with_another_input(tmp_path: Path, monkeypatch):
    """Its watchers hear what follows, from the number of the `end` that they had seen."""
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    with serving(tmp_path, tools=TOOLS) as server:
        run_id = server.post("note one, then calculate 1 / 0, then note two")
        failed = server.settled(run_id)
        before = events(server, run_id)
        end = before[-1]["id"]
        over = server.client.get(f"/runs/{run_id}/stream", params={"after": end})
        answer = retry(server, run_id, {"input": {"expression": "2 * 3"}})
        record = server.settled(run_id)
        told = events(server, run_id)
        heard = streamed(server, run_id, end)
        again = retry(server, run_id)
        listed = server.client.get("/runs").json()["runs"][0]

    assert failed["status"] == "failed"
    assert failed["actions"] == ["retry"]
    assert over.status_code == 204
    assert answer.status_code == 200
    accepted = documented(RunAnswer, answer.content)
    assert accepted["status"] == "pending"
    assert accepted["marks"][0]["retry"]["ended"]["status"] == "failed"
    assert record["status"] == listed["status"] == "completed"
    assert [(e["step"], e["generation"], e["status"]) for e in record["execution_log"]] == [
        (1, 0, "ok"),
        (2, 0, "error"),
        (2, 1, "ok"),
        (3, 1, "ok"),
    ]
    assert told[: len(before)] == before
    assert heard == [event["id"] for event in told[end:]]
    assert [event["id"] for event in told] == list(range(1, len(told) + 1))
    assert len((tmp_path / "notes").read_text().splitlines()) == 2
    assert again.status_code == 409
    assert again.json()["type"] == "urn:runwright:problem:not-retryable"


def test_killed_before_the_first_attempt_it_goes_on_in_the_next_process(
    tmp_path: Path, monkeypatch
):
    """The order is on disk when it is answered; nothing finished is done twice."""
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    with serving(tmp_path, tools=TOOLS, in_flight="1") as server:
        run_id = server.post("note one, then calculate 1 / 0, then note two")
        server.settled(run_id)
        other = server.post("sleep 600 seconds")
        server.until(other, lambda run: run["current"])
        asked = retry(server, run_id, {"skip": [2]})
        before = events(server, run_id)
        server.kill()
    assert asked.json()["status"] == "pending"
    with serving(tmp_path, tools=TOOLS) as server:
        record = server.settled(run_id)
        told = events(server, run_id)
    assert record["status"] == "completed"
    assert told[: len(before)] == before
    keys = [line.split()[1:] for line in (tmp_path / "notes").read_text().splitlines()]
    assert keys == [["one"], ["two"]]


@pytest.mark.parametrize(
    ("body", "name", "field"),
    [
        ({"from_step": 3}, "retry-rejected", "from_step"),
        ({"from_step": 0}, "invalid-request", "from_step"),
        ({"from_step": "2"}, "invalid-request", "from_step"),
        ({"input": {}}, "retry-rejected", "input"),
        ({"input": {"expression": "1 / 2", "x": 1}}, "retry-rejected", "input"),
        ({"input": []}, "invalid-request", "input"),
        ({"skip": [2]}, "retry-rejected", "skip"),
        ({"steps": [2]}, "invalid-request", "body"),
    ],
)
def test_a_retry_that_cannot_be_is_refused_and_says_why(server, body, name, field):
    run_id = server.post("note one, then calculate 1 / 0, then multiply it by 3")
    before = server.settled(run_id)

    answer = retry(server, run_id, body)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:runwright:problem:{name}"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert {**server.get(run_id), "server_time": None} == {**before, "server_time": None}


def test_a_backoff_is_ended(server):
    run_id = server.post("sleep 0 seconds")
    server.settled(run_id)

    ended = server.client.post(f"/runs/{run_id}/retry-now")
    unknown = server.client.post("/runs/none/retry-now")

    assert ended.status_code == 409
    assert ended.json()["type"] == "urn:runwright:problem:no-backoff"
    assert unknown.status_code == 404


def test_a_waiting_run_goes_on_at_once(tmp_path: Path):
    with serving(tmp_path, tools="examples.flaky:fail_times", backoff="600") as server:
        run_id = server.post("fail 1 times")
        answer = server.end_backoff(run_id)
        record = server.settled(run_id)

    told = documented(RetriedNow, answer.content)
    assert (told["step"], told["attempt"]) == (1, 2)
    assert record["status"] == "completed"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTES", str(folder / "notes"))
        with serving(folder, tools=TOOLS) as started:
            yield started


def test_a_fork_takes_a_plan_as_the_record_shows_it(server):
    """What is read, edited and sent again keeps its numbers and its words of the prompt."""
    run_id = server.post("note one, then note two")
    plan = server.settled(run_id)["plan"]
    point = server.client.get(f"/runs/{run_id}/history").json()["checkpoints"][0]["checkpoint_id"]
    fork = {"checkpoint_id": point, "state": {"plan": plan, "cursor": 1}}

    answer = server.client.post(f"/runs/{run_id}/fork", json=fork)

    assert answer.status_code == 201, answer.text
    forked = server.settled(answer.json()["run_id"])
    assert forked["plan"] == plan
    assert forked["plan_proposed"] is None

    plan["steps"][1]["step"] = 3
    answer = server.client.post(f"/runs/{run_id}/fork", json=fork)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "state.plan"
    assert "step 2" in answer.json()["detail"]


def test_a_model_that_is_to_plan_anew_must_be_configured(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        run_id = server.post("calculate 1 / 0")
        server.settled(run_id)
        answer = retry(server, run_id, {"replan": True})
        wrong = retry(server, run_id, {"replan": 1})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "replan")
    assert answer.json()["type"] == "urn:runwright:problem:retry-rejected"
    assert wrong.json()["errors"][0]["field"] == "replan"
