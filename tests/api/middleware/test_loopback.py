"""Which requests reach a server on loopback, where any web page can send some."""

import pytest

from api.app import HttpLimits
from tests.support.runs.still_runs import number_of
from tests.support.servers.asgi_clients import serving

PROMPT = {"prompt": "hello"}


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LocalHost:1",
        "localhost:65535",
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]:8000",
    ],
)
async def test_loopback_names_are_answered_on_any_port(host, still):
    async with serving(still) as client:
        response = await client.get("/health", headers={"host": host})

    assert response.status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8000",
        "me@localhost",
        "localhost:x",
        "localhost:65536",
        "localhost:99999999",
        "localhost/",
        "localhost localhost",
        "::1",
        "[::2]",
        "0.0.0.0",
        "*",
        "",
    ],
)
async def test_any_other_name_is_refused_for_every_method(host, method, still):
    """A page whose name was rebound to loopback can read what it asks for."""
    async with serving(still) as client:
        response = await client.request(method, "/runs", headers={"host": host})

    assert response.status_code == 403
    if method != "HEAD":
        assert response.json()["type"] == "urn:runwright:problem:host-refused"
        assert "RUNWRIGHT_ALLOWED_HOSTS" in response.json()["detail"]


async def test_two_hosts_are_refused_even_if_one_is_ours(still):
    async with serving(still) as client:
        response = await client.get("/health", headers=[("host", "localhost"), ("host", "evil")])

    assert response.status_code == 403


async def test_configured_names_are_answered_besides_the_loopback_ones(still):
    async with serving(still, HttpLimits(allowed_hosts=("Agent.example",))) as client:
        answers = [
            (await client.get("/health", headers={"host": host})).status_code
            for host in ("agent.example", "AGENT.example:443", "localhost", "other.example")
        ]

    assert answers == [200, 200, 200, 403]


async def test_a_star_answers_every_name_but_still_no_foreign_page(still):
    async with serving(still, HttpLimits(allowed_hosts=("*",))) as client:
        host = {"host": "anything.example:81"}
        named = await client.get("/health", headers=host)
        foreign = await client.post(
            "/runs", json=PROMPT, headers=host | {"origin": "http://evil.example"}
        )

    assert named.status_code == 200
    assert foreign.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://localhost"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "localhost:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://localhost:8000", "sec-fetch-site": "cross-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_foreign_page_can_change_nothing(method, headers, still):
    before = await number_of(still)
    async with serving(still) as client:
        response = await client.request(method, "/runs", json=PROMPT, headers=headers)

    assert response.status_code == 403
    assert response.json()["type"] == "urn:runwright:problem:origin-refused"
    assert await number_of(still) == before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "none"},
        {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"},
        {"origin": "https://localhost:8000"},
    ],
    ids=str,
)
async def test_our_own_pages_and_clients_that_are_no_browser_may_post(headers, still):
    async with serving(still) as client:
        response = await client.post("/runs", json=PROMPT, headers=headers)

    assert response.status_code == 201


async def test_a_foreign_page_gets_no_leave_to_read(still):
    """Without CORS headers a browser keeps an answer from the page that asked for it."""
    headers = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    async with serving(still) as client:
        read = await client.get("/runs", headers=headers)
        preflight = await client.options("/runs", headers=headers)

    assert not [name for name in [*read.headers, *preflight.headers] if "access-control" in name]
    assert preflight.status_code == 405
