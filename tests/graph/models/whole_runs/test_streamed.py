"""An answer in words as providers stream it: every part told, and tokens and price as exact."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from graph.models.calls import Price
from graph.models.client import LiteLlmModel, close_clients
from nodes.planning.model import Completion, ModelFailure
from tests.support.models.capture_server import CaptureServer, capturing
from tests.support.models.llm_calls import MESSAGES
from tests.support.models.mock_llm import PROVIDERS, MockLlm, mock_llm
from tests.support.models.streams import (
    ANTHROPIC,
    GEMINI,
    OLLAMA,
    OPENAI,
    STREAMS,
    openai_stream,
    sse,
)
from tests.support.patience import patience

WORDS = ["There", " are ", "three."]

#: Of a hundred tokens two hundred came from a cache.
MORE_CACHED = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 200},
}

each_format = pytest.mark.parametrize("name", STREAMS)


@pytest.fixture
def server() -> Iterator[CaptureServer]:
    with capturing() as started:
        yield started


@pytest.fixture(scope="module")
def mock() -> Iterator[MockLlm]:
    with mock_llm() as started:
        yield started


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    await close_clients()


async def said(one: LiteLlmModel) -> tuple[Completion, list[str]]:
    """One call, whose client is loaded before, and what was told of its answer."""
    told: list[str] = []

    async def tell(part: str) -> None:
        told.append(part)

    await asyncio.to_thread(one.warm)
    return await one.say(MESSAGES, timeout=patience(), tell=tell), told


def model(server: CaptureServer, name: str, **settings: Any) -> LiteLlmModel:
    base = f"{server.url}/v1" if name.startswith("openai/") else server.url
    return LiteLlmModel(name, **{"max_tokens": 800, "api_base": base, **settings})


def streams(server: CaptureServer, name: str, *parts: str) -> None:
    server.headers = STREAMS[name][1]
    server.answer = "".join(parts or STREAMS[name][0](WORDS))


async def failure(one: LiteLlmModel) -> ModelFailure:
    with pytest.raises(ModelFailure) as raised:
        await said(one)
    return raised.value


@pytest.mark.parametrize(
    ("name", "cached_tokens", "usd"),
    [
        (OPENAI, None, 100 * 0.25e-6 + 20 * 2e-6),
        (ANTHROPIC, 0, 100 * 3e-6 + 20 * 15e-6),
        (GEMINI, None, 100 * 0.3e-6 + 20 * 2.5e-6),
        (OLLAMA, None, None),
    ],
)
async def test_a_streamed_answer_has_its_tokens_and_its_price(
    server: CaptureServer, name: str, cached_tokens: int | None, usd: float | None
) -> None:
    streams(server, name)

    completion, told = await said(model(server, name))

    assert told == WORDS
    assert completion == Completion(
        text="There are three.",
        finish_reason="stop",
        input_tokens=100,
        output_tokens=20,
        cached_tokens=cached_tokens,
        usd=usd if usd is None else pytest.approx(usd),
    )
    assert len(server.requests) == 1


@each_format
async def test_a_price_of_ones_own_holds_for_a_streamed_answer(
    server: CaptureServer, name: str
) -> None:
    streams(server, name)

    completion, _ = await said(model(server, name, price=Price(1, 10)))

    assert completion.usd == pytest.approx(100e-6 + 200e-6)


@each_format
async def test_a_stream_that_ends_in_the_middle_is_a_failure(
    server: CaptureServer, name: str
) -> None:
    parts = STREAMS[name][0](WORDS)
    kept = {GEMINI: 2, OLLAMA: 2, OPENAI: 3, ANTHROPIC: 4}[name]
    streams(server, name, *parts[:kept])

    fault = await failure(model(server, name))

    assert (fault.error_class, fault.transient) == ("answer_cut", True)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": -1, "completion_tokens": 20},
        {"prompt_tokens": True},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100},
        {"prompt_tokens": 10**16, "completion_tokens": 20, "total_tokens": 10**16},
        MORE_CACHED,
    ],
    ids=["none", "negative", "no number", "zeros", "one zero", "impossible", "more cached"],
)
async def test_tokens_that_a_stream_does_not_tell_are_not_made_up(
    server: CaptureServer, usage: dict[str, Any]
) -> None:
    """The client counts for itself what it is not told."""
    streams(server, OPENAI, *openai_stream(WORDS, usage=usage))

    completion, _ = await said(model(server, OPENAI))

    assert completion == Completion("There are three.", "stop")


async def test_tokens_from_a_cache_are_told_and_cost_less(server: CaptureServer) -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 80}}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, **details}
    streams(server, OPENAI, *openai_stream(WORDS, usage=usage))

    completion, _ = await said(model(server, OPENAI))

    assert completion.cached_tokens == 80
    assert completion.usd == pytest.approx(20 * 0.25e-6 + 80 * 0.025e-6 + 20 * 2e-6)


async def test_an_error_within_a_stream_is_a_failure(server: CaptureServer) -> None:
    begun = openai_stream(WORDS)[:3]
    streams(server, OPENAI, *begun, *sse({"error": {"message": "overloaded", "code": 502}}))

    assert (await failure(model(server, OPENAI))).transient


async def test_an_answer_that_was_too_long_says_so(server: CaptureServer) -> None:
    streams(server, OPENAI, *openai_stream(WORDS, reason="length"))

    completion, _ = await said(model(server, OPENAI))

    assert completion.finish_reason == "length"


@pytest.mark.parametrize(("most", "reason"), [(20, "length"), (21, "stop")])
async def test_an_answer_that_has_all_tokens_it_may_have_was_cut(
    server: CaptureServer, most: int, reason: str
) -> None:
    """Whatever its provider says: some end with `stop` there."""
    streams(server, OPENAI)

    completion, _ = await said(model(server, OPENAI, max_tokens=most))

    assert (completion.output_tokens, completion.finish_reason) == (20, reason)


@pytest.mark.parametrize(
    "parts",
    [
        openai_stream(WORDS, reason="content_filter"),
        openai_stream([], refusal="I cannot help with that."),
    ],
    ids=["filtered", "refused"],
)
async def test_a_streamed_refusal_says_so(server: CaptureServer, parts: list[str]) -> None:
    streams(server, OPENAI, *parts)

    completion, _ = await said(model(server, OPENAI))

    assert completion.refused


@each_format
async def test_what_is_asked_for_is_a_stream_with_its_usage(
    server: CaptureServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_KEY", "sk-canary-4711")
    streams(server, name)

    warmth = {} if name == OPENAI else {"temperature": 0.5}  # which this one refuses
    await said(model(server, name, api_key_env="CANARY_KEY", **warmth))

    [request] = server.requests
    assert "sk-canary-4711" in str(request.headers) + request.path
    assert "response_format" not in request.body
    assert (0.5 in values(request.body)) is bool(warmth)
    if name == OPENAI:
        assert request.body["stream_options"] == {"include_usage": True}
    if name == GEMINI:
        assert "streamGenerateContent" in request.path
    else:
        assert request.body["stream"] is True


def values(body: Any) -> list[Any]:
    """Every value in it that is no object and no list."""
    if isinstance(body, dict):
        body = list(body.values())
    if isinstance(body, list):
        return [value for part in body for value in values(part)]
    return [body]


async def test_the_headers_of_both_kinds_of_calls_lead_nowhere_else(server: CaptureServer) -> None:
    server.status, server.headers = 302, {"Location": "http://elsewhere.example/"}

    assert (await failure(model(server, OPENAI))).error_class == "redirected"


async def test_an_answer_that_is_no_stream_is_read_as_what_it_is(server: CaptureServer) -> None:
    """Some servers do not know how to stream, and answer as they always do."""
    server.headers, server.answer = {}, {"choices": [], "error": {"message": "no"}}

    assert (await failure(model(server, OPENAI))).error_class == "error_in_answer"


async def test_a_plan_is_never_seen_as_what_is_said(server: CaptureServer) -> None:
    """Who watches a graph's messages sees calls that have no such tag."""
    one = model(server, OPENAI)
    await asyncio.to_thread(one.warm)

    assert one._client.tags == ["nostream"]


async def test_others_have_their_turn_while_many_parts_are_read(server: CaptureServer) -> None:
    """They come in one piece, as from a provider that was slow and catches up."""
    words = [f"word{number} " for number in range(100)]
    streams(server, OPENAI, *openai_stream(words))
    one, turns, seen = model(server, OPENAI), [0], list[int]()
    await asyncio.to_thread(one.warm)

    async def other() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    async def tell(_: str) -> None:
        seen.append(turns[0])

    waiting = asyncio.create_task(other())
    await one.say(MESSAGES, timeout=patience(), tell=tell)
    waiting.cancel()

    assert len(seen) == len(words)
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_mock_that_others_wrote_streams_to_us(mock: MockLlm, name: str) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    usage |= {"input_tokens": 100, "output_tokens": 20}
    mock.answers("There are three of them, all of which are open.", usage=usage)

    completion, told = await said(
        LiteLlmModel(name, max_tokens=800, api_base=mock.base_of(name), price=Price(1, 10))
    )

    assert "".join(told) == completion.text == "There are three of them, all of which are open."
    assert len(told) > 1
    if name != OLLAMA:  # of which aimock counts no tokens
        assert (completion.input_tokens, completion.output_tokens) == (100, 20)
        assert completion.usd == pytest.approx(300e-6)
