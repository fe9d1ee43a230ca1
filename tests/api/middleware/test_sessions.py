"""A key becomes a session of the page, which counts for nobody else's requests."""

from importlib.metadata import version

import httpx
import pytest

from api.app import HttpLimits
from api.middleware.access import COOKIE, LIFETIME, Sessions
from graph.settings.configured import KeyRing, new_key
from tests.support.servers.asgi_clients import serving

KEY, KEPT = new_key("alice")
WITH_KEYS = HttpLimits(keys=KeyRing([KEPT]), cors_origins=("https://desk.example",))
OURS = {"sec-fetch-site": "same-origin"}


async def logged_in(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    """The answer to the key, after which the client has the cookie."""
    answer = await client.post("/session", json={"key": KEY}, headers=headers)
    assert answer.status_code == 200
    return answer


async def test_a_key_opens_a_session_that_no_script_can_read(still):
    async with serving(still, WITH_KEYS) as client:
        before = (await client.get("/session")).json()
        answer = await logged_in(client)
        after = (await client.get("/session")).json()
        runs = await client.get("/runs", headers=OURS)

    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert KEY not in cookie
    told = {"keys": True, "version": version("runwright")}
    assert before == {**told, "owner": None}
    assert answer.json() == after == {**told, "owner": "alice"}
    assert runs.status_code == 200


@pytest.mark.parametrize(
    ("proxied", "secure"), [({}, False), ({"x-forwarded-proto": "https"}, True)]
)
async def test_behind_tls_the_cookie_is_sent_by_tls_only(proxied, secure, still):
    async with serving(still, WITH_KEYS) as client:
        answer = await logged_in(client, **proxied)

    assert ("Secure" in answer.headers["set-cookie"].split("; ")) is secure


@pytest.mark.parametrize(
    "body", [b"{}", b"", b'{"key": 1}', b'{"key": "wrong"}', b"[", b'{"key": ""}']
)
async def test_what_is_no_key_opens_none(body, still):
    async with serving(still, WITH_KEYS) as client:
        headers = {"content-type": "application/json"}
        answer = await client.post("/session", content=body, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:runwright:problem:key-refused"
    assert "set-cookie" not in answer.headers


async def test_a_logout_ends_the_session_also_for_who_has_kept_the_cookie(still):
    async with serving(still, WITH_KEYS) as client:
        await logged_in(client)
        kept = client.cookies[COOKIE]
        ended = await client.delete("/session", headers=OURS)
        client.cookies.clear()
        again = await client.get("/runs", headers={"cookie": f"{COOKIE}={kept}"})

    assert ended.status_code == 204
    assert again.status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 201),
        ({"sec-fetch-site": "same-origin", "origin": "http://localhost"}, 201),
        ({"origin": "http://localhost"}, 201),  # without TLS browsers leave the other out
        ({}, 401),
        ({"sec-fetch-site": "none"}, 401),
        ({"sec-fetch-site": "same-site"}, 403),  # another port of the same host
        ({"origin": "http://localhost:8001"}, 403),
        ({"origin": "https://desk.example"}, 401),  # which may call, with a key of its own
        ({"origin": "https://desk.example", "sec-fetch-site": "cross-site"}, 401),
    ],
)
async def test_only_our_page_changes_something_by_the_session(headers, status, still):
    async with serving(still, WITH_KEYS) as client:
        await logged_in(client)
        answer = await client.post(
            "/runs", json={"prompt": "hello"}, headers={"host": "localhost", **headers}
        )

    assert answer.status_code == status


@pytest.mark.parametrize(
    ("site", "status"),
    [("same-origin", 200), ("none", 200), ("same-site", 401), ("cross-site", 401)],
)
async def test_only_our_page_reads_by_the_session(site, status, still):
    async with serving(still, WITH_KEYS) as client:
        await logged_in(client)
        answer = await client.get("/runs", headers={"sec-fetch-site": site})

    assert answer.status_code == status


async def test_a_key_in_a_header_counts_before_the_session(still):
    async with serving(still, WITH_KEYS) as client:
        await logged_in(client)
        answer = await client.get("/runs", headers={"x-api-key": "wrong", **OURS})

    assert answer.status_code == 401


def test_a_session_ends_when_nobody_uses_it_and_the_oldest_makes_room():
    now = [0.0]
    sessions = Sessions(lambda: now[0], most=2)
    first, second = sessions.open("alice"), sessions.open("bob")
    now[0] += LIFETIME
    assert sessions.owner(first) == "alice"
    now[0] += LIFETIME
    assert (sessions.owner(first), sessions.owner(second)) == ("alice", None)
    third, fourth = sessions.open("bob"), sessions.open("carol")
    assert [sessions.owner(one) for one in (first, third, fourth)] == [None, "bob", "carol"]
