"""What is not supported is refused with the reason, and nothing is taken and ignored."""

from typing import Any

import pytest

THREAD = "0a1b2c3d-0000-4000-8000-000000000000"

PROMPT: dict[str, Any] = {"assistant_id": "runwright", "input": {"prompt": "calculate 6 * 7"}}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"interrupt_before": ["plan"]}, "interrupt_before"),
        ({"interrupt_after": "*"}, "interrupt_after"),
        ({"after_seconds": 5}, "after_seconds"),
        ({"feedback_keys": ["x"]}, "feedback_keys"),
        ({"durability": "exit"}, "durability"),
        ({"checkpoint_during": False}, "durability"),
        ({"multitask_strategy": "rollback"}, "multitask_strategy"),
        ({"multitask_strategy": "interrupt"}, "multitask_strategy"),
        ({"on_completion": "delete"}, "on_completion"),
        ({"stream_mode": ["events"]}, "stream_mode"),
        ({"stream_mode": "tools"}, "stream_mode"),
        ({"config": {"recursion_limit": 5}}, "config.recursion_limit"),
        ({"config": {"tags": ["x"]}}, "config.tags"),
        ({"config": {"configurable": {"user_id": "x"}}}, "config.configurable.user_id"),
        ({"context": {"temperature": 1}}, "context.temperature"),
        ({"command": {"goto": "plan"}}, "command.goto"),
        ({"command": {"update": {"plan": {}}}}, "command.update"),
        ({"command": {"resume": True}}, "command.resume"),
        ({"checkpoint_id": "x"}, "checkpoint"),
        ({"input": {"question": "?"}}, "input.question"),
        ({"input": {"prompt": 3}}, "input.prompt"),
        ({"input": {"messages": [{"type": "ai", "content": "x"}]}}, "input.messages"),
        ({"input": {"messages": [{"type": "system", "content": "x"}]}}, "input.messages"),
        ({"input": {}}, "input"),
        ({"input": None}, "input"),
        ({"metadata": {"graph_id": "another"}}, "metadata.graph_id"),
        ({"metadata": {"assistant_id": "another"}}, "metadata.assistant_id"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_option_that_is_not_supported_is_a_422_that_names_it(server, given, field):
    answer = server.client.post("/lg/runs/wait", json=PROMPT | given)

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("method", "path", "given", "field"),
    [
        ("POST", "/threads", {"metadata": {"graph_id": "another"}}, "metadata.graph_id"),
        ("POST", "/threads", {"ttl": 60}, "ttl"),
        ("POST", "/threads/search", {"values": {"a": 1}}, "values"),
        ("GET", "/assistants/runwright/graph?xray=much", None, "xray"),
        ("GET", "/assistants/runwright/subgraphs?recurse=much", None, "recurse"),
        ("GET", "/ok?check_db=perhaps", None, "check_db"),
    ],
)
def test_no_other_call_takes_and_ignores_anything(server, method, path, given, field):
    answer = server.client.request(method, f"/lg{path}", json=given)

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


def test_a_thread_is_not_made_one_of_another_graph(server, thread):
    given = {"metadata": {"graph_id": "another"}}
    answer = server.client.patch(f"/lg/threads/{thread}", json=given)
    assert (answer.status_code, answer.json()["errors"]) == (
        422,
        [{"field": "metadata.graph_id", "message": "is runwright, or left out"}],
    )


def test_a_reason_is_told_in_our_words(server):
    told = server.client.post("/lg/threads", json={"ttl": 60}).json()
    assert told["detail"] == "ttl: RUNWRIGHT_RETENTION says how long runs are kept"


def test_two_places_that_contradict_each_other_are_refused(server, lg, thread):
    lg.runs.wait(thread, "runwright", input=PROMPT["input"])
    newest, older = [one["checkpoint"] for one in lg.threads.get_history(thread, limit=2)]
    asked = {"checkpoint": newest, "checkpoint_id": older["checkpoint_id"]}
    state = server.client.post(f"/lg/threads/{thread}/state", json=asked | {"values": None})
    assert state.json()["errors"][0]["field"] == "checkpoint_id"
    asked = {"checkpoint": newest, "before": older}
    told = server.client.post(f"/lg/threads/{thread}/history", json=asked)
    assert told.json()["errors"][0]["field"] == "before"
    from_there = lg.threads.get_history(thread, checkpoint=older, limit=1)
    assert [one["checkpoint"] for one in from_there] == [older]
    another = {"run_id": THREAD}
    assert lg.threads.get_history(thread, checkpoint=older, metadata=another) == []


def test_the_database_is_looked_at_where_that_is_asked_for(server):
    assert server.client.get("/lg/ok?check_db=1").json() == {"ok": True}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/assistants"),
        ("POST", "/threads/count"),
        ("POST", "/threads/prune"),
        ("POST", f"/threads/{THREAD}/copy"),
        ("POST", f"/threads/{THREAD}/commands"),
        ("POST", f"/threads/{THREAD}/stream/events"),
        ("POST", "/runs/batch"),
        ("POST", "/runs/cancel"),
        ("POST", "/runs/crons/search"),
        ("PUT", "/store/items"),
    ],
)
def test_an_area_that_there_is_not_is_a_501(server, method, path):
    answer = server.client.request(method, f"/lg{path}", json={})

    assert answer.status_code == 501, answer.text
    assert "flags" in answer.json()["detail"]


def test_the_flags_say_what_there_is(server):
    told = server.client.get("/lg/info").json()

    assert (told["version"], told["flags"]["assistants"]) == ("0.16.7", True)
    assert not told["flags"]["crons"]
    assert not told["flags"]["langsmith"]
    assert told["flags"]["strict_resume"]


@pytest.mark.parametrize("path", ["/threads/x", "/threads/x/state", "/threads/x/runs/y"])
def test_an_id_that_is_none_is_a_422(server, path):
    assert server.client.get(f"/lg{path}").status_code == 422


def test_a_parameter_of_the_address_that_is_not_known_is_a_422(server):
    answer = server.client.get("/lg/assistants/runwright?verbose=1")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "verbose"


def test_a_body_that_is_no_json_is_a_422(server):
    sent = {"content": b'{"a": 1, "a": 2}', "headers": {"content-type": "application/json"}}
    answer = server.client.post("/lg/threads", **sent)

    assert answer.status_code == 422
    assert "JSON" in answer.json()["detail"]
