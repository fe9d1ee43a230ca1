"""Answers that cannot be, told to a real server: the runs go on, and the health answers."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import slow
from tests.support.models.capture_server import capturing, openai_answer
from tests.support.models.llm_runs import PRICES, SUM, calls, models, run, serving_models
from tests.support.servers.server_process import ServerProcess

MODEL = "openai/backup"


def budget(server: ServerProcess) -> dict[str, Any]:
    """What the owner has spent today."""
    spent: dict[str, Any] = server.client.get("/budget").json()["spent"]
    return spent


@pytest.mark.parametrize("wish", ["inf", *slow("1e999", "3e11")])
def test_whatever_wait_is_asked_for_the_health_answers(tmp_path: Path, wish: str) -> None:
    """Degraded while nobody is left to plan, and the outage is told as one."""
    with capturing() as provider:
        provider.status, provider.headers = 429, {"Retry-After": wish}
        configured = models((MODEL, f"{provider.url}/v1"))
        with serving_models(tmp_path, models=configured, breaker_failures="50") as server:
            before = server.client.get("/health").json()["status"]
            record = run(server, "sing me a song")
            health = server.client.get("/health")
            ready = server.client.get("/health/ready").status_code
            later = run(server, "what is 40 + 2")

    assert (health.status_code, ready) == (200, 200)
    assert (before, health.json()["status"]) == ("ok", "degraded")
    assert health.json()["models"][MODEL]["state"] == "open"
    assert record["error"]["type"] == "planning_failed"
    assert calls(later)[0] == (MODEL, "skipped", "circuit_open")
    assert (later["status"], len(provider.requests)) == ("completed", 1)
    assert len([line for line in server.lines if " model failed " in line]) == 1
    assert len([line for line in server.lines if " model left alone " in line]) == 1


@pytest.mark.parametrize("count", [-(10**9), *slow(10**20, True)], ids=str)
def test_usage_that_cannot_be_costs_the_worst_case(tmp_path: Path, count: Any) -> None:
    with capturing() as provider:
        provider.answer = openai_answer(SUM)
        provider.answer["usage"]["prompt_tokens"] = count
        settings = {
            "models": models((MODEL, f"{provider.url}/v1")),
            "model_prices": PRICES,
            "daily_budget_usd": "1",
        }
        with serving_models(tmp_path, **settings) as server:
            record = run(server, "what is 40 + 2")
            spent = budget(server)
            again = run(server, "what is 40 + 2")

    assert record["planned_by"]["model"] == again["planned_by"]["model"] == MODEL
    assert record["usage"]["input_tokens"] is record["usage"]["usd"] is None
    assert 0 < spent["usd"] < 0.1
    assert 0 < spent["tokens"] < 10_000


def test_an_error_in_a_good_answer_is_tried_once_more(tmp_path: Path) -> None:
    with capturing() as provider:
        provider.answer = {"error": {"message": "overloaded"}}
        configured = models((MODEL, f"{provider.url}/v1"))
        with serving_models(tmp_path, models=configured, model_prices=PRICES) as server:
            record = run(server, "what is 40 + 2")
            state = server.client.get("/health").json()["models"][MODEL]["state"]

    assert calls(record) == [*[(MODEL, "failed", "error_in_answer")] * 2, (None, "planned", None)]
    assert (len(provider.requests), state) == (2, "ok")
