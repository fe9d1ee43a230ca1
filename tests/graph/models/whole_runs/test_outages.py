"""What is left when models are dead, killed or absent: real servers, real processes."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_tools import PROMPTS
from tests.support.models.capture_server import capturing, ollama_answer, openai_answer
from tests.support.models.llm_runs import SUM, calls, health, memory_mb, models, run, serving_models
from tests.support.models.mock_llm import PROVIDERS
from tests.support.models.silent_server import silence
from tests.support.patience import patience, wait_until
from tests.support.servers.server_process import SERVE, ServerProcess, serving

SMALL = "ollama_chat/small"
LARGE = "openai/large"
PRICES = json.dumps({name: {"input": 1, "output": 10} for name in (SMALL, LARGE)})

SIMPLE = "what is 40 + 2"


def closed_port() -> int:
    """A port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def planned_by_patterns(server: ServerProcess) -> list[dict[str, Any]]:
    """The records of the tasks, all done although no model planned them."""
    records = [run(server, task) for task in PROMPTS]
    assert [record["status"] for record in records] == ["completed"] * len(PROMPTS)
    assert {record["planned_by"]["source"] for record in records} == {"pattern"}
    return records


def assert_all_closed(server: ServerProcess, error_class: str) -> None:
    """The health says which models are left alone, until when, and why."""
    state = health(server)
    assert state.keys() == set(PROVIDERS)
    for model in state.values():
        assert (model["state"], model["error_class"]) == ("open", error_class)
        assert model["until"] is not None


SKIPPED = [*((name, "skipped", "circuit_open") for name in PROVIDERS), (None, "planned", None)]


def test_with_all_providers_dead_the_tasks_are_still_done(tmp_path: Path) -> None:
    """Nobody waits for a port that is closed: that takes ten minutes, for which no test waits."""
    dead = f"http://127.0.0.1:{closed_port()}"
    configured = models(*((name, dead) for name in PROVIDERS))
    with serving_models(tmp_path, models=configured) as server:
        records = planned_by_patterns(server)
        assert_all_closed(server, "unreachable")

    tried = [(name, "failed", "unreachable") for name in PROVIDERS]
    twice = [call for call in tried for _ in range(2)]
    assert calls(records[0]) == calls(records[1]) == [*twice, (None, "planned", None)]
    assert calls(records[2]) == [*tried, (None, "planned", None)]
    assert [calls(record) for record in records[3:]] == [SKIPPED] * 7


@pytest.mark.slow
def test_with_providers_that_never_answer_the_tasks_are_still_done(tmp_path: Path) -> None:
    """The first two wait for two deadlines each, the rest for nothing."""
    with silence() as silent:
        configured = models(*((name, silent.url) for name in PROVIDERS))
        longest = patience(8)  # its own client may have to wait for the processor
        with serving_models(tmp_path, models=configured, model_timeout=f"{longest}") as server:
            records = planned_by_patterns(server)
            assert_all_closed(server, "timeout")

    first, second, third = PROVIDERS
    assert calls(records[0]) == [
        (first, "failed", "timeout"),
        (second, "failed", "timeout"),
        (third, "skipped", "out_of_time"),
        (None, "planned", None),
    ]
    assert calls(records[1]) == [*SKIPPED[:2], *[(third, "failed", "timeout")] * 2, SKIPPED[3]]
    waited = [entry["duration_ms"] / 1000 for entry in records[0]["planning_log"][:-1]]
    assert 1.99 * longest < sum(waited) < 3 * longest
    assert [calls(record) for record in records[2:]] == [SKIPPED] * 8
    assert len(silent.accepted) == 4


def test_where_the_pattern_planner_never_may_answer_the_run_fails(tmp_path: Path) -> None:
    """Its error says what each model did."""
    dead = f"http://127.0.0.1:{closed_port()}/v1"
    with serving_models(tmp_path, models=models((LARGE, dead)), fallback="never") as server:
        record = run(server, SIMPLE)

    assert (record["status"], record["plan"]["steps"]) == ("failed", [])
    assert "RUNWRIGHT_FALLBACK" in record["error"]["message"]
    assert f"{LARGE}: unreachable" in record["error"]["message"]


def test_it_may_answer_for_outages_only(tmp_path: Path) -> None:
    """A misconfigured model fails the run, also later, when the model is not even asked."""
    with capturing() as provider:
        provider.answer = {"error": {"message": "no"}}
        configured = models((LARGE, f"{provider.url}/v1"))
        with serving_models(tmp_path, models=configured, fallback="transient") as server:
            provider.status = 500
            outage = run(server, SIMPLE)
            provider.status = 401
            wrong, later = run(server, SIMPLE), run(server, SIMPLE)

    assert (outage["status"], outage["planned_by"]["source"]) == ("completed", "pattern")
    assert [record["status"] for record in (wrong, later)] == ["failed", "failed"]
    assert calls(wrong) == [(LARGE, "failed", "unauthorized")]
    assert calls(later) == [(LARGE, "skipped", "circuit_open")]
    assert len(provider.requests) == 2 + 1


def test_an_answered_call_is_not_repeated_after_a_kill(tmp_path: Path) -> None:
    """Killed during a call, the run goes on with that call and keeps what was spent before."""
    with capturing() as small, capturing() as large:
        small.answer = ollama_answer("no plan")
        large.answer = openai_answer(SUM)
        large.speaks.clear()
        settings = {
            "models": models((SMALL, small.url), (LARGE, f"{large.url}/v1")),
            "model_prices": PRICES,
        }
        with serving_models(tmp_path, **settings) as server:
            run_id = server.post(SIMPLE)
            before = server.until(run_id, lambda record: len(record["planning_log"]) == 2)
            wait_until(lambda: large.requests)
            server.kill()
        large.speaks.set()
        with serving_models(tmp_path, **settings) as server:
            record = server.settled(run_id)

    assert record["status"] == "completed", record["error"]
    assert record["planned_by"]["model"] == LARGE
    assert record["planning_log"][:2] == before["planning_log"]
    assert len(record["planning_log"]) == 3
    assert (len(small.requests), len(large.requests)) == (2, 2)
    assert record["usage"]["calls"] == 3
    assert record["usage"]["usd"] == pytest.approx(900e-6)
    assert [mark["what"] for mark in record["marks"]] == ["taken_up"]


@pytest.mark.slow  # a process that is not forked
def test_without_models_their_client_is_not_loaded(tmp_path: Path) -> None:
    """Nor is its memory taken, which is some 180 MB."""
    with serving(
        tmp_path, SERVE, tools="tests.support.own_tools.loaded_modules:is_loaded"
    ) as server:
        loaded = {
            name: run(server, f"is module {name} loaded")["result"]["output"]
            for name in ("litellm", "langchain_litellm", "openai", "tools")
        }
        memory = memory_mb(server)

    assert loaded == {
        "litellm": False,
        "langchain_litellm": False,
        "openai": False,
        "tools": True,
    }
    assert memory < 150
