"""`GET /budget`: what the caller may spend today; and the limits of real servers."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.routes.server import BudgetAnswer
from graph.models.calls import Account, DailyLimit
from graph.settings.configured import new_key
from graph.state.wording import rfc3339
from graph.storage.storage import Spent, StorageUnavailable
from tests.support.models.capture_server import CaptureServer, capturing, openai_answer
from tests.support.models.llm_runs import BACKUP, PRICES, SUM, calls, models, serving_models
from tests.support.models.silent_server import silence
from tests.support.patience import patience, wait_until
from tests.support.runs.orphans import orphans
from tests.support.runs.run_states import CREATED_AT
from tests.support.servers.commands.call import call
from tests.support.servers.documented import documented
from tests.support.servers.server_process import ServerProcess, serving
from tests.support.wording.messages import wording

(ALICE, ALICES), (BOB, BOBS) = new_key("alice"), new_key("bob")

#: A call of 100 tokens in and 20 out at the prices of `PRICES`.
ONE_CALL = 300e-6
ONE_CALL_TOKENS = 120


async def test_a_server_without_a_daily_budget_says_so(client):
    answer = await client.get("/budget")

    assert answer.status_code == 200
    assert answer.json() == {
        "limit": {"usd": None, "tokens": None},
        "spent": None,
        "renewed_at": rfc3339(CREATED_AT),
        "quota": {
            "limit": dict.fromkeys(
                ("posts_per_minute", "runs", "bytes", "retries_per_run", "forks_per_run")
            ),
            "used": {"posts": 0, "runs": 0, "bytes": 0},
        },
    }
    documented(BudgetAnswer, answer.json())


async def test_limit_and_spending_are_told(client, runs, monkeypatch):
    asked = []

    async def account(owner: str) -> Account:
        asked.append(owner)
        return Account(DailyLimit(usd=1.5, tokens=9), Spent(None, 7, 2), CREATED_AT)

    monkeypatch.setattr(runs, "account", account)
    answer = (await client.get("/budget")).json()

    assert asked == ["default"]
    assert answer["limit"] == {"usd": 1.5, "tokens": 9}
    assert answer["spent"] == {"usd": None, "tokens": 7, "calls": 2}
    documented(BudgetAnswer, answer)


async def test_a_storage_that_does_not_answer_is_told(client, runs):
    runs.failure = StorageUnavailable()

    assert (await client.get("/budget")).status_code == 503


@pytest.fixture(scope="module")
def provider() -> Iterator[CaptureServer]:
    with capturing() as server:
        server.answer = openai_answer(SUM)
        yield server


def start(folder: Path, provider: CaptureServer, **settings: str) -> Any:
    return serving_models(
        folder,
        models=models((BACKUP, f"{provider.url}/v1")),
        model_prices=PRICES,
        api_keys=f"{ALICES},{BOBS}",
        **settings,
    )


def planned(
    server: ServerProcess, key: str, path: str = "/runs/wait?timeout=300"
) -> dict[str, Any]:
    server.client.headers["authorization"] = f"Bearer {key}"
    answer = server.client.post(path, json={"prompt": "what is 40 + 2"})
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


def budget(server: ServerProcess, key: str) -> dict[str, Any]:
    answer = httpx.get(
        f"{server.url}/budget", headers={"x-api-key": key}, trust_env=False, timeout=patience()
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.sqlite
def test_each_owner_has_the_budget_alone_and_a_kill_gives_nothing_back(
    tmp_path: Path, provider: CaptureServer
) -> None:
    """Right after the answer; what the runs were given stays in their records."""
    with start(tmp_path, provider, daily_budget_tokens="10000", daily_budget_usd="1") as server:
        first = planned(server, ALICE)
        preview = planned(server, ALICE, "/plan")
        told = budget(server, ALICE)
        server.kill()

    assert first["usage"]["usd"] == preview["usage"]["usd"] == pytest.approx(ONE_CALL)
    assert told["limit"] == {"usd": 1.0, "tokens": 10_000}
    assert told["spent"] == {
        "usd": pytest.approx(2 * ONE_CALL),
        "tokens": 2 * ONE_CALL_TOKENS,
        "calls": 2,
    }
    assert told["renewed_at"].endswith("T00:00:00.000Z")

    provider.requests.clear()
    with start(tmp_path, provider, daily_budget_usd=f"{2 * ONE_CALL + 1e-9}") as server:
        assert budget(server, ALICE)["spent"] == told["spent"]
        assert budget(server, BOB)["spent"] == {"usd": 0.0, "tokens": 0, "calls": 0}
        over = planned(server, ALICE)
        preview = planned(server, ALICE, "/plan")
        server.client.headers.pop("authorization")
        health = server.client.get("/health").json()
        anonymous = server.client.get("/budget")
        server.terminate()

    assert (over["status"], over["result"]["output"]) == ("completed", 42)
    assert over["planned_by"]["source"] == preview["planned_by"]["source"] == "pattern"
    assert calls(over) == [(BACKUP, "skipped", "daily_budget_exceeded"), (None, "planned", None)]
    used_up = wording("planning.day.usd").partition(":")[0]
    assert over["planned_by"]["reason"].startswith(used_up)
    assert provider.requests == []
    assert anonymous.status_code == 401
    assert "budget" not in json.dumps(health)
    assert orphans(tmp_path / "runs.db") == []


def test_a_kill_in_the_middle_of_a_call_gives_nothing_back(tmp_path: Path) -> None:
    """Neither of a run, which then asks again and is cut off again, nor of a draft."""
    settings = {"api_keys": f"{ALICES},{BOBS}", "daily_budget_usd": "1", "model_prices": PRICES}
    with silence() as provider:
        settings["models"] = models((BACKUP, f"{provider.url}/v1"))
        for path, calls_by_then in (("/runs", 1), ("/plan", 2)):
            asked = len(provider.accepted)
            with serving_models(tmp_path, **settings) as server, ThreadPoolExecutor(1) as clients:
                server.client.headers["authorization"] = f"Bearer {ALICE}"
                lost = clients.submit(server.client.post, path, json={"prompt": "what is 40 + 2"})
                # The run of the first round asks again beside the draft of the second.
                due = asked + calls_by_then
                wait_until(lambda due=due: len(provider.accepted) >= due)  # type: ignore[misc]
                before = budget(server, ALICE)["spent"]
                server.process.kill()
                lost.exception()
            assert before["calls"] == calls_by_then - 1
        with serving(tmp_path, **settings) as server:
            after = budget(server, ALICE)["spent"]
            others = budget(server, BOB)["spent"]
    assert after["calls"] == 3
    assert after["tokens"] > 3 * ONE_CALL_TOKENS
    assert after["usd"] > 3 * ONE_CALL
    assert others["calls"] == 0


def test_a_budget_that_is_none_stops_the_start_with_what_is_allowed(tmp_path: Path) -> None:
    refused = call("serve", folder=tmp_path, daily_budget_usd="-1", daily_budget_tokens="1.5")

    assert refused.returncode == 2
    assert wording("settings.daily-budget-usd") in refused.stderr
    assert wording("settings.daily-budget-tokens") in refused.stderr
