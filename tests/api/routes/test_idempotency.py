"""`Idempotency-Key`: a task that is posted again is not run again."""

import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from graph.service import Runs
from tests.support.runs.still_runs import number_of
from tests.support.servers.asgi_clients import serving
from tests.support.servers.server_process import http_client
from tests.support.servers.server_process import serving as server_in

KEY = {"Idempotency-Key": "0b7f5f0e-order"}
TASK = {"prompt": "add todo buy milk"}


@pytest.fixture
async def client(still: Runs) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(still) as client:
        yield client


@pytest.fixture
def key() -> dict[str, str]:
    """A key that no other test has sent to the same runs."""
    return {"Idempotency-Key": str(uuid4())}


async def test_the_same_task_again_is_answered_as_the_first_time(client, still, key):
    before = await number_of(still)
    first = await client.post("/runs", json=TASK, headers=key)
    again = await client.post("/runs", json=TASK, headers=key)

    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert await number_of(still) == before + 1


async def test_a_body_that_only_looks_different_is_the_same(client, still, key):
    """What is left out means what it is by default; order and blanks mean nothing."""
    before = await number_of(still)
    await client.post("/runs", json=TASK | {"budget": {"usd": 1.0, "steps": 3}}, headers=key)
    again = await client.post(
        "/runs",
        content=b'{ "budget": {"steps": 3.0, "usd": 1, "tokens": null}, '
        b'"prompt": "add todo buy m\\u0069lk" }',
        headers=key | {"content-type": "application/json"},
    )

    assert again.headers["idempotency-replayed"] == "true"
    assert await number_of(still) == before + 1


@pytest.mark.parametrize("path", ["/runs", "/runs/wait?timeout=0"])
@pytest.mark.parametrize("body", [{"prompt": "add todo buy Milk"}, TASK | {"budget": {"usd": 1}}])
async def test_another_body_under_the_key_is_refused(client, still, key, path, body):
    before = await number_of(still)
    first = (await client.post("/runs", json=TASK, headers=key)).json()
    answer = await client.post(path, json=body, headers=key)

    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:runwright:problem:key-reused"
    assert first["run_id"] in answer.json()["detail"]
    assert await number_of(still) == before + 1


@pytest.mark.parametrize("given", ["", "two words", "x" * 201, "schön"])
async def test_what_is_no_key_is_refused(client, still, given):
    before = await number_of(still)
    headers = {"Idempotency-Key": given.encode("latin-1")}
    answer = await client.post("/runs", json=TASK, headers=headers)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["idempotency-key"]
    assert await number_of(still) == before


async def test_without_a_key_each_post_is_a_run_of_its_own(client, still):
    before = await number_of(still)
    for _ in range(2):
        assert (await client.post("/runs", json=TASK)).status_code == 201

    assert await number_of(still) == before + 2


def test_many_clients_at_once_make_one_run(tmp_path: Path) -> None:
    """Half of them wait for it; all see the same run, one of them as its maker."""
    clients = 32
    together = threading.Barrier(clients)

    with server_in(tmp_path) as server, http_client(server.url) as client:

        def post(number: int) -> httpx.Response:
            together.wait(30)
            return client.post(
                "/runs/wait?timeout=300" if number % 2 else "/runs", json=TASK, headers=KEY
            )

        with ThreadPoolExecutor(clients) as pool:
            answers = list(pool.map(post, range(clients)))
        todos = server.settled(server.post("show my list"))["result"]["output"]

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert [todo["text"] for todo in todos] == ["buy milk"]


@pytest.mark.parametrize("ending", ["terminate", "kill"])
def test_a_key_is_known_to_the_next_server(tmp_path: Path, ending: str) -> None:
    """The moment that its run was accepted is enough; the run is settled by the next one."""
    slow = {"tools": "examples.flaky:sleep"}
    task = {"prompt": "sleep 1 seconds, then add todo buy milk"}
    with server_in(tmp_path, **slow) as server:
        first = server.client.post("/runs", json=task, headers=KEY)
        getattr(server, ending)()
    with server_in(tmp_path, **slow) as server:
        again = server.client.post("/runs", json=task, headers=KEY)
        refused = server.client.post("/runs", json=TASK, headers=KEY)
        record = server.settled(first.json()["run_id"])
        waited = server.client.post("/runs/wait?timeout=300", json=task, headers=KEY)
        listed = server.client.get("/runs").json()["runs"]

    assert again.headers["idempotency-replayed"] == "true"
    assert (again.status_code, again.json()) == (201, first.json())
    assert refused.status_code == 409
    assert record["status"] == "completed"
    assert (waited.status_code, waited.json()["result"]) == (201, record["result"])
    assert len(listed) == 1
