"""What is made of each answer to a model's call, and of the price of it."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from email.utils import formatdate
from typing import Any

import pytest

from graph.models.calls import Price
from graph.models.client import LiteLlmModel, close_clients
from tests.support.models.capture_server import (
    CaptureServer,
    anthropic_answer,
    capturing,
    ollama_answer,
    openai_answer,
)
from tests.support.models.llm_calls import (
    ANSWERS,
    ANTHROPIC,
    MESSAGES,
    OLLAMA,
    OPENAI,
    PLAN,
    SCHEMA,
    complete,
    each_provider,
    failure,
)
from tests.support.patience import patience


@pytest.fixture
def server() -> Iterator[CaptureServer]:
    with capturing() as started:
        yield started


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    await close_clients()


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        (OPENAI, openai_answer('{"steps": [', reason="length")),
        (ANTHROPIC, anthropic_answer({"type": "text", "text": "{"}, reason="max_tokens")),
        (OLLAMA, ollama_answer('{"steps": [', reason="length")),
    ],
)
async def test_a_truncated_answer_says_so(server: CaptureServer, name: str, answer: Any) -> None:
    server.answer = answer

    assert (await complete(server, name)).finish_reason == "length"


async def test_a_truncated_tool_call_that_the_client_calls_complete_says_so(
    server: CaptureServer,
) -> None:
    """A Claude name unknown to LiteLLM is asked for a tool call, whose cut input still parses."""
    call = {"type": "tool_use", "id": "t", "name": "json_tool_call", "input": {"steps": ["a"]}}
    server.answer = anthropic_answer(call, reason="max_tokens", output=800)

    completion = await complete(server, "anthropic/claude-next")

    assert completion.finish_reason == "length"
    assert json.loads(completion.text) == {"steps": ["a"]}


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        (OPENAI, openai_answer(None, refusal="I cannot help with that.")),
        (OPENAI, openai_answer("", reason="content_filter")),
        (ANTHROPIC, anthropic_answer(reason="refusal")),
    ],
)
async def test_a_refusal_says_so(server: CaptureServer, name: str, answer: Any) -> None:
    server.answer = answer

    completion = await complete(server, name)

    assert completion.refused
    assert completion.text == ""


async def test_no_choices_is_a_malformed_answer(server: CaptureServer) -> None:
    server.answer = {**openai_answer(PLAN), "choices": []}

    fault = await failure(server, OPENAI)

    assert (fault.error_class, fault.transient) == ("malformed_answer", True)
    assert len(server.requests) == 1


@each_provider
@pytest.mark.parametrize("answer", ["", "<html>Bad gateway</html>", "[]"])
async def test_what_is_no_answer_is_malformed(
    server: CaptureServer, name: str, answer: str
) -> None:
    server.answer = answer

    fault = await failure(server, name)

    assert (fault.error_class, fault.transient) == ("malformed_answer", True)
    assert len(server.requests) == 1


@each_provider
async def test_nobody_there_is_unreachable(name: str) -> None:
    with capturing() as gone:
        pass

    fault = await failure(gone, name)

    assert (fault.error_class, fault.transient) == ("unreachable", True)


@each_provider
async def test_a_date_to_wait_for_becomes_seconds(server: CaptureServer, name: str) -> None:
    server.status, server.answer = 503, {"error": {"message": "later"}}
    began = time.time()
    server.headers = {"Retry-After": formatdate(began + 3600, usegmt=True)}  # of whole seconds

    fault = await failure(server, name)

    assert fault.retry_after is not None
    assert 3598 - (time.time() - began) <= fault.retry_after <= 3600


async def test_tokens_that_nobody_told_are_unknown_and_so_is_the_price(
    server: CaptureServer,
) -> None:
    server.answer = {key: value for key, value in ANSWERS[OPENAI].items() if key != "usage"}

    completion = await complete(server, OPENAI)

    assert (completion.input_tokens, completion.output_tokens, completion.usd) == (None, None, None)


@pytest.mark.parametrize("name", ["openai/a-model-of-mine", "anthropic/claude-next", OLLAMA])
async def test_an_unknown_price_is_none_and_an_own_price_is_used(
    server: CaptureServer, name: str
) -> None:
    provider = name.split("/")[0]
    server.answer = next(answer for key, answer in ANSWERS.items() if key.startswith(provider))

    unknown = await complete(server, name)
    free = await complete(server, name, price=Price(0, 0))
    priced = await complete(server, name, price=Price(input=1, output=2))

    assert (unknown.usd, free.usd) == (None, 0)
    assert priced.usd == pytest.approx((100 * 1 + 20 * 2) / 1e6)


async def test_the_worst_case_is_the_prompt_and_the_longest_answer() -> None:
    cost = await LiteLlmModel(OPENAI, max_tokens=800).max_cost(MESSAGES, timeout=patience())

    prompt = cost.tokens - 800
    assert 10 < prompt < 40
    assert cost.usd == pytest.approx(prompt * 0.25e-6 + 800 * 2e-6)


async def test_the_worst_case_has_room_for_another_tokenizer_and_for_the_schema() -> None:
    openai = LiteLlmModel(OPENAI, max_tokens=0)
    bare = await openai.max_cost(MESSAGES, timeout=patience())
    other = await LiteLlmModel(ANTHROPIC, max_tokens=0).max_cost(MESSAGES, timeout=patience())
    with_schema = await openai.max_cost(MESSAGES, SCHEMA, timeout=patience())

    assert other.tokens > 1.3 * bare.tokens
    assert with_schema.tokens > bare.tokens + 20


async def test_the_worst_case_of_an_unknown_model_has_tokens_and_no_price() -> None:
    cost = await LiteLlmModel("openai/a-model-of-mine", max_tokens=800).max_cost(
        MESSAGES, timeout=patience()
    )

    assert cost.tokens > 800
    assert cost.usd is None


@pytest.mark.parametrize(
    ("name", "usage", "input_tokens"),
    [
        (OPENAI, {"prompt_tokens_details": {"cached_tokens": 60}}, 100),
        # Anthropic tells those of the cache beside the others.
        (ANTHROPIC, {"input_tokens": 40, "cache_read_input_tokens": 60}, 100),
        ("openai/of-mine", {"prompt_tokens_details": {"cached_tokens": 60}}, 100),
    ],
)
async def test_cached_tokens_are_told_and_cost_their_own_price(
    server: CaptureServer, name: str, usage: dict[str, Any], input_tokens: int
) -> None:
    answer = ANSWERS.get(name, ANSWERS[OPENAI])
    server.answer = {**answer, "usage": answer["usage"] | usage}

    told = await complete(server, name, price=Price(input=10, output=20, cached=1))
    alike = await complete(server, name, price=Price(input=10, output=20))

    assert (told.input_tokens, told.cached_tokens) == (input_tokens, 60)
    assert told.usd == pytest.approx((40 * 10 + 60 * 1 + 20 * 20) / 1e6)
    assert alike.usd == pytest.approx((100 * 10 + 20 * 20) / 1e6)


@each_provider
async def test_where_no_cache_is_told_of_nothing_is_said_of_it(
    server: CaptureServer, name: str
) -> None:
    server.answer = ANSWERS[name]

    assert not (await complete(server, name)).cached_tokens


async def test_more_cached_tokens_than_were_read_are_unknown(server: CaptureServer) -> None:
    answer = ANSWERS[OPENAI]
    usage = answer["usage"] | {"prompt_tokens_details": {"cached_tokens": 101}}
    server.answer = {**answer, "usage": usage}

    completion = await complete(server, OPENAI)

    assert (completion.input_tokens, completion.cached_tokens, completion.usd) == (None, None, None)
