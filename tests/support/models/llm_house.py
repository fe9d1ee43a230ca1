"""A server for each provider beside aimock, and what came of a run there."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import slow
from tests.support.models.capture_server import CaptureServer, capturing, openai_answer
from tests.support.models.llm_runs import BACKUP, PRICES, SUM, models, run, serving_models
from tests.support.models.mock_llm import PROVIDERS, MockLlm, mock_llm
from tests.support.servers.server_process import ServerProcess

PROMPT = "what is 40 + 2"

#: What 100 tokens in and 20 out cost at each provider; aimock counts none for Ollama.
USD = {
    "openai/gpt-5-mini": 65e-6,
    "anthropic/claude-sonnet-4-5": 600e-6,
    "ollama_chat/qwen2.5:3b": None,
}
BACKUP_USD = 300e-6

_FIRST, *_OTHERS = PROVIDERS

each_provider = pytest.mark.parametrize("name", PROVIDERS)

#: For what does not lie in the form of a call: the first provider, and the others as slow ones.
a_provider = pytest.mark.parametrize("name", [_FIRST, *slow(*_OTHERS)])


class Servers(dict[str, ServerProcess]):
    """Servers by the names of their models, each started when it is first asked for."""

    def __init__(self, start: Callable[[str], ServerProcess]) -> None:
        super().__init__()
        self._start = start

    def __missing__(self, name: str) -> ServerProcess:
        self[name] = self._start(name)
        return self[name]


@dataclass
class House:
    """One server for each provider, whose model is asked first, and the backup after it."""

    mock: MockLlm
    backup: CaptureServer
    servers: dict[str, ServerProcess]

    def run(self, name: str, *script: dict[str, Any], prompt: str = PROMPT) -> "Outcome":
        """A run while the provider answers by the script."""
        self.mock.script(*script)
        self.backup.requests.clear()
        record = run(self.servers[name], prompt)
        return Outcome(record, len(self.mock.requests), len(self.backup.requests))


@dataclass
class Outcome:
    """A settled run, and how many requests the provider and the backup got for it."""

    record: dict[str, Any]
    requests: int
    backup_requests: int


def folder_of(folder: Path, name: str) -> Path:
    """Where the server of a model keeps its files."""
    own = folder / name.replace("/", "_").replace(":", "_")
    own.mkdir()
    return own


@contextmanager
def llm_house(folder: Path, **settings: str) -> Iterator[House]:
    """The mock, the backup and the servers, whose client is loaded, with these settings."""
    with ExitStack() as stack:
        mock = stack.enter_context(mock_llm())
        backup = stack.enter_context(capturing())
        backup.answer = openai_answer(SUM)

        def start(name: str) -> ServerProcess:
            return stack.enter_context(
                serving_models(
                    folder_of(folder, name),
                    models=models((name, mock.base_of(name)), (BACKUP, f"{backup.url}/v1")),
                    model_prices=PRICES,
                    # Each test is to meet the provider as if nothing had happened before.
                    breaker_failures="1000",
                    breaker_seconds="0",
                    **settings,
                )
            )

        yield House(mock, backup, Servers(start))


def assert_done(outcome: Outcome, planner: str) -> None:
    """It completed with this model's plan."""
    record = outcome.record
    assert record["status"] == "completed", record["error"]
    assert record["planned_by"]["source"] == "llm"
    assert record["planned_by"]["model"] == planner
    assert [step["tool"] for step in record["plan"]["steps"]] == ["calculator"]
    assert record["plan"]["steps"][0]["input"] == {"expression": "40 + 2"}
    assert record["result"]["output"] == 42


def assert_spent(outcome: Outcome, name: str, calls: int) -> None:
    """So many answers of 100 tokens in and 20 out came from the provider, none from the backup."""
    usage, usd = outcome.record["usage"], USD[name]
    known = usd is not None
    assert usage["calls"] == calls
    assert usage["input_tokens"] == (100 * calls if known else None)
    assert usage["output_tokens"] == (20 * calls if known else None)
    assert usage["usd"] == (pytest.approx(usd * calls) if usd else None)
    assert usage["by_model"].keys() == {name}
