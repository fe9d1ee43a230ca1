"""The largest body that the API reads."""

from collections.abc import AsyncIterator

import pytest

from api.app import HttpLimits
from tests.support.runs.fake_runs import FakeRuns, serving

JSON = {"content-type": "application/json"}

LIMIT = 1000


def body_of(size: int) -> bytes:
    encoded = b'{"prompt": "%s"}'
    return encoded % (b"x" * (size - len(encoded % b"")))


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 100):
        yield body[start : start + 100]


@pytest.mark.parametrize("whole", [True, False], ids=["with a length", "in chunks"])
async def test_a_body_of_the_largest_size_is_read(whole):
    body = body_of(LIMIT)
    async with serving(FakeRuns(), HttpLimits(max_body=LIMIT)) as client:
        response = await client.post(
            "/runs", content=body if whole else in_pieces(body), headers=JSON
        )

    assert response.status_code == 201


@pytest.mark.parametrize("whole", [True, False], ids=["with a length", "in chunks"])
async def test_a_larger_body_is_refused_with_the_limit(whole):
    runs = FakeRuns()
    body = body_of(LIMIT + 1)
    async with serving(runs, HttpLimits(max_body=LIMIT)) as client:
        response = await client.post(
            "/runs", content=body if whole else in_pieces(body), headers=JSON
        )

    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["connection"] == "close"
    assert "1,000 bytes" in response.json()["detail"]
    assert runs.records == {}


async def test_an_announced_length_is_refused_before_anything_is_read():
    async def never() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    async with serving(FakeRuns()) as client:
        response = await client.post(
            "/runs", content=never(), headers=JSON | {"content-length": str(10**12)}
        )

    assert response.status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e9", "\N{SUPERSCRIPT TWO}", "9" * 5000])
async def test_a_length_that_is_no_length_does_no_harm(length):
    async with serving(FakeRuns()) as client:
        response = await client.post(
            "/runs", content=b"{}", headers=JSON | {"content-length": length.encode()}
        )

    assert response.status_code in (400, 413)
