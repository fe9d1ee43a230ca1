"""A settled run that is kept in memory is answered as it is stored, and never as it was."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.app import HttpLimits, create_app
from api.views import RunAnswer
from graph.compose import open_runs
from graph.settings import Settings
from graph.storage.sqlite.open import ServerAddress
from tests.support.servers.documented import documented

PROMPT = "calculate 10 + 5, and then multiply it by 3"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server, with all that a server keeps in memory."""
    settings = Settings(database_url="memory://")
    address = ServerAddress("http://localhost")
    app = create_app(lambda: open_runs(settings, server=address), HttpLimits())
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost"
        ) as client,
    ):
        yield client


async def settle(client: httpx.AsyncClient, prompt: str = PROMPT) -> str:
    answer = await client.post("/runs/wait", json={"prompt": prompt})
    return str(answer.json()["run_id"])


async def read(client: httpx.AsyncClient, run_id: str) -> Any:
    """The record, which is the same each time but for the clock, and as documented."""
    answers = [(await client.get(f"/runs/{run_id}")) for _ in range(3)]
    records = [documented(RunAnswer, answer.content) for answer in answers]
    timeless = [{**record, "server_time": None} for record in records]
    assert timeless[0] == timeless[1] == timeless[2]
    # Asked for short values, it is written anew, in the same order.
    anew = (await client.get(f"/runs/{run_id}", params={"max_value_bytes": 10**6})).json()
    assert {**anew, "server_time": None} == timeless[0]
    return records[0]


async def test_a_record_is_the_same_however_often_it_is_read(client):
    record = await read(client, await settle(client))
    assert record["status"] == "completed"


async def test_a_fork_is_named_at_once_and_no_longer_once_it_is_gone(client):
    run_id = await settle(client)
    assert (await read(client, run_id))["forks"] == []
    history = (await client.get(f"/runs/{run_id}/history")).json()
    point = next(one for one in history["checkpoints"] if one["next"])["checkpoint_id"]
    forked = (await client.post(f"/runs/{run_id}/fork", json={"checkpoint_id": point})).json()
    assert (await read(client, run_id))["forks"] == [forked["run_id"]]
    await client.get(f"/runs/{forked['run_id']}/wait")
    await client.delete(f"/runs/{forked['run_id']}")
    assert (await read(client, run_id))["forks"] == []


async def test_a_retried_run_is_read_as_it_goes_on(client):
    run_id = await settle(client, "calculate 1 / 0")
    assert (await read(client, run_id))["status"] == "failed"
    retried = await client.post(f"/runs/{run_id}/retry", json={"input": {"expression": "1 / 2"}})
    assert retried.status_code == 200, retried.text
    assert (await client.get(f"/runs/{run_id}/wait")).json()["status"] == "completed"
    assert (await read(client, run_id))["result"]["output"] == 0.5


async def test_a_removed_run_is_gone(client):
    run_id = await settle(client)
    await read(client, run_id)
    assert (await client.delete(f"/runs/{run_id}")).status_code == 204
    assert (await client.get(f"/runs/{run_id}")).status_code == 404
