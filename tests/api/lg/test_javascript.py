"""The official JavaScript client: every call, streams that are cut, and what chat pages do."""

import random
import uuid

import pytest

from tests.support.servers.cutting_proxy import cutting
from tests.support.servers.lg.javascript import JavaScriptError, javascript

PROMPT = {"prompt": "add a todo to buy milk, then calculate 6 * 7, then show me all my tasks"}
ALL = [
    *("values", "updates", "messages-tuple", "custom", "lifecycle"),
    *("tasks", "debug", "checkpoints"),
]


@pytest.fixture(scope="module")
def js(server):
    with javascript(f"{server.url}/lg") as client:
        yield client


def human(text):
    """An input as chat pages send it."""
    return {"messages": [{"id": str(uuid.uuid4()), "type": "human", "content": text}]}


def test_every_call_is_answered(server, js):
    [assistant] = js.call("assistants", "search", {"graphId": "runwright"})
    name = assistant["assistant_id"]
    assert js.call("assistants", "get", "runwright") == assistant
    assert len(js.call("assistants", "getGraph", name)["nodes"]) == 6
    assert js.call("assistants", "getSchemas", "runwright")["graph_id"] == "runwright"
    assert js.call("assistants", "getSubgraphs", name) == {}

    thread = js.call("threads", "create", {"metadata": {"by": "js"}})["thread_id"]
    again = {"threadId": thread, "ifExists": "do_nothing"}
    assert js.call("threads", "create", again)["metadata"] == {"by": "js"}
    assert js.call("threads", "update", thread, {"metadata": {"n": "1"}})
    [found] = js.call("threads", "search", {"metadata": {"by": "js"}, "limit": 100})
    assert found["thread_id"] == thread

    values = js.call("runs", "wait", thread, name, {"input": PROMPT})
    assert values["log"][1]["output"] == 42
    state = js.call("threads", "getState", thread)
    assert state["values"] == values
    at = state["checkpoint"]["checkpoint_id"]
    assert js.call("threads", "getState", thread, at) == state
    assert js.call("threads", "getState", thread, state["checkpoint"]) == state
    assert js.call("threads", "getHistory", thread, {"limit": 1}) == [state]

    run = js.call("runs", "create", thread, name, {"input": {"prompt": "pass gate js"}})
    assert js.call("runs", "get", thread, run["run_id"])["status"] in ("pending", "running")
    server.open_gate("js")
    assert js.call("runs", "join", thread, run["run_id"])["result"]["output"] == "js"
    assert len(js.call("runs", "list", thread)) == 2
    assert js.call("runs", "joinStream", thread, run["run_id"])[-1]["event"] == "end"

    held = js.call("runs", "create", thread, name, {"input": {"prompt": "pass gate never"}})
    js.call("runs", "cancel", thread, held["run_id"], True)
    assert js.call("runs", "get", thread, held["run_id"])["cancel_reason"]
    js.call("runs", "delete", thread, held["run_id"])
    assert js.call("runs", "wait", None, name, {"input": PROMPT})["log"]
    js.call("threads", "delete", thread)
    with pytest.raises(JavaScriptError, match="404"):
        js.call("threads", "get", thread)


@pytest.mark.parametrize("cuts", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_a_stream_that_is_cut_loses_and_repeats_nothing(server, js, cuts):
    chosen = random.Random(7)
    with cutting(server.url) as proxy, javascript(f"{proxy.url}/lg") as client:
        for _ in range(cuts):
            proxy.cut(chosen.randrange(200, 30_000), chosen.randrange(200, 9_000))
            thread = client.call("threads", "create")["thread_id"]
            options = {"input": PROMPT, "streamMode": ALL, "streamResumable": True}
            told = client.call("runs", "stream", thread, "runwright", options)
            run_id = told[0]["data"]["run_id"]
            again = {"streamMode": ALL, "lastEventId": "-1"}
            assert told == js.call("runs", "joinStream", thread, run_id, again)
        assert proxy.made == 2 * cuts


def test_a_chat_of_three_turns_with_a_question_and_a_refresh(server, js):
    """As agent-chat-ui calls: it shows `values.messages`, and asks `/info` first."""
    assert server.client.get("/lg/info").status_code == 200
    thread = js.call("threads", "create", {})["thread_id"]
    options = {"streamMode": ["values"], "streamSubgraphs": True, "streamResumable": True}

    told = js.call(
        "runs", "stream", thread, "runwright", options | {"input": human("calculate 20 + 1")}
    )
    assert shown(told)[-1] == ("ai", "1 step done; the result is 21")

    asking = options | {"input": human("double it"), "context": {"approve": True}}
    told = js.call("runs", "stream", thread, "runwright", asking)
    [question] = told[-2]["data"]["__interrupt__"]
    # The page is refreshed: what it knows comes from the server.
    [found] = js.call("threads", "search", {"metadata": {"graph_id": "runwright"}, "ids": [thread]})
    assert found["status"] == "interrupted"
    [state] = js.call("threads", "getHistory", thread, {"limit": 1})
    assert state["tasks"][0]["interrupts"] == [question]
    assert [one["content"] for one in state["values"]["messages"] if one["type"] == "human"] == [
        "calculate 20 + 1",
        "double it",
    ]
    told = js.call("runs", "stream", thread, "runwright", options | {"command": {"resume": True}})
    assert shown(told)[-1] == ("ai", "1 step done; the result is 42")

    sent = {"messages": [*told[-2]["data"]["messages"], *human("add 1 to that")["messages"]]}
    told = js.call("runs", "stream", thread, "runwright", options | {"input": sent})
    assert [kind for kind, _ in shown(told)] == ["human", "ai", "tool", "ai"] * 3
    assert shown(told)[-1][1].endswith("43")


def shown(told):
    """The messages that a page shows at the end."""
    [*_, last] = [part["data"] for part in told if part["event"] == "values"]
    return [(one["type"], one["content"]) for one in last["messages"]]
