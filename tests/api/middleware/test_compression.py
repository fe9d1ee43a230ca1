"""Large answers are compressed for who asks for it; streams of events pass as they come."""

import gzip
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from api.app import LARGE
from graph.service import Runs
from tests.support.runs.run_states import attempted, planned, queued
from tests.support.runs.still_runs import keep
from tests.support.servers.asgi_clients import serving, visiting


@pytest.fixture(scope="module")
async def many(still: Runs) -> Runs:
    """Runs that are more than a small answer."""
    for number in range(60):
        await keep(still, f"add todo number {number} {'milk ' * 100}", "completed")
    return still


@pytest.fixture
async def client(still: Runs) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(still) as client:
        yield client


@pytest.mark.parametrize("path", ["/openapi.json", "/runs", "/docs/assets/swagger-ui-bundle.js"])
async def test_a_large_answer_is_compressed_and_the_same(many, path):
    async with serving(many) as client:
        plain = await client.get(path, headers={"accept-encoding": "identity"})
        async with client.stream("GET", path, headers={"accept-encoding": "gzip"}) as small:
            sent = b"".join([part async for part in small.aiter_raw()])
        head = await client.head(path, headers={"accept-encoding": "gzip"})

    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert small.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(sent) == plain.content
    assert len(sent) < len(plain.content) / 3
    assert small.headers.get("content-length", str(len(sent))) == str(len(sent))
    assert head.headers["content-encoding"] == "gzip"
    assert head.content == b""


async def test_what_never_changes_is_encoded_and_compressed_once(app, monkeypatch):
    """Anybody may ask for it, as often as he likes."""
    encoded, compressed = [], []
    describe, compress = app.openapi, gzip.compress

    def counted(plain: bytes) -> bytes:
        compressed.append(len(plain))
        return compress(plain)

    monkeypatch.setattr(app, "openapi", lambda: encoded.append("openapi") or describe())
    monkeypatch.setattr(gzip, "compress", counted)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        client.headers["accept-encoding"] = "gzip"
        for path in ("/openapi.json", "/docs/assets/swagger-ui-bundle.js"):
            answers = [await client.get(path) for _ in range(3)]
            assert {answer.headers["content-encoding"] for answer in answers} == {"gzip"}
            assert len({answer.content for answer in answers}) == 1

    assert (encoded, len(compressed)) == (["openapi"], 2)


async def test_each_form_of_a_file_has_an_etag_of_its_own(client):
    path = "/docs/assets/swagger-ui-bundle.js"
    plain = await client.get(path, headers={"accept-encoding": "identity"})
    small = await client.get(path, headers={"accept-encoding": "gzip"})
    assert plain.headers["etag"] != small.headers["etag"]
    for form, encoding in ((plain, "identity"), (small, "gzip")):
        asked = {"accept-encoding": encoding, "if-none-match": form.headers["etag"]}
        again = await client.get(path, headers=asked)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == form.headers["etag"]
    other = {"accept-encoding": "identity", "if-none-match": small.headers["etag"]}
    assert (await client.get(path, headers=other)).content == plain.content


async def test_a_small_answer_is_sent_as_it_is(client):
    answer = await client.get("/tools", headers={"accept-encoding": "gzip"})

    assert "content-encoding" not in answer.headers
    assert len(answer.content) < LARGE
    assert json.loads(answer.content)


async def test_a_part_of_a_file_is_that_part(client):
    answer = await client.get(
        "/docs/assets/swagger-ui-bundle.js",
        headers={"accept-encoding": "gzip", "range": "bytes=0-99"},
    )
    assert answer.status_code == 206
    assert "content-encoding" not in answer.headers
    assert len(answer.content) == 100


async def test_events_reach_who_takes_gzip_as_they_happen(runs, app):
    """Each is there before the next one happens: nothing is gathered to be compressed."""
    state = queued()
    run_id = runs.store(state)
    async with visiting(
        app, f"/runs/{run_id}/stream", accept_encoding="gzip, deflate, br"
    ) as visit:
        first = await visit.until(1)
        runs.store(planned(state))
        more = await visit.until(len(first) + 1)
        runs.store(attempted(planned(state)))
        last = await visit.until(len(more) + 1)
        told = [event.event for event in last]

    assert told[0] == "run.queued"
    assert len(told) > len(more) > len(first)
