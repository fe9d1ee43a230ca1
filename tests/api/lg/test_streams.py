"""Streams: what they tell, under which ids, and that nothing of it is lost or told twice."""

import random
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.errors import UnprocessableEntityError

from tests.support.patience import patience
from tests.support.servers.cutting_proxy import cutting

PROMPT = {"prompt": "add a todo to buy milk, then calculate 6 * 7, then show me all my tasks"}

ALL = ["values", "updates", "messages-tuple", "custom", "lifecycle"]


def parts(stream: Any) -> list[tuple[str | None, str, Any]]:
    """Ids, kinds and data of what is streamed."""
    return [(part.id, part.event, part.data) for part in stream]


def order(found: list[tuple[str | None, str, Any]]) -> list[tuple[int, ...]]:
    """The ids as what they are sorted by."""
    return [tuple(map(int, name.split("-"))) for name, _, _ in found if name]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients come again at once."""
    for module in ("_sync", "_async"):
        name = f"langgraph_sdk.{module}.http._reconnect_delay"
        monkeypatch.setattr(name, lambda *_, **__: 0.01)


def test_a_stream_begins_with_the_run_and_ends_with_how_it_ended(lg, thread):
    told = parts(lg.runs.stream(thread, "runwright", input=PROMPT, stream_mode=ALL))

    run_id = told[0][2]["run_id"]
    assert told[0][1:] == ("metadata", {"run_id": run_id, "attempt": 1})
    assert told[-1][1:] == ("end", {"run_id": run_id, "status": "success"})
    assert order(told) == sorted(set(order(told)))
    assert {kind for _, kind, _ in told[1:-1]} == {
        *("values", "updates", "messages", "custom", "lifecycle")
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


# A stream that is cut before its first id is told from the beginning.
@pytest.mark.filterwarnings("ignore:Reconnecting without")
def test_a_stream_cut_at_random_bytes_loses_and_repeats_nothing(server, lg, thread):
    with cutting(server.url) as proxy:
        client = get_sync_client(url=f"{proxy.url}/lg")
        whole = parts(client.runs.stream(thread, "runwright", input=PROMPT, stream_mode=ALL))
        size = sum(len(str(data)) for _, _, data in whole)
        chosen = random.Random(5)
        for _ in range(20):
            proxy.cut(*(chosen.randrange(1, size // 3) for _ in range(chosen.randrange(1, 4))))
            stream = client.runs.stream(thread, "runwright", input=PROMPT, stream_mode=ALL)
            told = parts(stream)
            run_id = told[0][2]["run_id"]
            again = lg.runs.join_stream(thread, run_id, stream_mode=ALL, last_event_id="-1")
            assert told == parts(again)
        assert proxy.made >= 20
        client.http.client.close()


# A stream that is cut before its first id is told from the beginning.
@pytest.mark.filterwarnings("ignore:Reconnecting without")
async def test_the_asynchronous_client_survives_cuts_too(server, lg, thread):
    with cutting(server.url, 300, 2_000, 5_000) as proxy:
        client = get_client(url=f"{proxy.url}/lg")
        stream = client.runs.stream(thread, "runwright", input=PROMPT, stream_mode=ALL)
        told = [(part.id, part.event, part.data) async for part in stream]
        await client.http.client.aclose()
        assert proxy.made == 3
    run_id = told[0][2]["run_id"]
    assert told == parts(lg.runs.join_stream(thread, run_id, stream_mode=ALL))


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
