"""The largest body that the API reads."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from api.app import HttpLimits
from api.middleware.guards import BodyCutOff, BodyLimit
from tests.support.patience import patience
from tests.support.runs.still_runs import number_of
from tests.support.servers.asgi_clients import serving
from tests.support.servers.server_process import serving as served

JSON = {"content-type": "application/json"}

LIMIT = 1000


def body_of(size: int) -> bytes:
    encoded = b'{"prompt": "%s"}'
    return encoded % (b"x" * (size - len(encoded % b"")))


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 100):
        yield body[start : start + 100]


@pytest.mark.parametrize("whole", [True, False], ids=["with a length", "in chunks"])
async def test_a_body_of_the_largest_size_is_read(whole, still):
    body = body_of(LIMIT)
    async with serving(still, HttpLimits(max_body=LIMIT)) as client:
        response = await client.post(
            "/runs", content=body if whole else in_pieces(body), headers=JSON
        )

    assert response.status_code == 201


@pytest.mark.parametrize("whole", [True, False], ids=["with a length", "in chunks"])
async def test_a_larger_body_is_refused_with_the_limit(whole, still):
    before = await number_of(still)
    body = body_of(LIMIT + 1)
    async with serving(still, HttpLimits(max_body=LIMIT)) as client:
        response = await client.post(
            "/runs", content=body if whole else in_pieces(body), headers=JSON
        )

    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["connection"] == "close"
    assert "1,000 bytes" in response.json()["detail"]
    assert await number_of(still) == before


async def test_an_announced_length_is_refused_before_anything_is_read(still):
    async def never() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    async with serving(still) as client:
        response = await client.post(
            "/runs", content=never(), headers=JSON | {"content-length": str(10**12)}
        )

    assert response.status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e9", "\N{SUPERSCRIPT TWO}", "9" * 5000])
async def test_a_length_that_is_no_length_does_no_harm(length, still):
    async with serving(still) as client:
        response = await client.post(
            "/runs", content=b"{}", headers=JSON | {"content-length": length.encode()}
        )

    assert response.status_code in (400, 413)


@pytest.mark.parametrize(
    "sent",
    [
        b'Content-Length: 100\r\n\r\n{"prompt": ',
        b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"pro\r\n',
    ],
    ids=["with a length", "in chunks"],
)
def test_a_stop_during_half_a_body_is_a_problem_and_no_fault(tmp_path: Path, sent: bytes) -> None:
    with served(tmp_path) as server:
        address = httpx.URL(server.url)
        with socket.create_connection((address.host, address.port or 80)) as half:
            half.settimeout(patience())
            head = b"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            half.sendall(head + sent)
            server.client.get("/health")  # what came before it has been taken up
            server.terminate()
            answer = b"".join(iter(lambda: half.recv(65536), b""))

    if answer:  # unless the server was stopping before it had seen the request
        status, _, rest = answer.partition(b"\r\n")
        assert status == b"HTTP/1.1 503 Service Unavailable"
        kind = json.loads(rest.partition(b"\r\n\r\n")[2])["type"]
        assert kind == "urn:runwright:problem:body-cut-off"
    assert not [line for line in server.lines if "Traceback" in line]


@pytest.mark.parametrize("whole", [True, False])
async def test_only_who_still_reads_the_body_is_answered_at_the_end(whole: bool) -> None:

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()

    messages = [{"type": "http.request", "body": b"{", "more_body": not whole}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        raise asyncio.CancelledError

    scope = {"type": "http", "headers": []}
    with pytest.raises(asyncio.CancelledError if whole else BodyCutOff):
        await BodyLimit(app, limit=10)(scope, receive, None)  # type: ignore[arg-type]
