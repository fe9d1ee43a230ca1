"""From exception to application/problem+json, and nothing of the inside with it."""

import logging

import pytest
from starlette.exceptions import HTTPException

from api.errors.problems import PROBLEMS
from api.schemas import Problem
from graph.queue.executor import NotAccepting, QueueFull
from graph.runs.accept import KeyReused
from graph.service import PromptRejected
from tests.support.runs.fake_runs import FakeRuns
from tests.support.servers.asgi_clients import application, serving


async def failing(failure: Exception):
    runs = FakeRuns()  # which fail as they are told to
    runs.failure = failure
    async with serving(runs) as client:
        return await client.post("/runs", json={"prompt": "hello"})


@pytest.mark.parametrize(
    ("failure", "status", "name"),
    [
        (PromptRejected("the prompt is too odd"), 400, "prompt-rejected"),
        (KeyReused("k", "r"), 409, "key-reused"),
        (QueueFull(10_000, 2.3), 429, "queue-full"),
        (NotAccepting(), 503, "not-accepting"),
        (ValueError("the secret is 42"), 500, "internal"),
        (HTTPException(404), 404, "path-not-found"),
        (HTTPException(418), 500, "internal"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_a_failure_is_answered_as_the_table_says(failure, status, name):
    response = await failing(failure)

    problem = Problem.model_validate_json(response.content, strict=True, extra="forbid")
    assert response.status_code == problem.status == status
    assert response.headers["content-type"] == "application/problem+json"
    assert problem.type == f"urn:runwright:problem:{name}"


async def test_a_full_queue_says_when_to_ask_again_in_whole_seconds():
    assert (await failing(QueueFull(1, 2.3))).headers["retry-after"] == "3"
    assert (await failing(QueueFull(1, 0.0))).headers["retry-after"] == "1"


async def test_a_stopping_server_says_when_to_ask_again():
    assert (await failing(NotAccepting())).headers["retry-after"] == "1"


async def test_an_unexpected_error_is_logged_once_under_the_id_that_is_answered(caplog):
    with caplog.at_level(logging.ERROR):
        response = await failing(ValueError("the secret is 42"))

    (logged,) = caplog.records
    error_id = response.json()["instance"].removeprefix("urn:uuid:")
    assert error_id in logged.message
    assert logged.exc_info[1].args == ("the secret is 42",)
    assert "secret" not in response.text
    assert "ValueError" not in response.text


@pytest.mark.parametrize("path", ["/runs", "/mcp", "/lg/threads", "/session"])
async def test_a_client_that_leaves_while_it_sends_is_no_error(caplog, still, path):
    app, sent = application(still), []
    head = [(b"host", b"localhost:8000"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [*head, (b"content-length", b"20")],
        "client": ("127.0.0.1", 50000),
        "server": ("localhost", 8000),
    }
    received = iter(
        [
            {"type": "http.request", "body": b"{", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive():
        return next(received)

    async def send(message):
        sent.append(message)

    async with app.router.lifespan_context(app):
        with caplog.at_level(logging.ERROR):
            await app(scope, receive, send)

    assert not caplog.records
    assert sent[0]["status"] == 400


def test_every_kind_of_problem_has_a_name_of_its_own():
    names = [kind.name for kind in PROBLEMS.values()]

    assert len(names) == len(set(names))
