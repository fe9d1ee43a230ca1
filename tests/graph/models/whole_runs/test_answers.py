"""Answers of a real server, while they are given: watched, cut off, and given anew."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.models.llm_runs import SUM, models, serving_models
from tests.support.models.stream_server import StreamServer, stream_server
from tests.support.servers.server_process import ServerProcess, runwright

MODEL = "openai/gpt-5-mini"
WORDS = ["The ", "sum ", "is ", "42."]
TEXT = "The sum is 42."


@pytest.fixture
def provider() -> Iterator[StreamServer]:
    with stream_server(SUM, WORDS) as started:
        yield started


@contextmanager
def serving(folder: Path, provider: StreamServer) -> Iterator[ServerProcess]:
    with serving_models(folder, models=models((MODEL, provider.url)), answer="auto") as server:
        yield server


def told(server: ServerProcess, run_id: str, *, until: str = "end") -> list[tuple[str, Any]]:
    """The events of a run as its stream tells them, up to the first of a kind."""
    events: list[tuple[str, Any]] = []
    kind = ""
    with server.client.stream("GET", f"/runs/{run_id}/stream") as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            if line.startswith("data: ") and kind != "heartbeat":
                events.append((kind, json.loads(line.removeprefix("data: "))))
                if kind == until:
                    return events
    return events


def test_the_words_are_told_as_they_come_and_the_whole_at_the_end(
    tmp_path: Path, provider: StreamServer
) -> None:
    with serving(tmp_path, provider) as server:
        run_id = server.post("what is 40 + 2")
        deltas: list[Any] = []
        with server.client.stream("GET", f"/runs/{run_id}/stream") as answer:
            kind = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                if kind == "step.completed" and not deltas:
                    provider.let(1)  # nothing is told before it
                if line.startswith("data: ") and kind == "answer.delta":
                    deltas.append(json.loads(line.removeprefix("data: ")))
                    provider.let(len(deltas) + 1)
                if kind == "run.completed":
                    break
        record = server.settled(run_id)
        later = told(server, run_id)

    assert [delta["text"] for delta in deltas] == ["The", " sum", " is", " 42."]
    assert [delta["offset"] for delta in deltas] == [0, 3, 7, 10]
    assert record["result"]["answer"] == {"text": TEXT, "model": MODEL, "source": "finalize"}
    assert record["result"]["summary"] == "1 step done; the result is 42"
    assert record["usage"]["calls"] == 2
    assert record["usage"]["input_tokens"] == 200
    assert record["usage"]["output_tokens"] == 40
    assert record["usage"]["usd"] == pytest.approx(2 * (100 * 0.25e-6 + 20 * 2e-6))
    assert "answer.delta" not in [kind for kind, _ in later]
    assert [kind for kind, _ in later][-3:] == ["answer.attempt", "run.completed", "end"]
    assert later[-2][1]["data"]["result"]["answer"]["text"] == TEXT


def test_a_server_that_is_killed_in_the_middle_of_an_answer_asks_for_it_anew(
    tmp_path: Path, provider: StreamServer
) -> None:
    provider.let(2)
    with serving(tmp_path, provider) as server:
        run_id = server.post("what is 40 + 2")
        told(server, run_id, until="answer.delta")
        server.kill()
    provider.let(len(WORDS))
    with serving(tmp_path, provider) as server:
        record = server.settled(run_id)

    assert record["status"] == "completed"
    assert record["result"]["answer"]["text"] == TEXT
    assert [entry["outcome"] for entry in record["planning_log"]] == ["planned", "answered"]
    assert len(record["execution_log"]) == 1
    assert provider.streams == 2


def test_who_cancels_in_the_middle_of_an_answer_ends_the_answer(
    tmp_path: Path, provider: StreamServer
) -> None:
    """Nothing else is left to cancel: all steps are done."""
    provider.let(1)
    with serving(tmp_path, provider) as server:
        given = {"prompt": "what is 40 + 2", "result_schema": {"type": "object"}}
        run_id = server.client.post("/runs", json=given).json()["run_id"]
        told(server, run_id, until="answer.delta")
        answer = server.client.post(f"/runs/{run_id}/cancel")
        record = server.settled(run_id)
        later = [kind for kind, _ in told(server, run_id)]

    assert answer.status_code == 409
    assert record["status"] == "completed"
    assert record["result"]["output"] == 42
    assert record["result"]["answer"] is None
    assert record["result"]["structured"]["value"] is None
    assert "cancelled" in record["result"]["structured"]["reason"]
    last = record["planning_log"][-1]
    assert (last["purpose"], last["outcome"], last["error_class"]) == (
        "answer",
        "skipped",
        "cancelled",
    )
    assert later[-3:] == ["answer.attempt", "run.completed", "end"]
    assert provider.streams == 1


def test_the_terminal_prints_the_answer_with_our_summary_beside_it(
    tmp_path: Path, provider: StreamServer
) -> None:
    provider.let(len(WORDS))
    given = {"models": models((MODEL, provider.url)), "model_timeout": "600"}
    done = runwright("run", "what is 40 + 2", folder=tmp_path, **given)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [TEXT, "(1 step done; the result is 42)"]

    silent = runwright("run", "what is 40 + 2", "--no-answer", folder=tmp_path, **given)
    assert silent.stdout.splitlines()[-1] == "42"

    with serving(tmp_path, provider) as server:
        run_id = server.post("what is 40 + 2")
        watched = runwright("watch", run_id, folder=tmp_path, **given)
    assert watched.stdout.splitlines()[-2:] == [TEXT, "(1 step done; the result is 42)"]


def test_what_cannot_be_answered_is_refused(tmp_path: Path) -> None:
    from tests.support.servers.server_process import serving as serving_bare

    with serving_bare(tmp_path) as server:
        for given in ({"answer": True}, {"result_schema": {"type": "object"}}):
            response = server.client.post("/runs", json={"prompt": "2 + 2", **given})
            assert response.status_code == 400
            assert "no model is configured" in response.text
        plain = server.client.post("/runs", json={"prompt": "2 + 2", "answer": False})
        assert plain.status_code == 201
