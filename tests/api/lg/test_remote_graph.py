"""The server as a graph among others, by LangGraph's `RemoteGraph`."""

import uuid

import pytest
from langgraph.graph import START, StateGraph
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command
from typing_extensions import TypedDict

PROMPT = {"prompt": "calculate 6 * 7"}


@pytest.fixture
def remote(server, lg):
    """The graph of the server."""
    return RemoteGraph("runwright", client=None, sync_client=lg)


@pytest.fixture
def config():
    """A thread that is not there yet."""
    return {"configurable": {"thread_id": str(uuid.uuid4())}}


def test_it_is_drawn(remote):
    assert {"plan", "fallback_plan", "execute_step", "finalize"} <= {*remote.get_graph().nodes}


def test_it_is_invoked_with_and_without_a_thread(remote, config):
    assert remote.invoke(PROMPT)["result"]["output"] == 42
    assert remote.invoke(PROMPT, config)["result"]["output"] == 42
    state = remote.get_state(config)
    assert (state.values["result"]["output"], state.next) == (42, ())
    history = [*remote.get_state_history(config, limit=50)]
    assert history[0].values == state.values
    assert (
        history[0].parent_config["configurable"]["checkpoint_id"]
        == (history[1].config["configurable"]["checkpoint_id"])
    )


def test_it_streams_updates_and_messages(remote, config):
    told = [*remote.stream(PROMPT, config, stream_mode=["updates", "messages"])]
    assert {"updates", "messages"} == {mode for mode, *_ in [(one.event,) for one in told]}
    updates = [*remote.stream(PROMPT, config)]
    assert [*updates[-1]] == ["finalize"]


def test_it_is_resumed(remote, config):
    asked = remote.invoke(PROMPT, config, context={"approve": True})
    assert asked["__interrupt__"][0]["value"]["tools"]
    assert remote.get_state(config).interrupts[0].value["tools"]
    assert remote.invoke(Command(resume=True), config)["result"]["output"] == 42


def test_it_is_a_node_of_another_graph(remote):
    class State(TypedDict, total=False):
        prompt: str
        result: dict

    graph = StateGraph(State)
    graph.add_node("server", remote)
    graph.add_edge(START, "server")
    assert graph.compile().invoke(PROMPT)["result"]["output"] == 42
