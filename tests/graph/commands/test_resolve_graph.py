"""A step in doubt in a graph that is worked with by hand, as Studio lets people."""

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from graph.build import RunGraph, build_graph
from graph.record.events import events
from graph.record.record import record_of
from graph.state import RunState
from tests.support.runs.channels import flat
from tools.registry import make_tools, tool

CONFIG: Any = {"configurable": {"thread_id": "one"}}

calls: list[str] = []


@tool("pay", phrases=["pay {words}"])
async def pay(words: str) -> str:
    """Lose the connection at the first call."""
    calls.append(words)
    if len(calls) == 1:
        raise ConnectionResetError
    return words


@pytest.fixture
def graph() -> RunGraph:
    calls.clear()
    return build_graph(make_tools([pay]), checkpointer=InMemorySaver(), store=InMemoryStore())


async def asked(graph: RunGraph) -> Any:
    paused = flat(await graph.ainvoke({"prompt": "pay milk, then pay bread"}, CONFIG))
    return paused["__interrupt__"][0].value


async def test_studio_shows_what_is_known_and_takes_a_word(graph: RunGraph) -> None:
    question = await asked(graph)
    done = flat(await graph.ainvoke(Command(resume="redo"), CONFIG))

    assert (question["step"], question["tool"], question["input"]) == (1, "pay", {"words": "milk"})
    assert question["known"].endswith("it may have acted")
    assert calls == ["milk", "milk", "bread"]
    assert done["status"] == "completed"


async def test_studio_takes_an_output(graph: RunGraph) -> None:
    await asked(graph)
    done = flat(await graph.ainvoke(Command(resume={"as": "done", "output": 7}), CONFIG))

    assert (done["status"], calls) == ("completed", ["milk", "bread"])
    assert [event["type"] for event in events(done)][-6:] == [
        *("run.waiting", "run.resolved", "step.started", "step.completed"),
        *("run.completed", "end"),
    ]


@pytest.mark.parametrize("answer", ["perhaps", True, {"as": "skip", "output": 1}])
async def test_an_answer_that_decides_nothing_is_asked_again(graph: RunGraph, answer: Any) -> None:
    await asked(graph)
    again = flat(await graph.ainvoke(Command(resume=answer), CONFIG))

    assert again["__interrupt__"][0].value["reasons"]
    assert (again["status"], calls) == ("waiting", ["milk"])


async def test_every_step_may_be_left_out_by_hand(graph: RunGraph) -> None:
    await graph.ainvoke({"prompt": "pay milk"}, CONFIG)
    done = flat(await graph.ainvoke(Command(resume="skip"), CONFIG))

    assert (done["status"], done["error"], done["result"]["output"]) == ("completed", None, None)


async def test_a_step_that_is_gone_back_to_is_not_called_a_second_time(graph: RunGraph) -> None:
    """Its call has returned on another branch of the thread, under the same key."""
    calls.append("before")
    await graph.ainvoke({"prompt": "pay milk"}, CONFIG)
    past = [one async for one in graph.aget_state_history(CONFIG)]
    first = next(one for one in past if one.next == ("execute_step",))
    again = flat(await graph.ainvoke(None, first.config))

    assert calls == ["before", "milk"]
    assert again["result"]["output"] == "milk"


async def test_a_record_of_an_earlier_version_asks_nothing(graph: RunGraph) -> None:
    await graph.ainvoke({"prompt": "pay milk"}, CONFIG)
    state: Any = flat((await graph.aget_state(CONFIG)).values)
    entry = {key: value for key, value in state["log"][0].items() if key != "expires_at"}
    former: RunState = {**state, "status": "waiting", "log": [{**entry, "status": "timeout"}]}
    record = record_of(former)

    assert record["in_doubt"] is None
    assert record["actions"] == ["cancel", "approve", "reject"]
