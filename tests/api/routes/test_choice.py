"""What a run may be given over HTTP beside its prompt, and is found by."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from graph.service import Runs
from tests.support.servers.asgi_clients import serving

GIVEN: dict[str, Any] = {"tools": ["notes.add"], "metadata": {"team": "red", "n": "a:b"}}


@pytest.fixture
async def client(still: Runs) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(still) as client:
        yield client


async def post(client: httpx.AsyncClient, **given: Any) -> httpx.Response:
    return await client.post("/runs", json={"prompt": "note it"} | given)


async def test_the_record_and_the_list_tell_what_was_given(client: httpx.AsyncClient) -> None:
    accepted = await post(client, **GIVEN, instructions="Be brief.")

    record = (await client.get(accepted.headers["location"])).json()
    [listed, *_] = (await client.get("/runs")).json()["runs"]
    assert record["choice"] == {
        "model": None,
        "instructions": "Be brief.",
        "tools": ["notes.add"],
    }
    assert record["metadata"] == listed["metadata"] == {"n": "a:b", "team": "red"}


async def test_runs_are_found_by_their_metadata(client: httpx.AsyncClient) -> None:
    """As an object in a body, as pairs in an address; all of them have to be there."""
    given = {"team": "blue", "n": "a:b"}
    await post(client, metadata=given)
    await post(client, metadata={"team": "blue"})
    await post(client)
    for metadata, expected in (({"team": "blue"}, 2), (given, 1), ({"team": "a"}, 0)):
        pairs = [("metadata", f"{key}:{value}") for key, value in metadata.items()]
        for answer in (
            await client.post("/runs/search", json={"metadata": metadata}),
            await client.get("/runs", params=pairs),
        ):
            assert answer.json()["total"] == expected, answer.text


async def test_a_cursor_is_of_the_metadata_that_was_sought(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await post(client, metadata={"team": "red"})
    red, blue = ("/runs?limit=1&metadata=team:red", "/runs?limit=1&metadata=team:blue")

    cursor = (await client.get(red)).json()["next_cursor"]

    assert (await client.get(f"{red}&cursor={cursor}")).status_code == 200
    assert (await client.get(f"{blue}&cursor={cursor}")).status_code == 400
    assert (await client.get(f"/runs?limit=1&cursor={cursor}")).status_code == 400


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"model": "a/one"}, "model"),
        ({"model": ""}, "model"),
        ({"tools": ["fly"]}, "tools"),
        ({"tools": []}, "tools"),
        ({"tools": [1]}, "tools.0"),
        ({"instructions": "x" * 4_001}, "instructions"),
        ({"metadata": {"a b": ""}}, "metadata.a b"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {"a": "x" * 201}}, "metadata.a"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_no_run_can_be_given_is_a_400_by_name(
    client: httpx.AsyncClient, given: dict[str, Any], field: str
) -> None:
    answer = await post(client, **given)

    assert answer.status_code == 400
    assert [fault["field"].removesuffix(".[key]") for fault in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("pair", ["team", ":red", "a b:c", "a" * 65 + ":"])
async def test_what_is_no_pair_is_a_400(client: httpx.AsyncClient, pair: str) -> None:
    answer = await client.get("/runs", params={"metadata": pair})

    assert answer.status_code == 400


async def test_another_choice_is_another_request(client: httpx.AsyncClient) -> None:
    """For an idempotency key."""
    key = {"Idempotency-Key": "one"}
    answers = [
        await client.post("/runs", json={"prompt": "note it", **given}, headers=key)
        for given in (GIVEN, GIVEN, {"tools": ["notes.add"]})
    ]

    assert [answer.status_code for answer in answers] == [201, 201, 409]
