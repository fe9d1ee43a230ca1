"""The API on input that cannot be right: a clear refusal, never a failure of the server."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs.fake_runs import MAX_PROMPT, FakeRuns, serving

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (b"", "body", "is empty; send a JSON object"),
        (b" ", "body", "not valid JSON"),
        (b'{"prompt": "hello"', "body", "not valid JSON: Expecting ',' delimiter at line 1"),
        (b"{'prompt': 'hello'}", "body", "double quotes"),
        (b'{"prompt": "hello"} {}', "body", "Extra data"),
        (b'{"prompt": "hel\nlo"}', "body", "Invalid control character"),
        (b'{"prompt": "hell\xf6"}', "body", "byte 16 is not UTF-8"),
        ('{"prompt": "hello"}'.encode("utf-16"), "body", "byte 0 is not UTF-8"),
        (b'\xef\xbb\xbf{"prompt": "hello"}', "body", "BOM"),
        (b'{"prompt": "one", "prompt": "two"}', "body", "'prompt' is given twice"),
        (b'{"prompt": NaN}', "body", "NaN is not JSON"),
        (b'{"prompt": -Infinity}', "body", "-Infinity is not JSON"),
        (b'{"prompt": ' + b"9" * 5000 + b"}", "body", "4300 digits"),
        (b"[" * 60_000, "body", "nested too deeply"),
        (b'{"a":' * 10_000, "body", "nested too deeply"),
        (b"null", "body", "must be a JSON object, not null"),
        (b'["hello"]', "body", "must be a JSON object, not an array"),
        (b'"hello"', "body", "must be a JSON object, not a string"),
        (b"42", "body", "must be a JSON object, not a number"),
        (b"{}", "prompt", "is required"),
        (b'{"prompt": null}', "prompt", "must be a string, not null"),
        (b'{"prompt": 42}', "prompt", "must be a string, not a number"),
        (b'{"prompt": 1e999}', "prompt", "must be a string, not a number"),
        (b'{"prompt": true}', "prompt", "must be a string, not a boolean"),
        (b'{"prompt": ["hello"]}', "prompt", "must be a string, not an array"),
        (b'{"prompt": {"text": "hello"}}', "prompt", "must be a string, not an object"),
        (b'{"prompt": ""}', "prompt", "is empty; say what is to be done"),
        (b'{"prompt": " \\n\\t\\u2003"}', "prompt", "is empty; say what is to be done"),
        (b'{"prompt": "a\\u0000b"}', "prompt", "null character"),
        (b'{"prompt": "\\ud800"}', "prompt", "surrogate"),
        (b'{"prompt": "' + b"x" * (MAX_PROMPT + 1) + b'"}', "prompt", f"{MAX_PROMPT} characters"),
        (b'{"promt": "hello"}', "body", "unknown field 'promt'; its fields are: prompt"),
        (b'{"prompt": "hello", "model": "m"}', "body", "unknown field 'model'"),
        (b'{"prompt": "hello", "budget": {"steps": 1.5}}', "budget.steps", "whole number, not 1.5"),
        (b'{"prompt": "hello", "budget": {"usd": 1e999}}', "budget.usd", "a finite number"),
        (b'{"prompt": "hello", "budget": {"usd": -1e999}}', "budget.usd", "a finite number"),
        (b'{"prompt": "hello", "budget": {"steps": 1e999}}', "budget.steps", "a finite number"),
        (b'{"prompt": "hello", "budget": {"steps": 0}}', "budget.steps", "must be 1 or more"),
        (b'{"prompt": "hello", "\\ud800": 1}', "body", "unknown field '\\ud800'"),
    ],
    ids=lambda value: value[:24].decode(errors="replace") if isinstance(value, bytes) else "",
)
async def test_a_bad_body_is_refused_with_the_field_and_what_is_wrong(
    client, runs, body, field, message
):
    response = await client.post("/runs", content=body, headers=JSON)

    problem = response.json()
    assert response.status_code == problem["status"] == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in problem["errors"]] == [field]
    assert message in problem["errors"][0]["message"]
    assert message in problem["detail"]
    assert runs.records == {}


@pytest.mark.parametrize(
    ("path", "body", "field", "message"),
    [
        ("/runs", {"prompt": "a", "mode": None}, "mode", "must be 'execute' or 'plan'"),
        ("/runs", {"prompt": "a", "budget": {"usd": "1"}}, "budget.usd", "a number, not a string"),
        ("/runs", {"prompt": "a", "budget": {"usd": -1}}, "budget.usd", "must be 0 or more"),
        ("/runs/a/retry", {"input": []}, "input", "must be a JSON object, not an array"),
        ("/runs/a/retry", {"skip": "3"}, "skip", "must be an array, not a string"),
        ("/runs/a/retry", {"skip": [None]}, "skip.0", "must be a whole number, not null"),
        ("/runs/a/approve", {"plan": {"steps": []}}, "plan.steps", "at least 1 item"),
        ("/runs/a/reject", {"reason": "x" * 2001}, "reason", "at most 2,000 characters"),
        ("/runs/search", {"limit": 201}, "limit", "must be 200 or less"),
        ("/runs/search", {"limit": 10**7}, "limit", "must be 200 or less"),
        ("/runs/search", {"max_retries": 10**13}, "max_retries", "must be 1000000 or less"),
        ("/runs/search", {"text": ""}, "text", "at least 1 character"),
        ("/runs/search", {"taken_up": 1}, "taken_up", "must be true or false, not a number"),
        ("/runs", {"prompt": "a", "mode": "\ud800"}, "mode", "send whole characters"),
        ("/runs/a/reject", {"reason": "\ud800"}, "reason", "send whole characters"),
        ("/runs/a/fork", {"checkpoint_id": "A"}, "checkpoint_id", "as its history lists them"),
        ("/runs/a/fork", {"checkpoint_id": "a" * 65}, "checkpoint_id", "as its history lists them"),
    ],
    ids=str,
)
async def test_what_is_wrong_with_a_field_is_said_in_the_words_of_json(
    client, path, body, field, message
):
    # Escaped, as a client has to send what no encoding can hold.
    response = await client.post(path, content=json.dumps(body), headers=JSON)

    problem = response.json()
    assert response.status_code == 400
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["errors"][0]["message"].endswith(message)


@pytest.mark.parametrize(
    ("path", "headers", "field"),
    [
        ("/runs", [("idempotency-key", "a"), ("Idempotency-Key", "a")], "idempotency-key"),
        (
            "/runs/wait?timeout=0",
            [("idempotency-key", "a"), ("idempotency-key", "b")],
            "idempotency-key",
        ),
        ("/runs/wait?timeout=0&timeout=1", [], "timeout"),
    ],
    ids=["header", "headers", "query"],
)
async def test_a_parameter_that_is_given_twice_is_refused(client, runs, path, headers, field):
    """Which of two keys, or of two limits, was meant is not guessed."""
    response = await client.post(path, json={"prompt": "hello"}, headers=headers)

    problem = response.json()
    assert response.status_code == 400
    assert problem["errors"] == [
        {"field": field, "message": "is given more than once; give it once"}
    ]
    assert runs.records == {}


async def test_statuses_may_be_several_and_unknown_parameters_are_nobodys_business(client):
    several = await client.get("/runs?status=failed&status=completed")
    twice = await client.get("/runs?limit=1&limit=2&sort=time")
    unknown = await client.post("/runs?_=1&_=2", json={"prompt": "hello"})

    assert several.status_code == 200
    assert (twice.status_code, twice.json()["errors"][0]["field"]) == (400, "limit")
    assert unknown.status_code == 201


ANY_TEXT = st.text(st.characters(exclude_categories=()))  # with lone surrogates

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT | st.just("prompt"), inner),
)


@given(st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()))
async def test_no_body_whatever_makes_the_server_fail(body):
    async with serving(FakeRuns()) as client:
        response = await client.post("/runs", content=body, headers=JSON)

    assert response.status_code in (201, 400)
    assert response.json()


async def test_a_post_without_a_body_is_told_to_send_one(client):
    response = await client.post("/runs")

    assert response.status_code == 400
    assert "send a JSON object" in response.json()["detail"]


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json"],
)
async def test_a_body_that_is_not_declared_as_json_is_refused(client, runs, content_type):
    headers = {} if content_type is None else {"content-type": content_type}

    response = await client.post("/runs", content=b'{"prompt": "hello"}', headers=headers)

    assert response.status_code == 415
    assert "Content-Type: application/json" in response.json()["detail"]
    assert response.headers["accept"] == "application/json"
    assert runs.records == {}


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


@pytest.mark.parametrize("path", ["/", "/nope", "/runs/", "/runs/a/b", "/runs/a%2Fb", "/health/x"])
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
