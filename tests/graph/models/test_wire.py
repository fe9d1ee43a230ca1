"""One call of a model against aimock: what comes of each answer, and how many requests it took."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from graph.models.client import LiteLlmModel, close_clients
from nodes.planning.model import Completion, ModelFailure
from tests.support.models.llm_calls import MESSAGES, SCHEMA
from tests.support.models.mock_llm import PROVIDERS, MockLlm, mock_llm
from tests.support.patience import patience

PLAN = '{"steps": [{"tool": "calculator", "input": {"expression": "2+3"}, "reasoning": "sum"}]}'
USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "input_tokens": 100,
    "output_tokens": 20,
}


each_provider = pytest.mark.parametrize("name", PROVIDERS)


@pytest.fixture(scope="module")
def server() -> Iterator[MockLlm]:
    with mock_llm() as started:
        yield started


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    await close_clients()


def model(server: MockLlm, name: str) -> LiteLlmModel:
    return LiteLlmModel(name, max_tokens=800, api_base=server.base_of(name))


async def complete(server: MockLlm, name: str, timeout: float | None = None) -> Completion:
    one = model(server, name)
    await asyncio.to_thread(one.warm)
    return await one.complete(MESSAGES, SCHEMA, timeout=timeout or patience())


async def failure(server: MockLlm, name: str, timeout: float | None = None) -> ModelFailure:
    with pytest.raises(ModelFailure) as raised:
        await complete(server, name, timeout)
    return raised.value


@pytest.mark.parametrize(
    ("name", "input_tokens", "output_tokens", "cached_tokens", "usd"),
    [
        ("openai/gpt-5-mini", 100, 20, None, 100 * 0.25e-6 + 20 * 2e-6),
        # Of Anthropic's cache the client says 0 where it was told nothing.
        ("anthropic/claude-sonnet-4-5", 100, 20, 0, 100 * 3e-6 + 20 * 15e-6),
        # aimock counts no tokens for Ollama, and no price of a local model is known.
        ("ollama_chat/qwen2.5:3b", None, None, None, None),
    ],
)
async def test_a_plan_comes_with_its_tokens_and_price(
    server: MockLlm,
    name: str,
    input_tokens: int | None,
    output_tokens: int | None,
    cached_tokens: int | None,
    usd: float,
) -> None:
    server.answers(PLAN, usage=USAGE)

    completion = await complete(server, name)

    assert completion == Completion(
        text=PLAN,
        finish_reason="stop",
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        usd=usd if usd is None else pytest.approx(usd),
    )
    assert len(server.requests) == 1


@each_provider
@pytest.mark.parametrize("text", [f"```json\n{PLAN}\n```", "I would add them.", '{"steps": [oops'])
async def test_text_is_handed_on_as_it_came(server: MockLlm, name: str, text: str) -> None:
    server.answers(text)

    assert (await complete(server, name)).text == text
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["openai/gpt-5-mini", "anthropic/claude-sonnet-4-5"])
async def test_a_truncated_answer_says_so(server: MockLlm, name: str) -> None:
    """aimock has no such answer for Ollama."""
    server.answers('{"steps": []', finishReason="length")

    completion = await complete(server, name)

    assert completion.finish_reason == "length"
    assert completion.text == '{"steps": []'
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [("openai/gpt-5-mini", "content_filter"), ("anthropic/claude-sonnet-4-5", "refusal")],
)
async def test_a_refusal_says_so(server: MockLlm, name: str, reason: str) -> None:
    server.answers("I cannot help with that.", finishReason=reason)

    assert (await complete(server, name)).refused
    assert len(server.requests) == 1


@each_provider
@pytest.mark.parametrize(
    ("status", "error_class"),
    [(401, "unauthorized"), (402, "quota_exhausted"), (403, "forbidden"), (404, "not_found")],
)
async def test_what_only_a_person_can_mend_is_a_misconfiguration(
    server: MockLlm, name: str, status: int, error_class: str
) -> None:
    server.fails(status)

    fault = await failure(server, name)

    assert (fault.error_class, fault.transient, fault.misconfigured) == (error_class, False, True)
    assert len(server.requests) == 1


@each_provider
async def test_a_rejected_request_is_not_worth_repeating(server: MockLlm, name: str) -> None:
    server.fails(400)

    fault = await failure(server, name)

    assert (fault.error_class, fault.transient, fault.misconfigured) == (
        "bad_request",
        False,
        False,
    )
    assert len(server.requests) == 1


@each_provider
async def test_a_prompt_that_is_too_long_is_named(server: MockLlm, name: str) -> None:
    server.fails(
        400,
        message="prompt is too long: this model's maximum context length is 8192 tokens",
        code="context_length_exceeded",
    )

    fault = await failure(server, name)

    assert (fault.error_class, fault.transient) == ("context_too_long", False)
    assert not fault.misconfigured
    assert len(server.requests) == 1


@each_provider
async def test_a_rate_limit_says_how_long_to_wait(server: MockLlm, name: str) -> None:
    server.fails(429, retry_after=7, type="rate_limit_error", message="slow down")

    fault = await failure(server, name)

    assert (fault.error_class, fault.transient, fault.retry_after) == ("rate_limited", True, 7)
    assert len(server.requests) == 1


@each_provider
async def test_an_empty_account_is_not_a_rate_limit(server: MockLlm, name: str) -> None:
    server.fails(
        429,
        type="insufficient_quota",
        code="insufficient_quota",
        message="You exceeded your current quota, please check your plan and billing details.",
    )

    fault = await failure(server, name)

    assert (fault.error_class, fault.transient, fault.misconfigured) == (
        "quota_exhausted",
        False,
        True,
    )
    assert len(server.requests) == 1


@each_provider
@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (408, "timeout"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "server_error"),
        (504, "timeout"),
        (529, "overloaded"),
    ],
)
async def test_an_outage_may_pass(
    server: MockLlm, name: str, status: int, error_class: str
) -> None:
    server.fails(status)

    fault = await failure(server, name)

    assert (fault.error_class, fault.transient, fault.misconfigured) == (error_class, True, False)
    assert len(server.requests) == 1


@each_provider
@pytest.mark.parametrize(
    ("fault", "error_class"),
    [("malformedRate", "malformed_answer"), ("disconnectRate", "unreachable")],
)
async def test_a_broken_answer_may_pass(
    server: MockLlm, name: str, fault: str, error_class: str
) -> None:
    server.answers(PLAN, chaos={fault: 1})

    failed = await failure(server, name)

    assert (failed.error_class, failed.transient) == (error_class, True)
    assert len(server.requests) == 1


@each_provider
async def test_a_slow_answer_ends_at_the_deadline(server: MockLlm, name: str) -> None:
    server.answers(PLAN, chaos={"latencyMs": 30_000})

    fault = await failure(server, name, timeout=0.3)

    assert (fault.error_class, fault.transient) == ("timeout", True)
