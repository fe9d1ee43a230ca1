"""Runs that are exported, replayed and compared over HTTP, at a real server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.views import RunDiffAnswer, RunExportAnswer, RunReplayAnswer
from tests.support.servers.documented import documented
from tests.support.servers.server_process import ServerProcess, serving

LOUD = "tests.support.own_tools.loud"
TOOLS = f"examples.flaky:fail_times,examples.flaky:sleep,{LOUD}:go_on"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("replay"), tools=TOOLS, backoff="0.01") as server:
        yield server


def posted(server: ServerProcess, prompt: str, **given: Any) -> str:
    """The id of a run that rests."""
    answer = server.client.post("/runs/wait?timeout=300", json={"prompt": prompt} | given)
    assert answer.status_code in (201, 202), answer.text
    return str(answer.json()["run_id"])


def replay(server: ServerProcess, run_id: str, **body: Any) -> dict[str, Any]:
    answer = server.client.post(f"/runs/{run_id}/replay", json=body)
    assert answer.status_code == 200, answer.text
    replayed: dict[str, Any] = documented(RunReplayAnswer, answer.content)
    return replayed


def test_a_run_replays_as_it_was_and_nothing_of_it_is_stored_or_changed(
    server: ServerProcess,
) -> None:
    run_id = posted(server, "add todo tea, then fail 2 times, then 6 * 7")
    before = [server.client.get(path).json() for path in ("/runs", f"/runs/{run_id}/history")]

    replayed = replay(server, run_id)

    assert replayed == {"run_id": run_id, "same": True, "live": [], "differences": []}
    after = [server.client.get(path).json() for path in ("/runs", f"/runs/{run_id}/history")]
    assert before == after
    listed = posted(server, "show my list")
    assert len(server.client.get(f"/runs/{listed}").json()["result"]["output"]) == 1


def test_a_live_tool_is_called_and_one_with_effects_is_refused(server: ServerProcess) -> None:
    run_id = posted(server, "add todo milk, then 6 * 7")

    assert replay(server, run_id, live=["calculator"])["live"] == ["calculator"]
    for tool, reason in (("todo_store.add", "changes something"), ("no_such", "no tool")):
        answer = server.client.post(f"/runs/{run_id}/replay", json={"live": [tool]})
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (
            400,
            "urn:runwright:problem:live-rejected",
        )
        assert reason in problem["errors"][0]["message"]
        assert problem["errors"][0]["field"] == "live"


def test_a_run_that_goes_on_is_not_replayed(server: ServerProcess) -> None:
    run_id = server.client.post("/runs", json={"prompt": "sleep 600 seconds"}).json()["run_id"]

    answer = server.client.post(f"/runs/{run_id}/replay", json={})

    assert (answer.status_code, answer.json()["type"]) == (
        409,
        "urn:runwright:problem:not-replayable",
    )
    server.client.post(f"/runs/{run_id}/cancel")
    assert replay(server, run_id)["same"]


def test_an_export_has_the_whole_state_of_a_run(server: ServerProcess) -> None:
    run_id = posted(server, "add todo write, then 1 / 0")

    exported = documented(RunExportAnswer, server.client.get(f"/runs/{run_id}/export").content)

    run, record = exported["run"], server.client.get(f"/runs/{run_id}").json()
    assert exported["format"] == 1
    assert json.loads(json.dumps(run)) == run
    assert [entry["input"] for entry in run["log"]] == [
        entry["input"] for entry in record["execution_log"]
    ]
    assert run["plan"]["steps"] == record["plan"]["steps"]
    assert (run["prompt"], run["status"]) == (record["prompt"], record["status"])


def test_an_export_has_large_outputs_whole_and_replays_with_them(server: ServerProcess) -> None:
    run_id = posted(server, "go on about bread, then 6 * 7, then go on about jam")
    shown = server.client.get(f"/runs/{run_id}?max_value_bytes=1000").json()["execution_log"]
    assert len(json.dumps(shown)) < 10_000

    run = server.client.get(f"/runs/{run_id}/export").json()["run"]

    words = [[f"{word} {n}" for n in range(10_000)] for word in ("bread", "jam")]
    assert [entry["output"] for entry in run["log"]] == [words[0], 42, words[1]]
    assert replay(server, run_id)["same"]


def test_two_runs_are_compared_moment_by_moment(server: ServerProcess) -> None:
    first, second = posted(server, "6 * 7, then 2 + 2"), posted(server, "6 * 8, then 2 + 2")

    same = server.client.get(f"/runs/{first}/diff/{first}").json()
    found = documented(RunDiffAnswer, server.client.get(f"/runs/{first}/diff/{second}").content)

    assert same == {"run_ids": [first, first], "same": True, "differences": []}
    assert found["run_ids"] == [first, second]
    assert [
        (one["what"], one["step"], one["path"], one["first"], one["second"])
        for one in found["differences"]
    ] == [
        ("plan", 1, "input.expression", "6 * 7", "6 * 8"),
        ("input", 1, "input.expression", "6 * 7", "6 * 8"),
        ("output", 1, "output", 42, 48),
    ]


def test_what_is_of_no_run_is_not_found(server: ServerProcess) -> None:
    run_id, none = posted(server, "1 + 1"), "00000000-0000-4000-8000-000000000000"

    answers = [
        server.client.get(f"/runs/{none}/export"),
        server.client.post(f"/runs/{none}/replay", json={}),
        server.client.get(f"/runs/{none}/diff/{run_id}"),
        server.client.get(f"/runs/{run_id}/diff/{none}"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
