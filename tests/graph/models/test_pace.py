"""Calls of models hold the event loop one at a time: to be prepared, and to be read."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from graph.models import connections
from graph.models.client import close_clients
from tests.support.models.capture_server import capturing
from tests.support.models.llm_calls import ANSWERS, MESSAGES, OPENAI, SCHEMA, model
from tests.support.patience import patience


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    await close_clients()


async def test_a_call_is_sent_when_the_one_before_it_is_prepared() -> None:
    """Its own time does not begin before."""
    with capturing() as server:
        server.answer = ANSWERS[OPENAI]
        one = model(server, OPENAI)
        await asyncio.to_thread(one.warm)
        await one.complete(MESSAGES, SCHEMA, timeout=patience())
        assert connections._session is not None
        async with connections._session.next_call:
            calling = asyncio.create_task(one.complete(MESSAGES, SCHEMA, timeout=patience()))
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert len(server.requests) == 1
            assert not calling.done()
        assert (await calling).text
        assert len(server.requests) == 2


async def test_many_calls_at_once_are_all_answered() -> None:
    """However many want to go on at the same time."""
    with capturing() as server:
        server.answer = ANSWERS[OPENAI]
        one = model(server, OPENAI)
        await asyncio.to_thread(one.warm)
        calls = [one.complete(MESSAGES, SCHEMA, timeout=patience()) for _ in range(20)]
        answers = await asyncio.gather(*calls)
    assert len(server.requests) == len(answers) == 20
