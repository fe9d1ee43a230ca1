"""The events that a graph worked with by hand tells in the stream mode `custom`."""

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from examples.flaky import fail_times
from graph.build import RunGraph, build_graph
from graph.record.events import Event, events
from graph.state import DEFAULT_LIMITS, Channels, whole
from tools.loading import BUILTIN
from tools.registry import make_tools

CONFIG: Any = {"configurable": {"thread_id": "one"}}


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
