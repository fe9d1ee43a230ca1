"""An answer while it is given, to many watchers: one encoding a part, and nobody misses the end."""

from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI

from api import streams
from graph.runs.watch import KEPT_DELTAS, AnswerDelta
from graph.state import RunState
from tests.support.runs.run_states import attempted, completed, planned, queued
from tests.support.servers.asgi_clients import Told, Visit, visiting

WORDS = ["There", " are", " three", " of", " them."]


def running() -> RunState:
    return attempted(planned(queued(), steps=1))


def ended(state: RunState) -> RunState:
    answer = {"text": "".join(WORDS), "model": "a/one", "source": "finalize"}
    result: Any = {"output": 3, "summary": "1 step done; the result is 3", "answer": answer}
    return {**completed(state), "result": result}


def say(runs: Any, run_id: str, *words: str, offset: int = 0) -> None:
    """Tell the words, as the node does that asks for them."""
    subscription = runs.watched()[run_id]
    for word in words:
        subscription.answered(AnswerDelta(text=word, offset=offset))
        offset += len(word)


def words_of(told: list[Told]) -> str:
    return "".join(one.data["text"] for one in told if one.event == "answer.delta")


async def at(app: FastAPI, crowd: AsyncExitStack, run_id: str, events: int) -> Visit:
    visit = await crowd.enter_async_context(visiting(app, f"/runs/{run_id}/stream"))
    await visit.until(events)
    return visit


async def test_50_watchers_of_an_answer_are_one_encoding_a_part(runs, app, monkeypatch):
    encoded = []

    def counting(delta):
        encoded.append(delta["text"])
        return encode(delta)

    encode = streams._delta
    monkeypatch.setattr(streams, "_delta", counting)
    run_id = runs.store(state := running())
    begun = 8
    async with AsyncExitStack() as crowd:
        visits = [await at(app, crowd, run_id, begun) for _ in range(50)]
        for place, word in enumerate(WORDS):
            say(runs, run_id, word, offset=len("".join(WORDS[:place])))
            for visit in visits:
                await visit.until(begun + place + 1)
        runs.store(ended(state))
        everything = [await visit.end() for visit in visits]

    assert encoded == WORDS
    assert all(words_of(told) == "".join(WORDS) for told in everything)
    assert all(told[-1].event == "end" for told in everything)
    assert all(one.id is None for one in everything[0] if one.event == "answer.delta")


async def test_the_words_come_after_what_was_before_and_before_the_end(runs, app):
    run_id = runs.store(state := running())
    async with AsyncExitStack() as crowd:
        visit = await at(app, crowd, run_id, 8)
        say(runs, run_id, *WORDS)
        runs.store(ended(state))  # before anybody was woken
        told = await visit.end()

    kinds = [one.event for one in told]
    assert kinds[8 : 8 + len(WORDS)] == ["answer.delta"] * len(WORDS)
    assert kinds[8 + len(WORDS) :] == ["run.completed", "end"]


async def test_a_slow_watcher_loses_parts_and_never_the_end(runs, app):
    run_id = runs.store(state := running())
    many = ["w "] * (KEPT_DELTAS + 100)
    async with AsyncExitStack() as crowd:
        slow, quick = [await at(app, crowd, run_id, 8) for _ in range(2)]
        slow.throughput.clear()
        for place, word in enumerate(many):
            say(runs, run_id, word, offset=2 * place)
            await quick.until(8 + place + 1)
        assert len(runs.watched()[run_id].deltas) == KEPT_DELTAS
        runs.store(ended(state))
        heard = await quick.end()
        slow.throughput.set()
        told = await slow.end()

    assert words_of(heard) == "".join(many)
    deltas = [one for one in told if one.event == "answer.delta"]
    assert len(deltas) <= KEPT_DELTAS + 1
    assert deltas[-1].data["offset"] == 2 * (len(many) - 1)
    assert [one.event for one in told[-2:]] == ["run.completed", "end"]
    assert told[-2].data["data"]["result"]["answer"]["text"] == "".join(WORDS)


async def test_who_comes_in_the_middle_hears_the_rest_and_gets_the_whole_at_the_end(runs, app):
    run_id = runs.store(state := running())
    async with AsyncExitStack() as crowd:
        await at(app, crowd, run_id, 8)
        say(runs, run_id, *WORDS[:2])
        late = await at(app, crowd, run_id, 8)
        say(runs, run_id, *WORDS[2:], offset=len("There are"))
        runs.store(ended(state))
        told = await late.end()

    assert words_of(told) == " three of them."
    assert next(one for one in told if one.event == "answer.delta").data["offset"] == 9
    assert told[-2].data["data"]["result"]["answer"]["text"] == "".join(WORDS)


async def test_a_run_that_is_read_later_has_no_parts(runs, app, client):
    run_id = runs.store(state := running())
    async with AsyncExitStack() as crowd:
        visit = await at(app, crowd, run_id, 8)
        say(runs, run_id, *WORDS)
        runs.store(ended(state))
        await visit.end()

    page = (await client.get(f"/runs/{run_id}/events")).json()
    assert "answer.delta" not in [event["type"] for event in page["events"]]
