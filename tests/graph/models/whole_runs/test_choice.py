"""Which model a run asks, and what its budget allows: a real server with two models."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.models.capture_server import (
    CaptureServer,
    capturing,
    ollama_answer,
    openai_answer,
)
from tests.support.models.llm_runs import SUM, calls, health, models, plan_text, run, serving_models
from tests.support.patience import patience
from tests.support.servers.server_process import ServerProcess

SMALL = "ollama_chat/small"
LARGE = "openai/large"
PRICES = json.dumps({name: {"input": 1, "output": 10} for name in (SMALL, LARGE)})

SIMPLE = "what is 40 + 2"
COMPLEX = (
    "Add a todo to call Ann; then, if it is on my list twice, compute 3 * 4 and add the result"
)


@dataclass
class Choice:
    """A server with a small and a large model, each at a capture server."""

    server: ServerProcess
    small: CaptureServer
    large: CaptureServer

    def asked(self) -> tuple[int, int]:
        """Requests to the small and the large model since the last time."""
        counts = len(self.small.requests), len(self.large.requests)
        self.small.requests.clear()
        self.large.requests.clear()
        return counts


@pytest.fixture(scope="module")
def choice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Choice]:
    with capturing() as small, capturing() as large:
        large.answer = openai_answer(SUM)
        with serving_models(
            tmp_path_factory.mktemp("choice"),
            models=models((SMALL, small.url), (LARGE, f"{large.url}/v1")),
            model_complex=LARGE,
            model_prices=PRICES,
        ) as server:
            yield Choice(server, small, large)


@pytest.fixture(autouse=True)
def _healthy(choice: Choice) -> None:
    choice.small.answer = ollama_answer(SUM)
    choice.asked()


def test_a_simple_task_is_asked_of_the_first_model(choice: Choice) -> None:
    record = run(choice.server, SIMPLE)

    assert record["planned_by"]["model"] == SMALL
    assert record["planned_by"]["complexity"]["score"] < 5
    assert record["usage"]["usd"] == pytest.approx(300e-6)
    assert choice.asked() == (1, 0)


def test_a_complex_task_is_asked_of_the_large_model_first(choice: Choice) -> None:
    """The record says what made it complex."""
    record = run(choice.server, COMPLEX)

    judged = record["planned_by"]["complexity"]
    assert record["planned_by"]["model"] == LARGE
    assert judged["score"] >= 5
    assert judged["features"]["conditions"] == 1
    assert choice.asked() == (0, 1)


def test_a_cut_answer_of_ollama_is_never_taken_for_a_plan(choice: Choice) -> None:
    choice.small.answer = ollama_answer(SUM, reason="length")

    record = run(choice.server, SIMPLE)

    assert calls(record) == [
        (SMALL, "rejected", None),
        (SMALL, "rejected", None),
        (LARGE, "planned", None),
    ]
    assert record["usage"] == {
        "calls": 3,
        "input_tokens": 300,
        "output_tokens": 60,
        "usd": pytest.approx(900e-6),
        "by_model": {
            SMALL: {
                "calls": 2,
                "input_tokens": 200,
                "output_tokens": 40,
                "usd": pytest.approx(600e-6),
            },
            LARGE: {
                "calls": 1,
                "input_tokens": 100,
                "output_tokens": 20,
                "usd": pytest.approx(300e-6),
            },
        },
    }
    assert choice.asked() == (2, 1)


@pytest.mark.parametrize("budget", [{"usd": 0}, {"tokens": 100}, {"seconds": 0}])
def test_a_call_beyond_the_budget_is_not_made(choice: Choice, budget: dict[str, float]) -> None:
    """The way that costs nothing is taken."""
    record = run(choice.server, SIMPLE, **budget)

    assert (record["status"], record["result"]["output"]) == ("completed", 42)
    assert record["planned_by"]["source"] == "pattern"
    assert "budget" in record["planned_by"]["reason"]
    assert calls(record) == [(SMALL, "skipped", "budget_exceeded"), (None, "planned", None)]
    assert record["usage"]["usd"] == 0
    assert choice.asked() == (0, 0)


def test_a_run_may_rather_fail_than_exceed_its_budget(choice: Choice) -> None:
    record = run(choice.server, SIMPLE, usd=0, on_exceeded="fail")

    assert (record["status"], record["error"]["type"]) == ("failed", "budget_exceeded")
    assert record["plan"]["steps"] == []
    assert choice.asked() == (0, 0)


def test_the_budget_counts_what_the_run_has_spent(choice: Choice) -> None:
    """A first answer is affordable, its repair no longer."""
    choice.small.answer = ollama_answer("no plan")
    reason = run(choice.server, SIMPLE, tokens=1)["planned_by"]["reason"]
    [worst] = re.findall(r"may take (\d+) tokens", reason)

    record = run(choice.server, SIMPLE, tokens=int(worst), on_exceeded="fail")

    assert calls(record) == [(SMALL, "rejected", None), (SMALL, "skipped", "budget_exceeded")]
    assert record["error"]["type"] == "budget_exceeded"
    assert record["usage"]["input_tokens"] == 100
    assert choice.asked() == (1, 0)


def test_a_run_does_not_wait_longer_than_its_seconds(choice: Choice) -> None:
    """They cut the deadline of a call short."""
    choice.small.speaks.clear()
    try:
        record = run(choice.server, SIMPLE, seconds=patience(2))
    finally:
        choice.small.speaks.set()

    assert (record["status"], record["planned_by"]["source"]) == ("completed", "pattern")
    assert calls(record)[0] == (SMALL, "failed", "timeout")
    assert choice.asked() == (1, 0)
    assert health(choice.server)[SMALL]["state"] == "ok"


def test_a_plan_longer_than_the_budget_allows_is_rejected(choice: Choice) -> None:
    choice.small.answer = ollama_answer(
        plan_text(("calculator", {"expression": "1"}), ("calculator", {"expression": "2"}))
    )

    record = run(choice.server, SIMPLE, steps=1)

    assert record["planned_by"]["model"] == LARGE
    assert [call[1] for call in calls(record)] == ["rejected", "rejected", "planned"]
