"""What a run is given reaches the model that it names, on the wire of each provider."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.models.capture_server import (
    CaptureServer,
    anthropic_answer,
    capturing,
    ollama_answer,
    openai_answer,
)
from tests.support.models.llm_calls import ANTHROPIC, OLLAMA, OPENAI
from tests.support.models.llm_runs import SUM, models, serving_models
from tests.support.servers.server_process import ServerProcess

OPERATOR = "Write to-dos in English."
CALLER = "Use as few steps as you can."

ANSWERS = {
    OPENAI: openai_answer(SUM),
    ANTHROPIC: anthropic_answer({"type": "text", "text": SUM}),
    OLLAMA: ollama_answer(SUM),
}


@dataclass
class Three:
    """A server with a model of each provider, each at a capture server."""

    server: ServerProcess
    providers: dict[str, CaptureServer]

    def run(self, **given: Any) -> dict[str, Any]:
        """The settled record of a run that is given this."""
        for name, provider in self.providers.items():
            provider.requests.clear()
            provider.answer = ANSWERS[name]
        response = self.server.client.post("/runs", json={"prompt": "what is 40 + 2", **given})
        assert response.status_code == 201, response.text
        return self.server.settled(response.json()["run_id"])


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    with capturing() as openai, capturing() as anthropic, capturing() as ollama:
        providers = {OPENAI: openai, ANTHROPIC: anthropic, OLLAMA: ollama}
        places = [
            (name, f"{provider.url}/v1" if name == OPENAI else provider.url)
            for name, provider in providers.items()
        ]
        folder = tmp_path_factory.mktemp("given")
        with serving_models(folder, models=models(*places), instructions=OPERATOR) as server:
            yield Three(server, providers)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_named_model_alone_is_told_the_instructions_and_the_tools(
    three: Three, name: str
) -> None:
    """The operator's before the caller's, both after our rules."""
    record = three.run(model=name, instructions=CALLER, tools=["calculator"])

    asked = {one: len(provider.requests) for one, provider in three.providers.items()}
    [request] = three.providers[name].requests
    text = json.dumps(request.body, ensure_ascii=False)
    assert asked == {one: int(one == name) for one in ANSWERS}
    assert record["planned_by"]["model"] == name
    assert record["choice"] == {"model": name, "instructions": CALLER, "tools": ["calculator"]}
    assert "todo_store.list" not in text
    places = [text.index(part) for part in ("- calculator(", OPERATOR, CALLER)]
    assert places == sorted(places)
    assert "what is 40 + 2" in text


def test_a_model_that_is_not_configured_is_refused_with_those_that_are(three: Three) -> None:
    body = {"prompt": "what is 40 + 2", "model": "openai/other"}

    for path in ("/runs", "/plan"):
        answer = three.server.client.post(path, json=body)
        assert answer.status_code == 400
        assert all(name in answer.json()["detail"] for name in ANSWERS)
