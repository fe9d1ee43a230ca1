"""The API's description of itself, for programs and for people without a network."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.app import HttpLimits, create_app
from graph.service import Runs
from graph.settings.configured import KeyRing, new_key
from tests.support.servers.asgi_clients import serving


@pytest.fixture
async def client(still: Runs) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(still) as client:
        yield client


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The description, made once; that it is what is answered is shown below."""
    return dict(json.loads(json.dumps(create_app(nullcontext, HttpLimits()).openapi())))


async def test_the_page_loads_nothing_from_outside(client):
    page = await client.get("/docs")

    assert page.status_code == 200
    assert not re.search(r"(https?:)?//\w", page.text)
    assert '"validatorUrl": null' in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.headers["content-security-policy"]


async def test_everything_the_page_refers_to_is_served(client):
    page = (await client.get("/docs")).text
    addresses = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", page)
    own = [a or b for a, b in addresses if not (a or b).startswith("data:")]

    answers = {name: await client.get(urljoin("/docs", name)) for name in own}

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "openapi.json": 200,
        "docs/assets/swagger-ui-bundle.js": 200,
        "docs/assets/swagger-ui.css": 200,
    }
    # What a style sheet asks for is loaded as well.
    assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", answers[own[0]].text)


def test_every_call_is_described_with_every_status_it_answers(document):
    paths = document["paths"]

    statuses = {
        f"{method.upper()} {path}": " ".join(sorted(operation["responses"]))
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert statuses == {
        "POST /runs": "201 400 401 403 404 409 413 415 429 500 503 507",
        "POST /runs/wait": "201 202 400 401 403 404 409 413 415 429 500 503 507",
        "GET /runs": "200 400 401 403 500 503",
        "POST /runs/search": "200 400 401 403 413 415 500 503",
        "GET /runs/stream": "200 400 401 403 500",
        "GET /runs/{run_id}": "200 400 401 403 404 500 503",
        "GET /runs/{run_id}/wait": "200 202 400 401 403 404 500 503",
        "GET /runs/{run_id}/events": "200 400 401 403 404 500 503",
        "GET /runs/{run_id}/stream": "200 204 400 401 403 404 500 503",
        "GET /runs/{run_id}/log/{n}/output": "200 400 401 403 404 500 503",
        "POST /runs/{run_id}/cancel": "200 400 401 403 404 409 413 415 500 503",
        "GET /runs/{run_id}/explain": "200 400 401 403 404 500 503",
        "DELETE /runs/{run_id}": "204 400 401 403 404 409 413 415 500 503",
        "POST /runs/{run_id}/approve": "200 400 401 403 404 409 413 415 500 503",
        "POST /runs/{run_id}/reject": "200 400 401 403 404 409 413 415 500 503",
        "POST /runs/{run_id}/resolve": "200 400 401 403 404 409 413 415 500 503",
        "POST /plan": "200 400 401 403 413 415 429 500 503",
        "GET /runs/{run_id}/history": "200 400 401 403 404 500 503",
        "GET /runs/{run_id}/history/{checkpoint_id}": "200 400 401 403 404 500 503",
        "GET /threads": "200 400 401 403 500 503",
        "GET /threads/{thread_id}": "200 400 401 403 404 500 503",
        "PATCH /threads/{thread_id}": "200 400 401 403 404 409 413 415 500 503",
        "DELETE /threads/{thread_id}": "204 400 401 403 404 409 413 415 500 503",
        "GET /threads/{thread_id}/runs": "200 400 401 403 404 500 503",
        "GET /threads/{thread_id}/export": "200 400 401 403 404 500 503",
        "POST /runs/{run_id}/fork": "201 400 401 403 404 413 415 429 500 503 507",
        "GET /runs/{run_id}/export": "200 400 401 403 404 500 503",
        "POST /runs/{run_id}/replay": "200 400 401 403 404 409 413 415 429 500 503",
        "GET /runs/{run_id}/diff/{other_id}": "200 400 401 403 404 500 503",
        "POST /runs/{run_id}/retry": "200 400 401 403 404 409 413 415 429 500 503 507",
        "POST /runs/{run_id}/retry-now": "200 400 401 403 404 409 413 415 500 503",
        "GET /audit": "200 400 401 403 500 503",
        "GET /budget": "200 400 401 403 500 503",
        "GET /tools": "200 400 401 403 500",
        "POST /tools/{name}/call": "201 400 401 403 404 413 415 429 500 503 507",
        "GET /doctor": "200 400 401 403 500",
        "GET /graph": "200 400 401 403 500",
        "GET /health": "200 400 403 500",
        "GET /health/live": "200 400 403 500",
        "GET /health/ready": "200 400 403 500 503",
    }


@pytest.mark.parametrize("keys", [False, True], ids=["open", "keys"])
async def test_the_description_is_valid_and_tells_how_a_key_is_sent(keys, document, still):
    limits = HttpLimits(keys=KeyRing((new_key("me")[1],)) if keys else KeyRing())
    async with serving(still, limits) as client:
        told = (await client.get("/openapi.json")).json()

    assert told == document | ({"security": [{"bearer": []}, {"header": []}]} if keys else {})
    # With keys only what is said of them is another, and is valid beside no call.
    valid = told | ({"paths": {}} if keys else {})
    assert [error.message for error in OpenAPIV31SpecValidator(valid).iter_errors()] == []
    assert told["openapi"].startswith("3.1.")
    assert told["components"]["securitySchemes"].keys() == {"bearer", "header"}
    assert told.get("security") == ([{"bearer": []}, {"header": []}] if keys else None)


def test_operations_are_named_as_what_they_do(document):
    paths = document["paths"]

    names = {
        f"{method.upper()} {path}": operation["operationId"]
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert len({*names.values()}) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names.values())
    assert names["POST /runs"] == "create_run"
    assert names["POST /runs/{run_id}/cancel"] == "cancel_run"
    assert names["POST /runs/search"] == "search_runs"
    assert names["GET /runs/{run_id}/wait"] == "wait_for_run"
    assert names["GET /health"] == "read_health"


def test_every_error_is_described_as_a_problem_of_a_named_type(document):
    paths = document["paths"]

    for operations in paths.values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"]
                    assert "urn:runwright:problem:" in response["description"]


def test_the_description_refers_to_nothing_it_does_not_hold(document):
    schemas = document["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert referred <= schemas.keys()
    assert {
        "RunAnswer",
        "RunEvent",
        "RunChanged",
        "Heartbeat",
        "Problem",
        "FieldError",
        "RunCreate",
    } <= referred
    assert not [name for name in schemas if "ValidationError" in name]


def test_every_documented_field_says_what_it_means(document):
    schemas = document["components"]["schemas"]

    silent = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, described in schema.get("properties", {}).items()
        if "description" not in described
    ]
    assert silent == []
