"""What must not be told is told nowhere: a key outside its header, a prompt in logs or health."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from graph.models.ladder import make_ladder, warm
from graph.settings import read_settings
from nodes.plan import ModelPlanner
from tests.support.examples import slow
from tests.support.models.capture_server import CaptureServer, capturing
from tests.support.models.llm_calls import ANTHROPIC, OLLAMA, OPENAI
from tests.support.models.llm_runs import SUM, calls, run
from tests.support.servers.server_process import ServerProcess, runwright, serving

KEYS = {
    OPENAI: "sk-proj-canaryA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0",
    ANTHROPIC: "sk-ant-api03-canaryZ9y8X7w6V5u4T3s2R1q0P9o8N7m6L5k4J3i2",
    OLLAMA: "canary-0123456789abcdef0123456789abcdef",
}
CANARIES = ("canaryA1b2", "canaryZ9y8", "canary-0123")
PROMPT = "add a todo to feed the cockatiel"
WORD = "cockatiel"


def configured(provider: CaptureServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """All three providers at one server, each with the key that a variable of its own holds."""
    entries = []
    for number, (name, key) in enumerate(KEYS.items()):
        monkeypatch.setenv(f"CANARY_KEY_{number}", key)
        base = f"{provider.url}/v1" if name == OPENAI else provider.url
        entries.append({"model": name, "api_base": base, "api_key_env": f"CANARY_KEY_{number}"})
    return json.dumps(entries)


def faults(server: ServerProcess, provider: CaptureServer) -> list[dict[str, Any]]:
    """Runs over every kind of fault; errors quote what they were sent, as providers' do."""
    echo = {"message": f"bad key {' '.join(KEYS.values())} for: {PROMPT}", "type": "error"}
    records = []
    for status, answer in (
        (401, {"error": echo}),
        (429, {"error": {**echo, "code": "insufficient_quota"}}),
        (400, {"error": echo}),
        (500, {"error": echo}),
        (200, "<html>"),
        (200, {"choices": []}),
        (200, {"choices": [{"message": {"content": SUM}, "finish_reason": "length"}]}),
    ):
        provider.status, provider.answer = status, answer
        records.append(run(server, PROMPT))
    return records


def everything_told(server: ServerProcess, run_ids: list[str]) -> list[str]:
    """What each address answers that can be read, about the server and about these runs."""
    documented = server.client.get("/openapi.json").json()["paths"]
    readable = [path for path, methods in documented.items() if "get" in methods]
    paths = {
        re.sub(r"\{\w+\}", "1", path.replace("{run_id}", run_id))
        for path in readable
        for run_id in run_ids
    }
    return [path + read(server, path) for path in sorted(paths)]


def read(server: ServerProcess, path: str) -> str:
    """The answer, of one that never ends what comes until its first heartbeat."""
    text = ""
    with server.client.stream("GET", path) as response:
        for part in response.iter_text():
            text += part
            if "event: heartbeat" in text:
                break
    return text


def files(folder: Path) -> dict[str, bytes]:
    """Every file that the server keeps, its write-ahead log included."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("level", ["debug", *slow("info")])  # whose lines are among the others
def test_a_key_goes_to_its_provider_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """Not into the log, a file, or what anybody is told; a prompt at least not into the log."""
    monkeypatch.setenv("WAIT_HEARTBEAT", "1")  # one ends the reading of a stream that has no end
    with capturing() as provider:
        settings = {
            "models": configured(provider, monkeypatch),
            "breaker_failures": "1000",
            "breaker_seconds": "0",
            "log_level": level,
        }
        with serving(tmp_path, **settings) as server:
            records = faults(server, provider)
            health = server.client.get("/health").text
            told = everything_told(server, [record["run_id"] for record in records])
            kept = files(tmp_path)
            server.terminate()
    kept |= {f"{name} at the end": data for name, data in files(tmp_path).items()}
    log = "\n".join(server.lines)
    sent = [str(request.headers) for request in provider.requests]

    assert {record["planned_by"]["source"] for record in records} == {"pattern"}
    assert {name for record in records for name, _, _ in calls(record)} == {*KEYS, None}
    assert any(name.endswith("-wal") for name in kept)
    assert any(WORD.encode() in data for data in kept.values())
    for canary in CANARIES:
        assert any(canary in headers for headers in sent)
        assert canary not in log
        assert canary not in health
        assert canary not in json.dumps(records)
        assert not [text[:50] for text in told if canary in text]
        assert not [name for name, data in kept.items() if canary.encode() in data]
    assert any(text.startswith("/graph") for text in told)
    assert any(WORD in text for text in told)
    assert WORD not in health
    if level == "info":
        assert WORD not in log


def test_the_error_of_a_run_quotes_neither_key_nor_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody may plan in place of the models; the plan that was rejected is beside it."""
    with capturing() as provider:
        settings = {"models": configured(provider, monkeypatch), "breaker_seconds": "0"}
        with serving(tmp_path, **settings, fallback="never", breaker_failures="1000") as server:
            errors = [record["error"] for record in faults(server, provider)]
            log = "\n".join(server.lines)

    assert len(errors) == 7
    for error in errors:
        assert "RUNWRIGHT_FALLBACK" in error["message"]
        assert WORD not in error["message"]
        assert not [canary for canary in CANARIES if canary in json.dumps(error)]
    assert not [word for word in (WORD, *CANARIES) if word in log]


def test_the_command_prints_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where it logs all that it can."""
    with capturing() as provider:
        provider.status = 401
        provider.answer = {"error": {"message": f"bad key {' '.join(KEYS.values())}"}}
        settings = {"models": configured(provider, monkeypatch), "log_level": "debug"}
        done = runwright("run", PROMPT, folder=tmp_path, **settings)

    assert len(provider.requests) == len(KEYS)
    assert "unauthorized" in done.stdout
    assert not [canary for canary in CANARIES if canary in done.stdout + done.stderr]


async def test_no_repr_shows_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even of what holds a client that was made with it."""
    with capturing() as provider:
        monkeypatch.setenv("RUNWRIGHT_MODELS", configured(provider, monkeypatch))
    settings = read_settings()
    ladder = make_ladder(settings)
    assert ladder is not None
    await warm(ladder)
    shown = f"{settings!r} {ladder!r} {ModelPlanner(ladder, {})!r}"

    assert OPENAI in shown
    assert not [canary for canary in CANARIES if canary in shown]


def test_without_its_key_a_model_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The health says that a person is needed."""
    with capturing() as provider:
        models = configured(provider, monkeypatch)
        for number in range(len(KEYS)):
            monkeypatch.delenv(f"CANARY_KEY_{number}")
        with serving(tmp_path, models=models) as server:
            record = run(server, PROMPT)
            health = server.client.get("/health").json()["models"]

    assert provider.requests == []
    assert calls(record)[:-1] == [(name, "failed", "no_api_key") for name in KEYS]
    assert {state["state"] for state in health.values()} == {"misconfigured"}
