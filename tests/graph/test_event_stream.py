"""The events that a graph worked with by hand tells in the stream mode `custom`."""

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from examples.flaky import fail_times
from graph.build import RunGraph, build_graph
from graph.models.breaker import CircuitBreaker
from graph.record.events import Event, events
from graph.state import DEFAULT_LIMITS, Channels, whole
from nodes.planning.model import ModelLadder
from tests.support.models.rounds import calculating, model, round_of_steps
from tests.support.models.scripted_models import Turn, answer, outage
from tools.loading import BUILTIN
from tools.registry import make_tools

CONFIG: Any = {"configurable": {"thread_id": "one"}}

CHAT: Any = ["messages", "custom"]


def graph_of(**options: Any) -> RunGraph:
    return build_graph(
        make_tools([*BUILTIN, fail_times]),
        checkpointer=InMemorySaver(),
        store=InMemoryStore(),
        limits={**DEFAULT_LIMITS, "backoff": 0.0},
        **options,
    )


async def told(graph: RunGraph, given: Any, config: Any = CONFIG) -> list[Event]:
    return [event async for event in graph.astream(given, config, stream_mode="custom")]


async def kept(graph: RunGraph) -> list[Event]:
    """The events of the record that the thread has now."""
    return events(whole((await graph.aget_state(CONFIG)).values))


@pytest.mark.parametrize(
    "prompt", ["2 + 2, then 3 + 3", "fail 2 times", "fail 9 times", "reticulate", "", "1 / 0"]
)
async def test_what_is_told_are_the_events_of_the_record(prompt: str) -> None:
    graph = graph_of()
    live = await told(graph, {"prompt": prompt})

    assert live == await kept(graph)
    assert live[-1]["type"] == "end"


async def test_a_second_run_on_the_thread_tells_its_own() -> None:
    graph = graph_of()
    await told(graph, {"prompt": "2 + 2"})
    live = await told(graph, {"prompt": "3 + 3, then 4 + 4"})

    assert live == await kept(graph)
    assert live[0]["id"] == 1


async def test_an_answer_tells_what_follows_from_it() -> None:
    graph = graph_of(approve="always")
    asked = await told(graph, {"prompt": "2 + 2"})
    answered = await told(graph, Command(resume=True))

    assert asked[-1]["type"] == "run.waiting"
    assert answered[0]["type"] == "run.approved"
    assert asked + answered == await kept(graph)


async def test_a_plan_edited_into_none_ends_with_its_failure() -> None:
    graph = graph_of()
    await told(graph, {"prompt": "2 + 2"})
    [before, *_] = [
        snapshot
        async for snapshot in graph.aget_state_history(CONFIG)
        if snapshot.next == ("execute_step",)
    ]
    config = await graph.aupdate_state(before.config, {"plan": "none"})
    live = await told(graph, None, config)

    assert [event["type"] for event in live] == ["run.failed", "end"]


async def test_a_graph_behind_a_server_tells_nothing() -> None:
    """Its watchers are told after the checkpoint is stored, and it pays for no second telling."""
    assert await told(graph_of(input_schema=Channels), {"prompt": "2 + 2"}) == []


# Answers in words, as a chat shows them.


def answering(*script: Turn) -> RunGraph:
    only = model(*script)
    breaker = CircuitBreaker((), threshold=9, pause=9.0)
    models = {only.name: only}
    ladder = ModelLadder(models=models, order=[*models], breaker=breaker, answer="auto")
    return graph_of(ladder=ladder)


async def test_a_chat_shows_the_words_of_the_answer_and_never_a_plan() -> None:
    graph = answering(calculating("6 * 7"), answer("<think>hm</think>It is forty-two."))
    parts = [part async for part in graph.astream({"prompt": "6 * 7"}, CONFIG, stream_mode=CHAT)]
    chat = [part[0] for mode, part in parts if mode == "messages"]
    deltas = [part for mode, part in parts if mode == "custom" and part["type"] == "answer.delta"]

    assert [message.content for message in chat] == ["It", " is", " forty-two."]
    assert len({message.id for message in chat}) == 1
    assert [(part["data"]["text"], part["data"]["offset"]) for part in deltas] == [
        ("It", 0),
        (" is", 2),
        (" forty-two.", 5),
    ]
    kinds = [part["type"] for mode, part in parts if mode == "custom"]
    assert kinds.index("answer.delta") > kinds.index("step.completed")
    assert kinds[-3:] == ["answer.attempt", "run.completed", "end"]


async def test_a_chat_shows_an_answer_without_tools_in_one_part() -> None:
    graph = answering(round_of_steps(says="Paris."))
    parts = [part async for part in graph.astream({"prompt": "?"}, CONFIG, stream_mode="messages")]

    assert [message.content for message, _ in parts] == ["Paris."]
    state = whole((await graph.aget_state(CONFIG)).values)
    assert state["status"] == "completed"
    assert state["result"]
    assert state["result"]["summary"] == "answered without tools; nothing was done"


async def test_a_chat_shows_nothing_where_no_answer_comes() -> None:
    graph = answering(calculating("6 * 7"), outage())
    parts = [part async for part in graph.astream({"prompt": "?"}, CONFIG, stream_mode="messages")]

    assert parts == []
