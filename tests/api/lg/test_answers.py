"""The words of an answer as a chat page gets them: in parts, none of them lost or told twice."""

import asyncio
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

from api.lg.stream_parts import Position, Teller
from api.lg.streams import Reading
from graph.record.events import events
from graph.runs.watch import AnswerDelta, RunSubscription
from graph.state import split
from tests.support.runs.run_states import attempted, completed, planned, queued

WORDS = ["There", " are", " three", " of", " them."]


def ended(state: Any) -> Any:
    answer = {"text": "".join(WORDS), "model": "a/one", "source": "finalize"}
    result: Any = {"output": 3, "summary": "1 step done; the result is 3", "answer": answer}
    return {**completed(state), "result": result}


async def nothing(*_: Any, **__: Any) -> list[Any]:
    """What is stored of the run before it is watched."""
    return []


RUNS: Any = SimpleNamespace(
    threads=SimpleNamespace(snapshots=nothing), broadcaster=SimpleNamespace(shared=False)
)


class Reader:
    """Reads a run that is watched, in one mode."""

    def __init__(self, watched: RunSubscription, after: Position | None = None) -> None:
        assert watched.state is not None
        teller = Teller(["messages-tuple"], {}, "thread")
        run_id = watched.state["run_id"]
        reading = Reading(RUNS, teller, run_id, after, knows=after is not None)
        self._parts = reading.encoded(watched, heartbeat=3600)
        self.told: list[tuple[str | None, Any]] = []

    async def until(self, count: int) -> None:
        """Read so many messages."""
        while len(self.told) < count:
            self._take(await anext(self._parts))

    async def end(self) -> list[tuple[str | None, Any]]:
        """Everything up to the end."""
        async for part in self._parts:
            self._take(part)
        return self.told

    def _take(self, part: bytes) -> None:
        for one in part.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in one.splitlines())
            if fields.get("event") == "messages":
                self.told.append((fields.get("id"), json.loads(fields["data"])[0]))


def watched() -> tuple[RunSubscription, Any]:
    state = attempted(planned(queued(), steps=1))
    subscription = RunSubscription()
    subscription.show(state)
    return subscription, state


def say(subscription: RunSubscription, *words: str, offset: int = 0) -> None:
    for word in words:
        subscription.answered(AnswerDelta(text=word, offset=offset))
        offset += len(word)


def answer_of(told: list[tuple[str | None, Any]]) -> list[tuple[str | None, Any]]:
    return [one for one in told if "-answer-" in one[1]["id"]]


async def test_the_parts_put_together_are_the_answer_once():
    subscription, state = watched()
    reader = Reader(subscription)
    await reader.until(2)  # the plan, and what a step returned
    for place, word in enumerate(WORDS):
        say(subscription, word, offset=len("".join(WORDS[:place])))
        await reader.until(3 + place)
    subscription.show(ended(state))
    told = answer_of(await reader.end())

    assert [one["content"] for _, one in told] == WORDS
    assert {one["type"] for _, one in told} == {"AIMessageChunk"}
    assert len({one["id"] for _, one in told}) == 1


@pytest.mark.parametrize("missed", [1, 3, len(WORDS)])
async def test_who_comes_again_is_told_the_rest_and_no_word_twice(missed):
    subscription, state = watched()
    reader = Reader(subscription)
    await reader.until(2)
    say(subscription, *WORDS[:missed])
    await reader.until(2 + missed)
    last = Position.read(str(reader.told[-1][0]))
    again = Reader(subscription, last)
    subscription.show(ended(state))
    told = answer_of(await again.end())

    assert "".join(one["content"] for _, one in told) == "".join(WORDS[missed:])
    assert {one["id"] for _, one in told} <= {reader.told[-1][1]["id"]}


@pytest.mark.parametrize("missed", [1, 3, len(WORDS)])
async def test_who_comes_again_for_all_there_is_so_far_is_never_told_a_rest(missed):
    """Nobody has watched meanwhile, so that the words that he knows are not kept any more."""
    state = attempted(planned(queued(), steps=1))
    teller, known = Teller(["messages"], {}, "thread"), len("".join(WORDS[:missed]))
    teller.answering.known = known
    parts = [*teller.part(state, "".join(WORDS[missed:]), known, len(events(state)))]
    over = ended(state)
    parts += teller.step(state, over, len(events(over)), [])

    assert [one.data[0]["content"] for one in parts] == ["".join(WORDS)]


async def test_who_comes_later_is_told_the_whole_answer():
    subscription, state = watched()
    subscription.show(ended(state))
    [(_, message)] = answer_of(await Reader(subscription).end())

    assert (message["type"], message["content"]) == ("ai", "".join(WORDS))


async def test_an_answer_that_begins_anew_is_another_message():
    subscription, state = watched()
    reader = Reader(subscription)
    await reader.until(2)
    say(subscription, "There", " were")
    await reader.until(4)
    say(subscription, *WORDS)
    await reader.until(4 + len(WORDS))
    subscription.show(ended(state))
    told = answer_of(await reader.end())

    names = list(dict.fromkeys(one["id"] for _, one in told))
    by_name = {
        name: "".join(one["content"] for _, one in told if one["id"] == name) for name in names
    }
    assert [*by_name.values()] == ["There were", "".join(WORDS), "".join(WORDS)]


async def test_the_process_that_ends_closes_a_stream_without_an_end():
    subscription, _ = watched()
    reader = Reader(subscription)
    await reader.until(2)
    subscription.close()
    async with asyncio.timeout(60):
        assert await reader.end() == reader.told


async def test_what_was_stored_just_now_and_is_not_shown_yet_is_told_whole() -> None:
    """The storage has it a moment before those who watch hear of it."""
    begun = planned(queued())
    later = attempted(begun)
    watched = RunSubscription()
    watched.show(begun)

    async def stored(*_: Any, **__: Any) -> list[Any]:
        watched.close()  # it is all that this reader is told
        return [SimpleNamespace(values=split(state)) for state in (later, begun)]

    threads = SimpleNamespace(snapshots=stored)
    runs: Any = SimpleNamespace(threads=threads, broadcaster=SimpleNamespace(shared=False))
    reading = Reading(runs, Teller(["updates", "custom"], {}, "thread"), begun["run_id"], None)
    told = b"".join([part async for part in reading.encoded(watched, 60)]).decode()
    numbers = [int(number) for number in re.findall(r"^id: (\d+)-0\r?$", told, re.MULTILINE)]
    assert numbers[-1] == len(events(later)) > len(events(begun))
    assert told.count("event: updates") == 2
