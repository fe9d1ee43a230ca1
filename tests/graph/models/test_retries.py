"""How a caller that does as a failure says is judged by llmock, which grades its retries."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from llmock.pytest_plugin import LLMock

from graph.models.client import LiteLlmModel, close_clients
from nodes.planning.model import ModelFailure
from tests.support.models.llm_calls import MESSAGES, SCHEMA
from tests.support.patience import patience


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    await close_clients()


async def loaded(llmock: LLMock) -> LiteLlmModel:
    """A model whose client is there: loading it would count for its first call."""
    one = LiteLlmModel("openai/gpt-5-mini", max_tokens=800, api_base=llmock.base_url())
    await asyncio.to_thread(one.warm)
    return one


@pytest.mark.parametrize(("status", "wait"), [(429, 0.4), (503, 0.2)])
async def test_one_retry_after_the_wait_that_the_provider_asked_for_is_faultless(
    llmock: LLMock, status: int, wait: float
) -> None:
    one = await loaded(llmock)
    llmock.fail(status, retry_after=wait, times=1).reply('{"steps": []}')

    with pytest.raises(ModelFailure) as raised:
        await one.complete(MESSAGES, SCHEMA, timeout=patience())
    assert raised.value.retry_after is not None
    await asyncio.sleep(raised.value.retry_after)
    completion = await one.complete(MESSAGES, SCHEMA, timeout=patience())

    assert completion.text == '{"steps": []}'
    assert len(llmock.requests) == 2
    llmock.assert_resilient(strict=True)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_what_cannot_pass_is_not_retried(llmock: LLMock, status: int) -> None:
    llmock.fail(status, times=None)

    with pytest.raises(ModelFailure) as raised:
        await (await loaded(llmock)).complete(MESSAGES, SCHEMA, timeout=patience())

    assert not raised.value.transient
    assert len(llmock.requests) == 1
    llmock.assert_resilient(strict=True)
