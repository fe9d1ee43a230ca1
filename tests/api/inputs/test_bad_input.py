"""The API on input that cannot be right: a clear refusal, never a failure of the server."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.service import Runs
from tests.support.runs.still_runs import keep, number_of
from tests.support.servers.asgi_clients import serving
from tests.support.wording.api.fields import BODIES, FIELDS, JSON, PROMPTS

BAD = BODIES | PROMPTS


@pytest.fixture
async def client(still: Runs) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(still) as client:
        yield client


@pytest.mark.parametrize(("body", "field"), BAD.values(), ids=BAD)
async def test_a_bad_body_is_refused_with_the_field_and_what_is_wrong(client, still, body, field):
    before = await number_of(still)
    response = await client.post("/runs", content=body, headers=JSON)

    problem = response.json()
    assert response.status_code == problem["status"] == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["errors"][0]["message"] in problem["detail"]
    assert await number_of(still) == before


@pytest.mark.parametrize(("path", "body", "field"), FIELDS.values(), ids=FIELDS)
async def test_what_is_wrong_with_a_field_is_said_of_that_field(client, path, body, field):
    # Escaped, as a client has to send what no encoding can hold.
    response = await client.post(path, content=json.dumps(body), headers=JSON)

    problem = response.json()
    assert response.status_code == 400
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize("act", ["cancel", "approve", "reject", "retry", "retry-now"])
async def test_null_is_not_taken_for_a_body_that_is_left_out(client, still, act):
    run_id = await keep(still, "a task", "pending")
    response = await client.post(f"/runs/{run_id}/{act}", content=b"null", headers=JSON)

    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == ["body"]
    assert (await still.get(run_id, owner="default"))["status"] == "pending"


async def test_statuses_may_be_several(client):
    several = await client.get("/runs?status=failed&status=completed")

    assert several.status_code == 200


ANY_TEXT = st.text(st.characters(exclude_categories=()))  # with lone surrogates

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT | st.just("prompt"), inner),
)


@given(st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()))
async def test_no_body_whatever_makes_the_server_fail(still, body):
    async with serving(still) as client:
        response = await client.post("/runs", content=body, headers=JSON)

    assert response.status_code in (201, 400)
    assert response.json()


async def test_a_post_without_a_body_is_told_to_send_one(client):
    response = await client.post("/runs")

    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == ["body"]


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"],
)
async def test_a_body_that_is_not_declared_as_json_is_refused(client, still, content_type):
    before = await number_of(still)
    headers = {} if content_type is None else {"content-type": content_type}

    response = await client.post("/runs", content=b'{"prompt": "hello"}', headers=headers)

    assert response.status_code == 415
    assert response.json()["type"] == "urn:runwright:problem:not-json"
    assert response.headers["accept"] == "application/json"
    assert await number_of(still) == before


@pytest.mark.parametrize(
    "run_id",
    [
        "0d9b3a52-5c1f-4f0e-9a51-3c8f6b0f7e11",
        "nonsense",
        "1",
        "%00",
        "%ff%fe",
        "%F0%9F%98%80",
        "..%5c..",
        "' OR 1=1 --",
        "x" * 5000,
    ],
    ids=lambda run_id: run_id[:12],
)
async def test_an_id_that_no_run_has_is_not_found_whatever_its_shape(client, run_id):
    response = await client.get(f"/runs/{run_id}")

    problem = response.json()
    assert response.status_code == problem["status"] == 404
    assert problem["type"] == "urn:runwright:problem:run-not-found"
    assert "GET /runs" in problem["detail"]
    assert len(response.content) < 1000


@pytest.mark.parametrize("path", ["/nope", "/runs/", "/runs/a/b", "/runs/a%2Fb", "/health/x"])
async def test_an_unknown_path_points_to_the_documentation(client, path):
    response = await client.get(path)

    assert response.status_code == 404
    assert response.json()["type"] == "urn:runwright:problem:path-not-found"
    assert "/docs" in response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/runs", "GET, HEAD, POST"),
        ("OPTIONS", "/runs", "GET, HEAD, POST"),
        ("POST", "/runs/abc", "DELETE, GET, HEAD"),
        ("PUT", "/runs/wait", "POST"),
        ("POST", "/runs/stream", "GET, HEAD"),
        ("PUT", "/health", "GET, HEAD"),
        ("BREW", "/tools", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
        ("POST", "/docs/assets/swagger-ui.css", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_names_the_right_ones(client, method, path, allowed):
    response = await client.request(method, path)

    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    assert allowed in response.json()["detail"]


#: Of bodies all that is at fault, which is more than is told.
FAULTS: Mapping[str, Any] = {
    "/runs/search": {"status": [1] * 10_000},
    "/runs/a/approve": {"plan": {"steps": [{}] * 10_000}},
    "/runs/a/retry": {"skip": ["x"] * 10_000},
    "/runs": {"prompt": "hello", "metadata": {str(number): 1 for number in range(5_000)}},
}


@pytest.mark.parametrize("path", FAULTS)
async def test_of_thousands_of_faults_not_each_is_told(client, path):
    """A hundred times as long as finding them takes, on the event loop."""
    answer = await client.post(path, json=FAULTS[path])
    assert answer.status_code == 400
    assert len(answer.json()["errors"]) == 1
    assert len(answer.content) < 1000
