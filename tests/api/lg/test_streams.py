"""Streams: what they tell, under which ids, and that nothing of it is lost or told twice."""

import json
import random
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.errors import UnprocessableEntityError

from tests.support.patience import patience, wait_until
from tests.support.servers.proxies.cutting import cutting
from tests.support.servers.server_process import serving

PROMPT = {"prompt": "add a todo to buy milk, then calculate 6 * 7, then show me all my tasks"}

ALL = [
    *("values", "updates", "messages-tuple", "custom", "lifecycle"),
    *("tasks", "debug", "checkpoints"),
]


def parts(stream: Any) -> list[tuple[str | None, str, Any]]:
    """Ids, kinds and data of what is streamed."""
    return [(part.id, part.event, part.data) for part in stream]


def order(found: list[tuple[str | None, str, Any]]) -> list[tuple[int, ...]]:
    """The ids as what they are sorted by."""
    return [tuple(map(int, name.split("-"))) for name, _, _ in found if name]


def test_a_stream_begins_with_the_run_and_ends_with_how_it_ended(lg, thread):
    told = parts(lg.runs.stream(thread, "runwright", input=PROMPT, stream_mode=ALL))

    run_id = told[0][2]["run_id"]
    assert told[0][1:] == ("metadata", {"run_id": run_id, "attempt": 1})
    assert told[-1][1:] == ("end", {"run_id": run_id, "status": "success"})
    assert order(told) == sorted(set(order(told)))
    assert {kind for _, kind, _ in told[1:-1]} == {
        *("values", "updates", "messages", "custom", "lifecycle"),
        *("tasks", "debug", "checkpoints"),
    }


def test_values_are_those_of_the_checkpoints_in_their_order(lg, thread):
    told = parts(lg.runs.stream(thread, "runwright", input=PROMPT))

    history = lg.threads.get_history(thread, limit=100)[::-1]
    values = [data for _, kind, data in told if kind == "values"]
    assert values[1:] == [one["values"] for one in history]
    assert values[0]["messages"][0]["content"] == PROMPT["prompt"]


def test_updates_are_named_by_the_nodes_that_the_history_has(lg, thread):
    told = parts(lg.runs.stream(thread, "runwright", input=PROMPT, stream_mode="updates"))

    nodes = [name for _, kind, data in told if kind == "updates" for name in data]
    following = [one["next"][0] for one in lg.threads.get_history(thread, limit=100)[::-1][:-1]]
    assert nodes == ["plan", *following]
    logged = [data["execute_step"]["log"] for _, kind, data in told if "execute_step" in data]
    assert [len(entries) for entries in logged] == [1, 1, 1]


def test_each_task_begins_and_ends_under_the_id_that_the_state_has(server, lg, thread):
    run = lg.runs.create(thread, "runwright", input={"prompt": "pass gate traced"})
    stream = iter(lg.runs.join_stream(thread, run["run_id"], stream_mode="tasks"))
    told = []
    while not told or told[-1][2].get("name") != "execute_step":
        part = next(stream)
        told.append((part.id, part.event, part.data))
    # It is told while the task goes on.
    [task] = lg.threads.get_state(thread)["tasks"]
    assert task["id"] == told[-1][2]["id"]
    assert lg.runs.get(thread, run["run_id"])["status"] == "running"
    server.open_gate("traced")
    told += parts(stream)

    tasks = [data for _, kind, data in told if kind == "tasks"]
    begun = [one["id"] for one in tasks if "triggers" in one]
    assert [one["id"] for one in tasks if "result" in one] == begun
    assert tasks[-1]["result"]["result"]["output"] == "traced"
    again = lg.runs.join_stream(thread, run["run_id"], stream_mode="tasks")
    assert parts(again) == told


def test_checkpoints_are_those_of_the_history_and_debug_has_both(lg, thread):
    modes = ["checkpoints", "debug", "tasks"]
    told = parts(lg.runs.stream(thread, "runwright", input=PROMPT, stream_mode=modes))

    history = lg.threads.get_history(thread, limit=100)[::-1]
    found = [data for _, kind, data in told if kind == "checkpoints"]
    for name in ("values", "next", "metadata", "checkpoint", "parent_checkpoint"):
        assert [one[name] for one in found] == [one[name] for one in history]
    assert found[0]["config"]["configurable"] == found[0]["checkpoint"]
    debug = [data for _, kind, data in told if kind == "debug"]
    assert [one["payload"] for one in debug if one["type"] == "checkpoint"] == found
    tasks = [data for _, kind, data in told if kind == "tasks"]
    assert [one["payload"] for one in debug if one["type"] != "checkpoint"] == tasks
    steps = [one["step"] for one in debug if one["type"] == "checkpoint"]
    assert steps == sorted(steps)
    times = [one["timestamp"] for one in debug if one["type"] == "checkpoint"]
    assert times == [one["created_at"] for one in history]
    # What has come of a task by now is not told of the checkpoint that it was due at.
    assert {task["result"] for one in found for task in one["tasks"]} == {None}
    [run] = lg.runs.list(thread)
    assert parts(lg.runs.join_stream(thread, run["run_id"], stream_mode=modes)) == told


def test_a_task_that_asks_ends_with_its_question(lg, thread):
    context = {"approve": True}
    given = {"input": PROMPT, "stream_mode": "tasks", "context": context}
    told = [one.data for one in lg.runs.stream(thread, "runwright", **given)]

    [question] = lg.threads.get_state(thread)["interrupts"]
    assert told[-2]["interrupts"] == [question]
    assert told[-3]["id"] == told[-2]["id"]


def test_custom_events_are_those_of_the_record(server, lg, thread):
    told = parts(lg.runs.stream(thread, "runwright", input=PROMPT, stream_mode="custom"))

    run_id = told[0][2]["run_id"]
    events = server.client.get(f"/runs/{run_id}/events").json()["events"]
    assert [data["type"] for _, kind, data in told if kind == "custom"] == [
        event["type"] for event in events
    ]


def test_a_run_that_fails_tells_why_and_ends_as_an_error(lg, thread):
    asked = {"prompt": "frobnicate the xyzzy"}
    told = parts(lg.runs.stream(thread, "runwright", input=asked))

    assert [kind for _, kind, _ in told[-2:]] == ["error", "end"]
    assert told[-2][2]["error"] == "not_understood"
    assert told[-1][2]["status"] == "error"
    with pytest.raises(Exception, match="not_understood"):
        lg.runs.wait(thread, "runwright", input=asked)
    quiet = lg.runs.wait(thread, "runwright", input=asked, raise_error=False)
    assert [*quiet["__error__"]] == ["error", "message"]


def test_who_comes_again_is_told_what_comes_after_the_id(lg, thread):
    told = parts(lg.runs.stream(thread, "runwright", input=PROMPT, stream_mode=ALL))
    run_id = told[0][2]["run_id"]

    def again(last: str | None) -> list[tuple[str | None, str, Any]]:
        stream = lg.runs.join_stream(thread, run_id, stream_mode=ALL, last_event_id=last)
        return parts(stream)

    assert again(None) == told
    assert again("-1") == told
    for place, (name, _, _) in enumerate(told[:-1]):
        assert again(name) == told[place + 1 :]
    with pytest.raises(UnprocessableEntityError):
        again("yesterday")


@pytest.mark.parametrize(
    "streams", [5, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.calls])]
)
# A stream that is cut before its first id is told from the beginning.
@pytest.mark.filterwarnings("ignore:Reconnecting without")
def test_a_stream_cut_at_random_bytes_loses_and_repeats_nothing(
    server, hurried, lg, thread, streams
):
    with cutting(server.url) as proxy:
        client = get_sync_client(url=f"{proxy.url}/lg")
        whole = parts(client.runs.stream(thread, "runwright", input=PROMPT, stream_mode=ALL))
        size = sum(len(str(data)) for _, _, data in whole)
        chosen = random.Random(5)
        for _ in range(streams):
            proxy.cut(*(chosen.randrange(1, size // 3) for _ in range(chosen.randrange(1, 4))))
            stream = client.runs.stream(thread, "runwright", input=PROMPT, stream_mode=ALL)
            told = parts(stream)
            run_id = told[0][2]["run_id"]
            again = lg.runs.join_stream(thread, run_id, stream_mode=ALL, last_event_id="-1")
            assert told == parts(again)
        assert proxy.made >= streams
        client.http.client.close()


def test_a_watcher_that_joins_in_the_middle_is_told_what_was_before(server, lg, thread):
    run = lg.runs.create(thread, "runwright", input={"prompt": "pass gate middle"})
    stream = lg.runs.join_stream(thread, run["run_id"], stream_mode="values")
    first = [next(iter(stream)).event, next(iter(stream)).event]
    server.open_gate("middle")
    assert first == ["metadata", "values"]
    assert [part.event for part in stream][-1] == "end"


def test_a_quiet_stream_is_kept_alive(server, lg, thread):
    run = lg.runs.create(thread, "runwright", input={"prompt": "pass gate quiet"})
    path = f"{server.url}/lg/threads/{thread}/runs/{run['run_id']}/stream"
    with httpx.stream("GET", path, timeout=patience()) as answer:
        assert next(line for line in answer.iter_lines() if line.startswith(":")) == ": heartbeat"
    server.open_gate("quiet")


def test_a_wait_that_takes_long_is_kept_alive_by_blank_lines(server, lg, thread):
    asked = {"assistant_id": "runwright", "input": {"prompt": "pass gate long"}}
    path = f"{server.url}/lg/threads/{thread}/runs/wait"
    with httpx.stream("POST", path, json=asked, timeout=patience(), trust_env=False) as answer:
        parts = answer.iter_bytes()
        assert next(parts).strip() == b""
        server.open_gate("long")
        assert json.loads(b"".join(parts))["result"]["output"] == "long"


def test_a_stream_is_told_after_a_restart_as_it_was_before(tmp_path):
    told = []
    for _ in range(2):
        with serving(tmp_path) as started, get_sync_client(url=f"{started.url}/lg") as client:
            if not told:
                thread = client.threads.create()["thread_id"]
                told = parts(client.runs.stream(thread, "runwright", input=PROMPT, stream_mode=ALL))
            for place in (0, len(told) // 2):
                given = {"stream_mode": ALL, "last_event_id": told[place][0]}
                rest = client.runs.join_stream(thread, told[0][2]["run_id"], **given)
                assert parts(rest) == told[place + 1 :]


@pytest.mark.parametrize("leaves", ["cancel", "continue"])
def test_who_leaves_a_wait_cancels_only_where_that_was_asked_for(server, lg, thread, leaves):
    name = f"waited-{leaves}"
    asked = {
        "assistant_id": "runwright",
        "input": {"prompt": f"pass gate {name}"},
        "on_disconnect": leaves,
    }
    body = json.dumps(asked).encode()
    place = urlsplit(server.url)
    head = (
        f"POST /lg/threads/{thread}/runs/wait HTTP/1.1\r\nhost: {place.netloc}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((place.hostname, place.port)) as client:
        client.sendall(head.encode() + body)
        [run] = wait_until(lambda: lg.runs.list(thread))
    if leaves == "continue":
        server.open_gate(name)
    ended = server.settled(run["run_id"])["status"]
    assert ended == {"cancel": "cancelled", "continue": "completed"}[leaves]


def test_who_leaves_cancels_only_where_that_was_asked_for(server, lg, thread):
    kept = lg.runs.create(thread, "runwright", input={"prompt": "pass gate kept"})
    watching = lg.runs.join_stream(thread, kept["run_id"])
    next(iter(watching))
    watching.close()
    assert lg.runs.get(thread, kept["run_id"])["status"] in ("pending", "running")
    server.open_gate("kept")
    assert server.settled(kept["run_id"])["status"] == "completed"

    prompt = {"prompt": "pass gate left"}
    left = lg.runs.stream(thread, "runwright", input=prompt, on_disconnect="cancel")
    run_id = next(iter(left)).data["run_id"]
    left.close()
    assert server.settled(run_id)["status"] == "cancelled"


# A thread that is followed over its runs.


def told_of(stream, ends):
    """What is told until so many runs have ended."""
    told = []
    for part in stream:
        told.append((part.id, part.event, part.data))
        if sum(kind == "end" for _, kind, _ in told) == ends:
            break
    stream.close()
    return told


def test_a_thread_that_is_followed_is_told_of_each_run_from_now_on(server, lg, thread):
    lg.runs.wait(thread, "runwright", input={"prompt": "calculate 1 + 1"})
    for prompt in ("pass gate followed", "calculate 2 + 2"):
        lg.runs.create(thread, "runwright", input={"prompt": prompt})
    stream = iter(lg.threads.join_stream(thread))
    first = next(stream)
    server.open_gate("followed")
    told = [(first.id, first.event, first.data), *told_of(stream, 2)]

    results = [data["result"] for _, kind, data in told if kind == "values"]
    assert [one["output"] for one in results if one] == ["followed", 4]
    everything = told_of(lg.threads.join_stream(thread, last_event_id="-1"), 3)
    assert everything[-len(told) :] == told
    for place in (0, len(told) // 2):
        left = told[place + 1 :]
        ends = sum(kind == "end" for _, kind, _ in left)
        rest = told_of(lg.threads.join_stream(thread, last_event_id=told[place][0]), ends)
        assert rest == left


def test_only_beginnings_and_ends_are_told_where_that_is_asked_for(lg, thread):
    lg.runs.wait(thread, "runwright", input={"prompt": "calculate 1 + 1"})
    stream = lg.threads.join_stream(thread, stream_mode="lifecycle", last_event_id="-1")
    told = told_of(stream, 1)
    assert [kind for _, kind, _ in told] == ["metadata", *["lifecycle"] * 3, "end"]


def test_what_cannot_be_followed_is_refused(lg, thread):
    for given in ({"stream_mode": "state_update"}, {"last_event_id": "yesterday"}):
        with pytest.raises(UnprocessableEntityError):
            next(iter(lg.threads.join_stream(thread, **given)))
