"""Searching runs over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.routes.lists import RunList
from graph.service import Runs
from tests.support.runs.still_runs import keep
from tests.support.servers.asgi_clients import serving
from tests.support.servers.documented import documented


@pytest.fixture(scope="module")
async def client(still: Runs) -> AsyncIterator[httpx.AsyncClient]:
    for number in range(5):
        await keep(still, f"task {number}", "failed" if number % 2 else "completed")
    await keep(still, "not mine", "completed", owner="another")
    async with serving(still) as client:
        yield client


def prompts(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    listed = documented(RunList, answer.content)
    return [run["prompt"] for run in listed["runs"]]


async def test_an_answer_tells_how_many_there_are(client):
    told = (await client.post("/runs/search", json={"status": ["failed"], "limit": 1})).json()

    assert [run["prompt"] for run in told["runs"]] == ["task 3"]
    assert (told["total"], told["total_is_lower_bound"]) == (2, False)
    assert told["counts"] == {
        "pending": 0,
        "running": 0,
        "waiting": 0,
        "completed": 3,
        "failed": 2,
        "cancelled": 0,
    }


ASKED: list[tuple[dict[str, Any], str, list[int]]] = [
    ({}, "", [4, 3, 2, 1, 0]),
    ({"order": "asc"}, "order=asc", [0, 1, 2, 3, 4]),
    ({"status": ["failed"]}, "status=failed", [3, 1]),
    (
        {"status": ["failed", "completed"]},
        "status=failed&status=completed",
        [4, 3, 2, 1, 0],
    ),
    ({"text": "TASK 2"}, "text=TASK+2", [2]),
    (
        {"created_from": "2023-11-14T22:13:20.250Z"},
        "created_from=2023-11-14T22:13:20.250Z",
        [4, 3, 2, 1, 0],
    ),
    (
        {"created_before": "2023-11-14T23:13:20.25+01:00"},
        "created_before=2023-11-14T23:13:20.25%2B01:00",
        [],
    ),
    ({"min_usd": 0}, "min_usd=0", []),
    ({"max_retries": 0, "taken_up": False}, "max_retries=0&taken_up=false", [4, 3, 2, 1, 0]),
    ({"min_rounds": 0, "max_rounds": 1}, "min_rounds=0&max_rounds=1", [4, 3, 2, 1, 0]),
    ({"min_rounds": 2}, "min_rounds=2", []),
    ({"planner": "llm"}, "planner=llm", []),
    ({"model": "some/model"}, "model=some/model", []),
    ({"tool": "notes.add"}, "tool=notes.add", []),
    ({"sort": "duration", "limit": 2}, "sort=duration&limit=2", [4, 3]),
]


@pytest.mark.parametrize(("body", "query", "expected"), ASKED, ids=lambda value: str(value)[:40])
async def test_a_body_and_an_address_ask_the_same(client, body, query, expected):
    wanted = [f"task {number}" for number in expected]

    assert prompts(await client.post("/runs/search", json=body)) == wanted
    assert prompts(await client.get(f"/runs?{query}")) == wanted


async def test_a_page_leads_to_the_next_one_either_way(client):
    asked = {"order": "asc", "limit": 2}
    first = await client.post("/runs/search", json=asked)
    cursor = first.json()["next_cursor"]
    second = await client.post("/runs/search", json=asked | {"cursor": cursor, "limit": 3})

    assert prompts(first) == ["task 0", "task 1"]
    assert prompts(second) == ["task 2", "task 3", "task 4"]
    assert second.json()["next_cursor"] is None
    assert prompts(await client.get("/runs", params=asked | {"cursor": cursor}))[0] == "task 2"


@pytest.mark.parametrize("asked", [{"cursor": "nonsense"}, {"cursor": "é\u0000"[:1]}])
async def test_a_cursor_that_is_none_is_refused(client, asked):
    for answer in (
        await client.post("/runs/search", json=asked),
        await client.get("/runs", params=asked),
    ):
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:runwright:problem:invalid-cursor"


async def test_a_cursor_of_another_search_is_refused(client):
    cursor = (await client.get("/runs?limit=1")).json()["next_cursor"]

    assert (await client.get(f"/runs?limit=1&cursor={cursor}")).status_code == 200
    assert (await client.get(f"/runs?order=asc&cursor={cursor}")).status_code == 400


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"status": ["done"]}, "status.0"),
        ({"text": " - "}, "text"),
        ({"created_from": "yesterday"}, "created_from"),
        ({"created_from": "2026-02-30T00:00:00Z"}, "created_from"),
        ({"created_before": "2026-02-20T00:00:00"}, "created_before"),
        ({"min_usd": -1}, "min_usd"),
        ({"max_retries": 1.5}, "max_retries"),
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"sort": "size"}, "sort"),
        ({"taken_up": "maybe"}, "taken_up"),
        ({"statuses": ["failed"]}, ""),
    ],
    ids=str,
)
async def test_what_cannot_be_asked_is_refused_by_name(client, asked, field):
    for answer in (
        await client.post("/runs/search", json=asked),
        await client.get("/runs", params=asked),
    ):
        assert answer.status_code == 400, answer.text
        [fault] = answer.json()["errors"]
        assert field in fault["field"]
