"""Every call of the protocol that there is, made by the official Python client."""

import uuid

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError

PROMPT = {"prompt": "calculate 6 * 7"}


def test_the_assistant_is_found_by_its_id_and_by_the_name_of_its_graph(lg):
    [found] = lg.assistants.search(metadata={"created_by": "system"})
    assert found["assistant_id"] == str(
        uuid.uuid5(uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "runwright")
    )
    assert found["graph_id"] == "runwright"
    assert lg.assistants.search(graph_id="another") == []
    for name in (found["assistant_id"], "runwright"):
        assert lg.assistants.get(name) == found
        graph = lg.assistants.get_graph(name)
        assert {"plan", "execute_step"} <= {node["id"] for node in graph["nodes"]}
        assert "messages" in lg.assistants.get_schemas(name)["input_schema"]["properties"]
        assert lg.assistants.get_subgraphs(name) == {}
    with pytest.raises(NotFoundError):
        lg.assistants.get("nobody")


def test_a_thread_is_opened_found_changed_and_removed(lg):
    thread = lg.threads.create(metadata={"who": "me"})
    thread_id = thread["thread_id"]
    assert (thread["status"], thread["values"], thread["metadata"]) == ("idle", None, {"who": "me"})
    assert lg.threads.get(thread_id) == thread
    assert lg.threads.search(metadata={"who": "me"}, ids=[thread_id]) == [thread]
    assert lg.threads.get_state(thread_id)["values"] == {}
    assert lg.threads.get_history(thread_id) == []

    changed = lg.threads.update(thread_id, metadata={"n": 3})
    assert changed["metadata"] == {"who": "me", "n": "3"}

    lg.threads.delete(thread_id)
    with pytest.raises(NotFoundError):
        lg.threads.get(thread_id)


def test_an_id_that_is_taken_is_refused_or_answered_as_it_is(lg):
    thread_id = str(uuid.uuid4())
    thread = lg.threads.create(thread_id=thread_id)
    assert lg.threads.create(thread_id=thread_id, if_exists="do_nothing") == thread
    with pytest.raises(ConflictError):
        lg.threads.create(thread_id=thread_id)
    with pytest.raises(UnprocessableEntityError):
        lg.threads.create(thread_id="mine")


def test_a_run_is_waited_for_with_the_values_of_the_thread(lg, thread):
    values = lg.runs.wait(thread, "runwright", input=PROMPT)

    assert values["result"]["output"] == 42
    [run] = lg.runs.list(thread)
    assert (run["status"], run["assistant_id"]) == (
        "success",
        lg.assistants.search()[0]["assistant_id"],
    )
    assert lg.runs.get(thread, run["run_id"])["status"] == "success"
    state = lg.threads.get_state(thread)
    assert (state["values"], state["next"]) == (values, [])
    shown = lg.threads.get(thread)
    assert (shown["status"], shown["values"]) == ("idle", values)
    assert shown["metadata"]["graph_id"] == "runwright"


def test_a_run_in_the_background_is_joined(server, lg, thread):
    run = lg.runs.create(thread, "runwright", input={"prompt": "pass gate joined"})
    assert run["status"] in ("pending", "running")
    assert lg.threads.get(thread)["status"] == "busy"
    server.open_gate("joined")
    assert lg.runs.join(thread, run["run_id"])["result"]["output"] == "joined"
    assert [one["run_id"] for one in lg.runs.list(thread, status="success")] == [run["run_id"]]
    assert lg.runs.list(thread, status="error") == []


def test_a_stateless_run_is_a_thread_of_its_own(lg):
    assert lg.runs.wait(None, "runwright", input=PROMPT)["result"]["output"] == 42
    [first, *_, last] = lg.runs.stream(None, "runwright", input=PROMPT, stream_mode="values")
    assert (first.event, last.event, last.data["status"]) == ("metadata", "end", "success")
    run_id = first.data["run_id"]
    assert lg.runs.get(run_id, run_id)["status"] == "success"
    assert lg.runs.create(None, "runwright", input=PROMPT)["thread_id"]


def test_a_run_is_cancelled_and_says_why(lg, thread):
    run = lg.runs.create(thread, "runwright", input={"prompt": "pass gate never"})
    lg.runs.cancel(thread, run["run_id"], wait=True)

    found = lg.runs.get(thread, run["run_id"])
    assert (found["status"], found["cancel_reason"][:9]) == ("interrupted", "cancelled")
    assert lg.threads.get(thread)["status"] == "idle"


def test_the_history_is_one_line_over_the_runs_of_a_thread(lg, thread):
    for prompt in ("calculate 1 + 1", "calculate 2 + 2"):
        lg.runs.wait(thread, "runwright", input={"prompt": prompt})

    history = lg.threads.get_history(thread, limit=100)
    ids = [one["checkpoint"]["checkpoint_id"] for one in history]
    parents = [one["parent_checkpoint"] for one in history]
    assert ids == sorted(ids, reverse=True)
    assert [parent and parent["checkpoint_id"] for parent in parents] == [*ids[1:], None]
    assert len({one["metadata"]["run_id"] for one in history}) == 2
    assert {one["checkpoint"]["thread_id"] for one in history} == {thread}

    middle = history[len(history) // 2]
    assert lg.threads.get_state(thread, checkpoint=middle["checkpoint"]) == middle
    assert lg.threads.get_state(thread, checkpoint_id=ids[len(ids) // 2]) == middle
    pages = lg.threads.get_history(thread, limit=3)
    while len(pages) < len(history):
        pages += lg.threads.get_history(thread, limit=3, before=pages[-1]["checkpoint"])
    assert pages == history
    as_config = {"configurable": history[2]["checkpoint"]}  # as JavaScript's client names it
    assert lg.threads.get_history(thread, limit=100, before=as_config) == history[3:]
    of_first = lg.threads.get_history(
        thread, limit=100, metadata={"run_id": history[-1]["metadata"]["run_id"]}
    )
    assert of_first == [one for one in history if one["values"]["prompt"] == "calculate 1 + 1"]


def test_a_thread_is_sought_by_how_it_says_that_it_stands(lg, thread):
    """One that asks is interrupted, whatever waits behind its question."""
    lg.runs.wait(thread, "runwright", input=PROMPT, context={"approve": True})
    later = lg.runs.create(thread, "runwright", input=PROMPT)
    assert later["status"] == "pending"
    for status in ("idle", "busy", "interrupted", "error"):
        found = lg.threads.search(status=status, ids=[thread])
        assert [one["status"] for one in found] == ["interrupted"] * (status == "interrupted")


def test_a_history_is_sought_by_metadata_that_is_no_text(lg, thread):
    lg.runs.wait(thread, "runwright", input=PROMPT, metadata={"n": 3})
    history = lg.threads.get_history(thread, limit=100)
    assert lg.threads.get_history(thread, limit=100, metadata={"n": 3}) == history
    for another in ({"n": 4}, {"n": None}, {"m": None}):
        assert lg.threads.get_history(thread, limit=100, metadata=another) == []
    [last] = lg.threads.get_history(thread, metadata={"step": history[0]["metadata"]["step"]})
    assert last == history[0]


def test_metadata_that_is_nothing_is_kept_and_sought_as_that(lg, thread):
    lg.threads.update(thread, metadata={"n": None})
    assert lg.threads.get(thread)["metadata"] == {"n": "null"}
    assert [one["thread_id"] for one in lg.threads.search(metadata={"n": None})] == [thread]


def test_a_thread_that_was_opened_for_the_graph_is_found_by_it_ahead_of_its_first_run(lg):
    opened = lg.threads.create(graph_id="runwright")
    assert opened["metadata"] == {"graph_id": "runwright"}
    sought = {"ids": [opened["thread_id"]], "metadata": {"graph_id": "runwright"}}
    assert lg.threads.search(**sought) == [opened]


def test_metadata_of_a_run_changes_nothing_of_what_a_checkpoint_is_known_by(lg, thread):
    metadata = {"source": "web", "step": "last", "kind": "x"}
    given = {"input": PROMPT, "metadata": metadata, "stream_mode": "tasks"}
    told = [one.data for one in lg.runs.stream(thread, "runwright", **given)]
    assert sum("result" in one for one in told) == sum("triggers" in one for one in told) > 0
    [run] = lg.runs.list(thread)
    assert metadata.items() <= run["metadata"].items()
    newest = lg.threads.get_history(thread)[0]["metadata"]
    assert (newest["source"], type(newest["step"]), newest["kind"]) == ("loop", int, "x")


def test_only_what_is_selected_is_answered(lg, thread):
    lg.runs.wait(thread, "runwright", input=PROMPT)

    state = lg.threads.get_state(thread, select=["values.messages", "next"])
    assert ([*state], [*state["values"]]) == (["values", "next"], ["messages"])
    [found] = lg.threads.search(ids=[thread], select=["thread_id"])
    assert found == {"thread_id": thread}
    with pytest.raises(UnprocessableEntityError):
        lg.threads.get_state(thread, select=["nothing"])


def test_what_post_runs_began_is_a_thread_and_the_other_way_round(server, lg, thread):
    run_id = server.post("calculate 3 * 3")
    server.settled(run_id)
    history = lg.threads.get_history(run_id, limit=100)
    own = server.client.get(f"/runs/{run_id}/history").json()["checkpoints"]
    assert [one["checkpoint"]["checkpoint_id"] for one in history] == [
        one["checkpoint_id"] for one in own
    ]
    found = lg.threads.search(metadata={"graph_id": "runwright"}, limit=100)
    assert run_id in [one["thread_id"] for one in found]

    run = lg.runs.create(thread, "runwright", input=PROMPT)
    assert server.settled(run["run_id"])["thread_id"] == thread
    body = {"prompt": "double it", "thread_id": thread}
    next_id = server.client.post("/runs", json=body).json()["run_id"]
    server.settled(next_id)
    assert lg.threads.get(thread)["values"]["result"]["output"] == 84


async def test_the_asynchronous_client_makes_the_same_calls(server):
    client = get_client(url=f"{server.url}/lg")
    thread = (await client.threads.create())["thread_id"]
    parts = [part.event async for part in client.runs.stream(thread, "runwright", input=PROMPT)]
    assert (parts[0], parts[-1]) == ("metadata", "end")
    assert (await client.runs.wait(thread, "runwright", input=PROMPT))["result"]["output"] == 42
    assert (await client.threads.get_state(thread))["next"] == []
    await client.threads.delete(thread)
    await client.http.client.aclose()
