"""What a model's call sends: one request with the schema and no more than was configured."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langgraph.graph import StateGraph

from graph.models.client import LiteLlmModel, close_clients
from nodes.planning.model import Completion, ModelFailure
from tests.support.clocks import Clocks
from tests.support.models.capture_server import CaptureServer, capturing, openai_answer
from tests.support.models.llm_calls import (
    ANSWERS,
    ANTHROPIC,
    MESSAGES,
    OLLAMA,
    OPENAI,
    PLAN,
    PROMPT,
    SCHEMA,
    complete,
    each_provider,
    failure,
    model,
)
from tests.support.patience import patience, until

KEY = "sk-canary-4711"


@pytest.fixture
def server() -> Iterator[CaptureServer]:
    with capturing() as started:
        yield started


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    await close_clients()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", KEY)


@pytest.mark.parametrize(
    ("name", "path", "limit", "schema"),
    [
        (
            OPENAI,
            "/v1/chat/completions",
            {"max_completion_tokens": 800},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "plan", "strict": True, "schema": SCHEMA},
                }
            },
        ),
        (
            ANTHROPIC,
            "/v1/messages",
            {"max_tokens": 800},
            {"output_format": {"type": "json_schema", "schema": SCHEMA}},
        ),
        (OLLAMA, "/api/chat", {"options": {"num_predict": 800}}, {"format": SCHEMA}),
    ],
)
async def test_one_request_carries_schema_limit_and_key(
    server: CaptureServer, name: str, path: str, limit: dict[str, Any], schema: dict[str, Any]
) -> None:
    """The exact limit of Ollama's options also says that no temperature is sent."""
    server.answer = ANSWERS[name]

    await complete(server, name, api_key_env="CANARY_KEY")

    (request,) = server.requests
    assert request.path == path
    assert limit | schema == {key: request.body[key] for key in limit | schema}
    assert "temperature" not in request.body
    assert PROMPT in request.text
    assert KEY not in request.text
    assert [header for header, value in request.headers.items() if KEY in value] == [
        "x-api-key" if name == ANTHROPIC else "authorization"
    ]


@pytest.mark.parametrize("name", ["openai/gpt-4o-mini", ANTHROPIC, OLLAMA])
async def test_a_configured_temperature_is_sent(server: CaptureServer, name: str) -> None:
    server.answer = openai_answer(PLAN) if name.startswith("openai/") else ANSWERS[name]

    await complete(server, name, temperature=0.0)

    (request,) = server.requests
    assert request.body.get("options", request.body)["temperature"] == 0.0


@pytest.mark.parametrize(
    ("name", "params"),
    [
        (OPENAI, {"reasoning_effort": "low", "service_tier": "flex"}),
        (ANTHROPIC, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (OLLAMA, {"keep_alive": "1h"}),
    ],
)
async def test_configured_params_go_along(
    server: CaptureServer, name: str, params: dict[str, Any]
) -> None:
    """And the limit stays as it is configured."""
    server.answer = ANSWERS[name]

    await complete(server, name, params=params)

    (request,) = server.requests
    assert params == {key: request.body[key] for key in params}
    assert "800" in request.text


async def test_a_param_comes_before_the_temperature_of_all_models(server: CaptureServer) -> None:
    server.answer = openai_answer(PLAN)

    await complete(server, "openai/gpt-4o-mini", temperature=0.0, params={"temperature": 0.5})

    (request,) = server.requests
    assert request.body["temperature"] == 0.5


async def test_a_param_that_the_model_does_not_take_is_a_misconfiguration(
    server: CaptureServer,
) -> None:
    fault = await failure(server, "openai/gpt-4o-mini", params={"reasoning_effort": "low"})

    assert (fault.error_class, fault.misconfigured) == ("bad_request", True)
    assert server.requests == []


async def test_a_temperature_that_the_model_refuses_is_a_misconfiguration(
    server: CaptureServer,
) -> None:
    fault = await failure(server, OPENAI, temperature=0.0)

    assert (fault.error_class, fault.misconfigured) == ("bad_request", True)
    assert server.requests == []


@each_provider
async def test_an_endpoint_of_ones_own_is_not_sent_the_providers_key(
    server: CaptureServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for provider in ("OPENAI", "ANTHROPIC", "OLLAMA"):
        monkeypatch.setenv(f"{provider}_API_KEY", KEY)
    server.answer = ANSWERS[name]

    await complete(server, name)

    assert not [value for value in server.requests[0].headers.values() if KEY in value]


@each_provider
async def test_a_missing_key_is_a_misconfiguration_before_any_request(
    server: CaptureServer, name: str
) -> None:
    fault = await failure(server, name, api_key_env="NO_SUCH_KEY")

    assert (fault.error_class, fault.misconfigured) == ("no_api_key", True)
    assert server.requests == []


@pytest.mark.parametrize("name", [OPENAI, ANTHROPIC])
async def test_the_providers_own_missing_key_is_a_misconfiguration(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenAI's client makes a 500 of it, Anthropic's a 401."""
    for provider in ("OPENAI", "ANTHROPIC"):
        monkeypatch.delenv(f"{provider}_API_KEY", raising=False)

    with pytest.raises(ModelFailure) as raised:
        await LiteLlmModel(name, max_tokens=8).complete(MESSAGES, SCHEMA, timeout=patience())

    assert (raised.value.error_class, raised.value.misconfigured) == ("no_api_key", True)


@each_provider
async def test_a_call_that_outlasts_its_deadline_is_one_request(
    server: CaptureServer, name: str, clocks: Clocks
) -> None:
    server.answer = ANSWERS[name]
    server.speaks.clear()
    slow = model(server, name)
    await asyncio.to_thread(slow.warm)
    asking = asyncio.create_task(slow.complete(MESSAGES, SCHEMA, timeout=300))
    await until(lambda: server.requests)
    clocks.forward(300)

    with pytest.raises(ModelFailure, match="timeout"):
        await asking

    await asyncio.sleep(0.3)
    assert len(server.requests) == 1


@each_provider
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
async def test_key_and_prompt_are_in_no_log_line_and_no_error(
    server: CaptureServer,
    name: str,
    status: int,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not even where the provider's answer repeats them."""
    server.status, server.answer = status, {"error": {"message": f"{KEY} may not: {PROMPT}"}}
    caplog.set_level(logging.INFO)
    one = model(server, name, api_key_env="CANARY_KEY")

    with pytest.raises(ModelFailure) as raised:
        await one.complete(MESSAGES, SCHEMA, timeout=patience())

    fault = raised.value
    printed = capfd.readouterr()
    told = f"{fault!r} {fault} {vars(fault)} {one!r} {caplog.text} {printed.out} {printed.err}"
    assert fault.__cause__ is None
    assert fault.__context__ is None
    assert KEY not in told
    assert PROMPT not in told
    assert printed.out == ""


@each_provider
async def test_whoever_watches_the_messages_of_a_graph_makes_no_stream_of_the_call(
    server: CaptureServer, name: str
) -> None:
    """A stream would lose tokens and price."""
    server.answer = ANSWERS[name]
    answered: list[Completion] = []

    async def plan(state: dict[str, Any]) -> dict[str, Any]:
        answered.append(await complete(server, name))
        return {}

    graph = StateGraph(dict).add_node("plan", plan).set_entry_point("plan").compile()
    async for _ in graph.astream({}, stream_mode="messages"):
        pass

    assert answered[0].input_tokens == 100
    assert not server.requests[0].body.get("stream")
