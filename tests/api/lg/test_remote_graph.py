"""The server as a graph among others, by LangGraph's `RemoteGraph`, called in both of its ways."""

import random
import uuid
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command
from langgraph_sdk.errors import UnprocessableEntityError
from typing_extensions import TypedDict

from tests.support.servers.lg.clients import GRAPHS
from tests.support.servers.proxies.cutting import cutting

PROMPT = {"prompt": "calculate 6 * 7"}
TASK = {"prompt": "add a todo to buy milk, then calculate 6 * 7"}
MODES = ["values", "updates", "messages", "custom", "tasks"]

#: Most of them are slow ones.
SOME_STREAMS = pytest.mark.parametrize(
    "streams", [4, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.calls])]
)


@pytest.fixture(params=[*GRAPHS])
def opened(request):
    """What makes such a graph of a server."""
    return GRAPHS[request.param]


@pytest.fixture
def remote(server, opened):
    """The graph of the server."""
    with opened(f"{server.url}/lg") as graph:
        yield graph


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


def test_it_goes_on_from_a_checkpoint_and_from_a_state_that_was_edited(remote, config):
    remote.invoke(TASK, config)
    _, _, due, *_ = remote.get_state_history(config, limit=10)
    assert (due.next, due.values["run"]["cursor"]) == (("execute_step",), 1)
    assert remote.get_state(due.config) == due
    again = remote.invoke(None, config, checkpoint=due.config["configurable"])
    assert again["result"]["output"] == 42

    plan = due.values["plan"]
    plan["steps"][1]["input"] = {"expression": "6 * 8"}
    forked = remote.update_state(due.config, {"plan": plan})
    assert remote.get_state(config).config == forked
    assert remote.get_state(config).next == ("execute_step",)
    assert remote.invoke(None, config)["result"]["output"] == 48


@SOME_STREAMS
# A stream that is cut before its first id is told from the beginning.
@pytest.mark.filterwarnings("ignore:Reconnecting without")
def test_its_streams_cut_at_random_bytes_lose_and_repeat_nothing(
    server, hurried, opened, lg, config, streams
):
    chosen = random.Random(3)
    thread = config["configurable"]["thread_id"]
    with cutting(server.url) as proxy, opened(f"{proxy.url}/lg") as remote:
        for _ in range(streams):  # each is cut twice
            proxy.cut(chosen.randrange(1, 15_000), chosen.randrange(1, 9_000))
            told = [(one.event, one.data) for one in remote.stream(TASK, config, stream_mode=MODES)]
            [run] = lg.runs.list(thread, limit=1)
            given = {
                "stream_mode": ["messages-tuple" if one == "messages" else one for one in MODES]
            }
            again = [*lg.runs.join_stream(thread, run["run_id"], **given)][1:-1]
            assert [(kind, [*data] if kind == "messages" else data) for kind, data in told] == [
                (one.event, one.data) for one in again
            ]
        assert proxy.made == 2 * streams


def test_it_is_resumed(remote, config):
    asked = remote.invoke(PROMPT, config, context={"approve": True})
    assert asked["__interrupt__"][0]["value"]["tools"]
    assert remote.get_state(config).interrupts[0].value["tools"]
    assert remote.invoke(Command(resume=True), config)["result"]["output"] == 42


class State(TypedDict, total=False):
    """What a graph around it has."""

    prompt: str
    result: dict[str, Any]


@pytest.fixture
def around(server):
    """A graph of which it is a node."""
    graph = StateGraph(State)
    graph.add_edge(START, "server")
    with GRAPHS["synchronous"](f"{server.url}/lg") as node:
        graph.add_node("server", node)
        yield graph.compile(checkpointer=InMemorySaver())


def test_it_is_a_node_of_another_graph_that_a_server_of_langgraph_executes(around, lg, config):
    """Which knows its runs by more than runs here can be."""
    names = ["graph_id", "assistant_id", *(f"langgraph_{number}" for number in range(15))]
    metadata = {**dict.fromkeys(names, "another"), "who": "me"}
    assert around.invoke(PROMPT, {**config, "metadata": metadata})["result"]["output"] == 42
    [run] = lg.runs.list(config["configurable"]["thread_id"])
    assert run["metadata"]["who"] == "me"
    assert run["metadata"]["graph_id"] == "runwright"
    assert not [name for name in run["metadata"] if name.startswith("langgraph_")]


def test_what_it_asks_as_a_node_of_another_graph_is_asked_there(around, remote, config):
    asking = {"configurable": {**config["configurable"], "approve": True}}
    around.invoke(PROMPT, asking)
    [asked] = around.get_state(config).interrupts
    assert asked == remote.get_state(config).interrupts[0]
    # Its answer is not passed on by LangGraph: it is given at the thread.
    with pytest.raises(UnprocessableEntityError, match="__pregel_resuming: is not supported"):
        around.invoke(Command(resume=True), asking)
    assert remote.invoke(Command(resume=True), config)["result"]["output"] == 42
