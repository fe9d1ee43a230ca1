"""`make studio` on a fresh copy, offline: everything that a person does in LangGraph Studio.

Studio's page calls the server as LangGraph's own client does, which drives it here. What its page
shows of it, `make test` tries, too: tests/docs/test_studio.py.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.docs.test_studio import APPROVAL, printed_by
from tests.support.models.llm_runs import plan_text
from tests.support.models.stream_server import stream_server
from tests.support.servers.studio_server import StudioServer, studio
from tests.support.wording.messages import wording

pytestmark = pytest.mark.slow  # three starts of a server of others

MILK = "Add a todo to buy milk, then show me all my tasks"
WORDS = ["It", " is", " forty-two."]
QUESTION = "add a todo to buy milk, then what is 2 + 3"


@dataclass(frozen=True)
class Restarted:
    """A server, the thread that waits since before its start, and how many to-dos it had then."""

    server: StudioServer
    waits: str
    todos: int


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    """With a tool of one's own, and no question about any plan."""
    folder = tmp_path_factory.mktemp("studio")
    tools = "examples.flaky:fail_times,examples.flaky:block"
    with studio(folder, tools=tools, backoff="0.01") as server:
        yield server
        assert server.complaints == []
        assert server.outside.accepted == []


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    """One that asks about every plan."""
    with studio(tmp_path_factory.mktemp("asking"), approve="always") as server:
        yield server
        assert server.complaints == []


@pytest.fixture(scope="module")
def restarted(asking: StudioServer) -> Iterator[Restarted]:
    """The one that asks, ended and started anew, now with a model at a server of ours."""
    answered, waits = (asking.run(QUESTION)[0] for _ in range(2))
    asking.wait(answered, command={"resume": True})
    known = asking.client.store.search_items(["todos"])["items"]
    asking.stop()
    with stream_server(plan_text(("calculator", {"expression": "7 * 6"})), WORDS) as provider:
        provider.let(len(WORDS) + 1)
        models = json.dumps([{"model": "openai/m", "api_base": provider.url}])
        folder = asking.folder.parent
        with studio(folder, approve="always", models=models, model_timeout="600") as server:
            yield Restarted(server, waits, len(known))


@pytest.fixture(scope="module")
def milk(server: StudioServer) -> tuple[str, dict[str, Any]]:
    """The milk prompt, run once: its thread and its state."""
    return server.run(MILK)


def call(number: int, tool: str, **given: Any) -> dict[str, Any]:
    return {"step": number, "tool": tool, "input": given, "reasoning": "", "span": None}


def question(state: dict[str, Any]) -> dict[str, Any]:
    """What a person is asked."""
    (asked,) = state["__interrupt__"]
    return dict(asked["value"])


def texts(todos: list[dict[str, Any]]) -> list[str]:
    return [todo["text"] for todo in todos]


# What is shown before anything runs


def test_the_drawing_has_the_four_nodes_and_a_label_at_every_conditional_edge(
    server: StudioServer,
) -> None:
    (assistant,) = server.client.assistants.search()
    drawn: Any = server.client.assistants.get_graph(assistant["assistant_id"], xray=True)

    assert [node["id"] for node in drawn["nodes"]] == [
        "__start__",
        "plan",
        "fallback_plan",
        "execute_step",
        "finalize",
        "__end__",
    ]
    assert {
        (edge["source"], edge["target"], edge.get("data"))
        for edge in drawn["edges"]
        if edge.get("conditional")
    } == {
        (source, target, wording(f"workbench.edge.{source}.{target}"))
        for source, targets in (
            ("plan", ("execute_step", "plan", "fallback_plan", "finalize")),
            ("fallback_plan", ("execute_step", "finalize")),
            ("execute_step", ("execute_step", "plan", "finalize")),
        )
        for target in targets
    }


def test_a_person_fills_in_a_prompt_and_nothing_else(server: StudioServer) -> None:
    (assistant,) = server.client.assistants.search()
    schemas: Any = server.client.assistants.get_schemas(assistant["assistant_id"])

    assert list(schemas["input_schema"]["properties"]) == ["prompt"]
    assert schemas["input_schema"]["required"] == ["prompt"]
    for kind in ("output_schema", "state_schema"):
        named = schemas[kind]["properties"]
        assert set(named) == {"prompt", "plan", "log", "result", "conversation", "run"}
        assert named["plan"]["$ref"].endswith("/Plan")


# Running


def test_the_milk_prompt_comes_out_with_a_readable_state(
    server: StudioServer, milk: tuple[str, dict[str, Any]]
) -> None:
    thread_id, done = milk
    state: Any = server.client.threads.get_state(thread_id)

    assert done["run"]["status"] == "completed"
    assert done["result"]["summary"] == "2 steps done; 1 to-do"
    assert (state["values"], state["next"]) == (done, [])
    assert [step["tool"] for step in done["plan"]["steps"]] == ["todo_store.add", "todo_store.list"]
    assert (done["run"]["cursor"], done["run"]["attempt"]) == (2, 0)
    assert [(entry["step"], entry["attempt"], entry["status"]) for entry in done["log"]] == [
        (1, 1, "ok"),
        (2, 1, "ok"),
    ]


def test_the_todo_lies_in_the_servers_own_store(
    server: StudioServer, milk: tuple[str, dict[str, Any]]
) -> None:
    added = milk[1]["log"][0]["output"]
    item = server.client.store.get_item(["todos", "default"], key=added["id"])

    assert item["value"] == added
    assert added["text"] == "buy milk"


def test_every_node_is_seen_in_each_way_of_streaming(server: StudioServer) -> None:
    parts = list(
        server.client.runs.stream(
            server.thread(),
            "runwright",
            input={"prompt": "calculate 10 + 5, and then multiply it by 3"},
            stream_mode=["values", "updates", "custom", "tasks"],
        )
    )
    told: dict[str, list[Any]] = {}
    for part in parts:
        told.setdefault(part.event, []).append(part.data)
    path = ["plan", "fallback_plan", "execute_step", "execute_step", "finalize"]

    assert set(told) == {"metadata", "values", "updates", "custom", "tasks"}
    assert [node for update in told["updates"] for node in update] == path
    assert [task["name"] for task in told["tasks"] if "input" in task] == path
    assert [task["name"] for task in told["tasks"] if "result" in task] == path
    assert told["values"][-1]["result"]["output"] == 45
    assert [event["id"] for event in told["custom"]] == list(range(1, len(told["custom"]) + 1))
    assert [event["type"] for event in told["custom"]] == [
        "run.queued",
        "run.started",
        "plan.started",
        "plan.fallback",
        "plan.attempt",
        "plan.made",
        "step.started",
        "step.completed",
        "step.started",
        "step.completed",
        "run.completed",
        "end",
    ]


def test_retries_of_a_tool_of_ones_own_are_states_of_their_own(server: StudioServer) -> None:
    thread_id, done = server.run("fail 2 times")
    attempts = [
        entry["values"]["run"]["attempt"]
        for entry in server.history(thread_id)
        if entry["next"] == ["execute_step"]
    ]

    assert done["run"]["status"] == "completed"
    assert [entry["status"] for entry in done["log"]] == ["error", "error", "ok"]
    assert [entry["error"] and entry["error"]["retryable"] for entry in done["log"]] == [
        True,
        True,
        None,
    ]
    assert attempts == [0, 1, 2]


def test_a_tool_that_blocks_its_thread_blocks_nothing_else(server: StudioServer) -> None:
    """The server's detector would raise in an async node."""
    done = server.run("block 0.05 seconds")[1]

    assert done["result"]["output"] == {"blocked": 0.05}


def test_what_is_not_understood_fails_with_the_words(server: StudioServer) -> None:
    done = server.run("reticulate the splines")[1]

    assert (done["run"]["status"], done["run"]["error"]["type"]) == ("failed", "not_understood")
    assert "reticulate the splines" in done["run"]["error"]["message"]


def test_two_prompts_on_one_thread_are_two_runs(server: StudioServer) -> None:
    thread_id, first = server.run("what is 2 + 2")
    second = server.wait(thread_id, {"prompt": "what is 6 * 7, then what is 9 - 4"})

    assert (first["run"]["status"], second["run"]["status"]) == ("completed", "completed")
    assert [entry["output"] for entry in first["log"]] == [4]
    assert [entry["output"] for entry in second["log"]] == [42, 5]
    assert first["run"]["run_id"] != second["run"]["run_id"]


# Going back


def test_a_fork_does_again_what_comes_after_it(server: StudioServer) -> None:
    thread_id, done = server.run("what is 2 + 2, then what is 3 + 3")
    fork = server.before_step(thread_id, 2)
    again = server.wait(thread_id, checkpoint=fork["checkpoint"])

    assert [entry["output"] for entry in again["log"]] == [4, 6]
    assert again["log"][0] == done["log"][0]
    assert again["log"][1]["started_at"] > done["log"][1]["started_at"]


def test_a_plan_edited_in_the_state_is_what_is_executed(server: StudioServer) -> None:
    """Not what a receipt of the former step holds: the fork is of the same thread."""
    thread_id, _ = server.run("add a todo to feed the cat, then show my list")
    at = server.before_step(thread_id, 1)
    steps = [call(1, "todo_store.add", text="feed the dog"), at["values"]["plan"]["steps"][1]]
    server.client.threads.update_state(
        thread_id, {"plan": {"steps": steps}}, checkpoint=at["checkpoint"]
    )
    edited = server.client.threads.get_state(thread_id)
    done = server.wait(thread_id)

    assert edited["next"] == ["execute_step"]
    assert done["run"]["status"] == "completed"
    assert done["log"][0]["output"]["text"] == "feed the dog"
    assert texts(done["result"]["output"])[-2:] == ["feed the cat", "feed the dog"]


#: Bad edits: the step that is due, the plan, and the sentence that says why.
BAD: list[tuple[int, Any, str | None]] = [
    (1, {"steps": [call(1, "rm", path="/")]}, None),
    (2, {"steps": []}, "hand_edits.plan"),
    (2, "nothing", "hand_edits.plan.shape"),
    (2, {"steps": [call(1, "calculator", expression="7 * 6")]}, "hand_edits.not-done"),
]


@pytest.fixture(scope="module")
def badly_edited(server: StudioServer) -> list[dict[str, Any]]:
    """What becomes of each, all at once: most of what a run takes the server waits."""

    def ended(step: int, plan: Any) -> dict[str, Any]:
        thread_id, _ = server.run("what is 2 + 2, then what is 3 + 3")
        at = server.before_step(thread_id, step)
        server.client.threads.update_state(thread_id, {"plan": plan}, checkpoint=at["checkpoint"])
        return server.wait(thread_id)

    with ThreadPoolExecutor(len(BAD)) as people:
        return list(people.map(ended, *zip(*((step, plan) for step, plan, _ in BAD), strict=True)))


@pytest.mark.parametrize("number", range(len(BAD)))
def test_an_edited_plan_that_is_bad_fails_with_the_reason(
    badly_edited: list[dict[str, Any]], number: int
) -> None:
    (step, _, key), done = BAD[number], badly_edited[number]

    assert (done["run"]["status"], done["run"]["error"]["type"]) == ("failed", "plan_rejected")
    assert (wording(key) if key else ": step 1: ") in done["run"]["error"]["message"]
    assert len(done["log"]) == step - 1


# Plans that a person is asked about


@pytest.fixture
def waiting(asking: StudioServer) -> str:
    """A thread whose plan waits for a person."""
    thread_id, asked = asking.run(QUESTION)
    assert asked["run"]["status"] == "waiting"
    assert [tool["tool"] for tool in question(asked)["tools"]] == ["todo_store.add", "calculator"]
    return thread_id


def test_a_plan_is_approved(asking: StudioServer, waiting: str) -> None:
    state: Any = asking.client.threads.get_state(waiting)
    done = asking.wait(waiting, command={"resume": True})

    assert state["next"] == ["execute_step"]
    plan = state["interrupts"][0]["value"]["plan"]
    assert plan == {"steps": state["values"]["plan"]["steps"]}
    assert (done["run"]["status"], done["result"]["output"]) == ("completed", 5)
    assert done["log"][0]["what"] == "approved"


def test_the_page_shows_how_a_plan_is_edited_in_the_answer(asking: StudioServer) -> None:
    program, printed = APPROVAL
    assert printed_by(program, {"client": asking.client}, asking) == printed


def test_a_plan_is_rejected(asking: StudioServer, waiting: str) -> None:
    done = asking.wait(waiting, command={"resume": {"what": "rejected", "reason": "no milk"}})

    assert (done["run"]["status"], done["run"]["error"]["type"]) == ("cancelled", "rejected")
    assert "no milk" in done["run"]["error"]["message"]
    assert [entry["kind"] for entry in done["log"]] == ["mark"]


def test_a_bad_plan_is_asked_about_again_and_a_good_one_executed(
    asking: StudioServer, waiting: str
) -> None:
    bad = {"steps": [{"tool": "rm", "input": {"path": "/"}}]}
    good = {"steps": [{"tool": "calculator", "input": {"expression": "7 * 6"}}]}
    again = asking.wait(waiting, command={"resume": {"plan": bad}})
    done = asking.wait(waiting, command={"resume": {"plan": good}})

    assert again["run"]["status"] == "waiting"
    assert [reason[:8] for reason in question(again)["reasons"]] == ["step 1: "]
    assert (done["run"]["status"], done["result"]["output"]) == ("completed", 42)


def test_a_waiting_plan_edited_in_the_state_is_asked_about_as_it_stands(
    asking: StudioServer, waiting: str
) -> None:
    short = {"steps": [{"tool": "calculator", "input": {"expression": "7 * 6"}}]}
    asking.client.threads.update_state(waiting, {"plan": short})
    asked = asking.wait(waiting)
    done = asking.wait(waiting, command={"resume": True})

    assert question(asked)["plan"]["steps"] == [call(1, "calculator", expression="7 * 6")]
    assert [tool["tool"] for tool in question(asked)["tools"]] == ["calculator"]
    assert done["result"]["output"] == 42


# After a restart, hence last of those that ask


def test_what_waits_can_be_answered_after_an_orderly_restart(restarted: Restarted) -> None:
    """By then the to-dos are there, too; docs/doors/studio.md tells what a kill takes with it."""
    done = restarted.server.wait(restarted.waits, command={"resume": True})
    todos = restarted.server.client.store.search_items(["todos"])["items"]

    assert (done["run"]["status"], done["result"]["output"]) == ("completed", 5)
    assert len(todos) == restarted.todos + 1


def test_a_model_plans_without_a_call_that_blocks(restarted: Restarted) -> None:
    """Its client, which takes seconds to load, is loaded beside the event loop."""
    server = restarted.server
    thread_id, asked = server.run("what is the answer to everything")
    done = server.wait(thread_id, command={"resume": True})

    assert asked["run"]["planned_by"]["source"] == done["run"]["planned_by"]["source"] == "llm"
    assert done["result"]["output"] == 42
    assert done["result"]["answer"]["text"] == "".join(WORDS)
    assert server.complaints == []
    assert server.outside.accepted == []


def test_the_words_of_an_answer_are_streamed_as_messages_and_no_plan_is(
    restarted: Restarted,
) -> None:
    server = restarted.server
    thread_id, _ = server.run("what is the answer to everything")
    streamed = server.client.runs.stream(
        thread_id, "runwright", command={"resume": True}, stream_mode="messages-tuple"
    )
    parts = [part.data[0]["content"] for part in streamed if part.event == "messages"]

    assert parts[: len(WORDS)] == WORDS
    assert not [part for part in parts if "calculator" in part]


def test_what_the_server_keeps_lies_in_the_folder_it_was_started_in(
    server: StudioServer, milk: tuple[str, dict[str, Any]]
) -> None:
    """Not in the checkout of whoever runs the tests, where the next start would take it up."""
    assert milk[1]["run"]["status"] == "completed"
    assert (server.folder / ".langgraph_api").is_dir()
