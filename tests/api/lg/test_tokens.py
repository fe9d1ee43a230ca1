"""The words of an answer that a model gives, as streams of a real server tell them."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from tests.support.models.llm_runs import PATIENT, SUM, models
from tests.support.models.stream_server import StreamServer, stream_server
from tests.support.servers.fleet import deployed

MODEL = "openai/gpt-5-mini"
WORDS = ["The ", "sum ", "is ", "42."]
TEXT = "The sum is 42."
ASKED: dict[str, Any] = {"input": {"messages": [{"role": "user", "content": "what is 40 + 2"}]}}


@contextmanager
def client_of(folder: Path, base: str) -> Iterator[SyncLangGraphClient]:
    """The official client of a server that asks this model, also for answers in words."""
    settings = {"models": models((MODEL, base)), "answer": "auto"}
    with deployed(folder, **PATIENT | settings) as server:
        client = get_sync_client(url=f"{server.url}/lg")
        yield client
        client.http.client.close()


def put_together(told: list[Any]) -> list[tuple[str, str]]:
    """The messages as clients put them together, by their ids: what kind each is, and its text."""
    messages: dict[str, list[str]] = {}
    for part in told:
        if part.event == "messages":
            kind = part.data[0]["type"].removesuffix("MessageChunk").lower()
            messages.setdefault(part.data[0]["id"], [kind, ""])[1] += part.data[0]["content"]
    return [(kind, text) for kind, text in messages.values()]


@pytest.fixture
def provider() -> Iterator[StreamServer]:
    """A model whose words are let go one by one."""
    with stream_server(SUM, WORDS) as started:
        yield started


def has_begun(message: Any) -> bool:
    """Whether it is a part of the answer before the last one."""
    return bool(message["content"].strip() in ("The", "The sum"))


def asked_for(lg: SyncLangGraphClient, mode: str, provider: StreamServer) -> list[Any]:
    """What a run tells in a mode, of whose answer the middle is told before the end is given."""
    provider.let(2)
    thread = lg.threads.create()["thread_id"]
    stream = lg.runs.stream(thread, "runwright", **ASKED, stream_mode=[mode, "values"])
    told = []
    for part in stream:
        told.append(part)
        if part.event in ("messages", "messages/partial") and has_begun(part.data[0]):
            provider.let(len(WORDS))
    assert told[-1].data["status"] == "success"
    assert told[-2].data["messages"][-1]["content"] == TEXT
    return told


def test_they_come_in_parts_and_are_the_answer_at_the_end(tmp_path, provider):
    with client_of(tmp_path, provider.url) as lg:
        told = asked_for(lg, "messages-tuple", provider)
    assert put_together(told) == [("ai", ""), ("tool", "42"), ("ai", TEXT)]
    parts = [one.data[0] for one in told if one.event == "messages"]
    assert sum(one["type"] == "AIMessageChunk" for one in parts) > 1
    last = told[-2].data["messages"][-1]["id"]
    assert parts[-1]["id"] == last  # so that a page replaces what it has put together


def test_they_come_in_the_other_form_as_what_there_is_so_far(tmp_path, provider):
    with client_of(tmp_path, provider.url) as lg:
        told = asked_for(lg, "messages", provider)
    grown = [one.data[0]["content"] for one in told if one.event == "messages/partial"]
    assert grown[-1] == TEXT
    assert len(grown) > 1
    assert all(later.startswith(earlier) for earlier, later in pairwise(grown))
    assert [one.event for one in told if one.event.startswith("messages/")][:2] == [
        "messages/metadata",
        "messages/complete",
    ]


def until_the_middle(
    lg: SyncLangGraphClient, thread: str, provider: StreamServer
) -> tuple[Any, list[Any]]:
    """A stream of a run whose answer has begun, and what it has told."""
    provider.let(2)
    stream = lg.runs.stream(thread, "runwright", **ASKED, stream_mode="messages-tuple")
    told: list[Any] = []
    while put_together(told)[-1:] != [("ai", "The sum")]:
        told.append(next(stream))
    return stream, told


def test_who_comes_again_in_the_middle_of_an_answer_is_told_the_rest_of_it(tmp_path, provider):
    with client_of(tmp_path, provider.url) as lg:
        thread = lg.threads.create()["thread_id"]
        stream, told = until_the_middle(lg, thread, provider)
        stream.close()
        run_id = told[0].data["run_id"]
        provider.let(len(WORDS))
        given = {"stream_mode": "messages-tuple", "last_event_id": told[-1].id}
        rest = [*lg.runs.join_stream(thread, run_id, **given)]
        assert put_together([*told, *rest])[-1] == ("ai", TEXT)
        later = [*lg.runs.join_stream(thread, run_id, stream_mode="messages-tuple")]
    assert put_together(later)[-1] == ("ai", TEXT)


def test_who_comes_again_is_told_in_the_other_form_what_there_is_so_far(tmp_path, provider):
    with client_of(tmp_path, provider.url) as lg:
        thread = lg.threads.create()["thread_id"]
        stream, told = until_the_middle(lg, thread, provider)
        stream.close()
        given = {"stream_mode": "messages", "last_event_id": told[-1].id}
        rest = lg.runs.join_stream(thread, told[0].data["run_id"], **given)
        provider.let(len(WORDS))
        grown = [one.data[0]["content"] for one in rest if one.event == "messages/partial"]
    assert grown[-1] == TEXT
    assert all(one.startswith("The sum is") for one in grown)


def test_who_joins_while_it_is_given_is_told_all_of_it(tmp_path, provider):
    with client_of(tmp_path, provider.url) as lg:
        thread = lg.threads.create()["thread_id"]
        stream, told = until_the_middle(lg, thread, provider)
        joined = lg.runs.join_stream(thread, told[0].data["run_id"], stream_mode="messages-tuple")
        late = [next(joined)]
        provider.let(len(WORDS))
        late += [*joined]
        stream.close()
    assert put_together(late)[-1] == ("ai", TEXT)
