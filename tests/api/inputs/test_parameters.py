"""Parameters of an address: every call takes those that it names, to the letter, and no other."""

from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from functools import cache
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from api.app import HttpLimits, create_app
from graph.service import Runs
from tests.support.runs.still_runs import keep
from tests.support.servers.asgi_clients import serving

APPLICATION = create_app(nullcontext, HttpLimits())  # which is not started
CALLS = [
    (method.lower(), route.path)
    for route in APPLICATION.routes
    if isinstance(route, APIRoute)
    for method in route.methods
]


@pytest.fixture
async def client(still: Runs) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(still) as client:
        yield client


@cache
def described() -> dict[str, Any]:
    """The calls, as the application describes them."""
    paths: dict[str, Any] = APPLICATION.openapi()["paths"]
    return paths


def named(method: str, path: str) -> Iterator[str]:
    """The parameters that a call names."""
    for parameter in described()[path][method].get("parameters", ()):
        if parameter["in"] == "query":
            yield parameter["name"]


def address(path: str, run_id: str) -> str:
    return path.format(
        run_id=run_id, other_id=run_id, thread_id=run_id, n=1, checkpoint_id="a", name="sleep"
    )


@pytest.mark.parametrize(("method", "path"), CALLS, ids=[f"{m} {p}" for m, p in CALLS])
async def test_an_unknown_parameter_is_refused_whatever_the_call(client, still, method, path):
    known = [*named(method, path)]
    other_case = (known or ["limit"])[0].upper()
    for query in (
        [("nonsense", "1")],
        [(other_case, "1")],
        [(" limit", "1")],
        [("nonsense", "1"), ("limit", "1")],
        [("nonsense", "1"), ("nonsense", "2")],
        [("nonsense", "")],
    ):
        run_id = await keep(still, "a task", "pending")
        answer = await client.request(method.upper(), address(path, run_id), params=query)
        problem = answer.json()

        assert answer.status_code == 400, query
        assert problem["type"] == "urn:runwright:problem:invalid-request", query
        assert problem["errors"][0]["field"] == query[0][0], query
        assert all(one in problem["detail"] for one in known), query
        run = await still.get(run_id, owner="default")
        assert run["status"] == "pending", query  # nothing was done


def test_every_call_that_is_described_is_among_them():
    assert {(method, path) for path in described() for method in described()[path]} == {*CALLS}


async def test_a_long_name_is_not_told_in_full(client):
    answer = await client.get("/tools", params={"x" * 5000: "1"})

    assert answer.status_code == 400
    assert len(answer.content) < 1000


@pytest.mark.parametrize("path", ["/runs", "/health", "/lg/threads/0/runs"])
async def test_where_there_are_too_many_parameters_none_is_read(client, path):
    """Each that is none would be told, which takes long."""
    answer = await client.get(f"{path}?{'&'.join(map(str, range(6_000)))}")

    assert answer.status_code == (400 if "lg" not in path else 422)
    assert len(answer.json().get("errors", [None])) == 1
    assert len(answer.content) < 1000


async def test_what_is_no_call_takes_what_browsers_and_caches_add(client):
    for path in ("/docs", "/openapi.json", "/docs/assets/swagger-ui.css"):
        assert (await client.get(path, params={"v": "1"})).status_code == 200
