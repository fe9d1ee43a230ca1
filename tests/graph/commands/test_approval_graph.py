"""The question about a plan in the graph itself, as Studio and notebooks meet it."""

from typing import Any, cast

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from graph.build import RunGraph, build_graph
from graph.record.events import events
from graph.state import Approve, RunState
from tests.support.runs.channels import flat
from tests.support.wording.messages import wording

PROMPT: Any = {"prompt": "add a todo to buy milk, then what is 2 + 3"}
EDITED = {"steps": [{"tool": "calculator", "input": {"expression": "7 * 6"}}]}
CONFIG: Any = {"configurable": {"thread_id": "one"}}


def graph_of(tools: Any, approve: Approve) -> RunGraph:
    return build_graph(tools, checkpointer=InMemorySaver(), store=InMemoryStore(), approve=approve)


@pytest.fixture
def graph(tools: Any) -> RunGraph:
    return graph_of(tools, "always")


async def resumed(graph: RunGraph, answer: object) -> dict[str, Any]:
    command: Any = Command(resume=answer)
    return flat(await graph.ainvoke(command, CONFIG))


async def test_without_the_setting_nothing_is_asked(tools: Any) -> None:
    done = flat(await graph_of(tools, "never").ainvoke(PROMPT, CONFIG))

    assert done["status"] == "completed"
    assert "approval" not in done


async def test_a_graph_without_a_checkpointer_runs_as_before(tools: Any) -> None:
    done = flat(await build_graph(tools, store=InMemoryStore()).ainvoke(PROMPT))

    assert done["status"] == "completed"


async def test_the_question_shows_the_plan_and_what_it_changes(graph: RunGraph) -> None:
    asked = flat(await graph.ainvoke(PROMPT, CONFIG))
    (question,) = asked["__interrupt__"]

    assert asked["status"] == "waiting"
    assert asked["log"] == []
    assert question.value["plan"] == {"steps": asked["plan"]["steps"]}
    assert [(tool["tool"], tool["effects"]) for tool in question.value["tools"]] == [
        ("todo_store.add", True),
        ("calculator", False),
    ]
    assert question.value["reasons"] == []


async def test_asking_about_effects_lets_a_plan_without_any_pass(tools: Any) -> None:
    graph = graph_of(tools, "effects")

    assert (flat(await graph.ainvoke({"prompt": "what is 2 + 3"}, CONFIG)))["status"] == "completed"
    assert (flat(await graph.ainvoke(PROMPT, CONFIG)))["status"] == "waiting"


async def test_true_approves_and_false_rejects(graph: RunGraph) -> None:
    await graph.ainvoke(PROMPT, CONFIG)
    done = await resumed(graph, True)
    await graph.ainvoke(PROMPT, CONFIG)
    refused = await resumed(graph, False)

    assert (done["status"], done["result"]["output"]) == ("completed", 5)
    assert refused["status"] == "cancelled"
    assert refused["error"]["type"] == "rejected"
    assert [entry["kind"] for entry in refused["log"]] == ["mark"]


async def test_an_edited_plan_is_executed_instead(graph: RunGraph) -> None:
    proposed = (flat(await graph.ainvoke(PROMPT, CONFIG)))["plan"]
    done = await resumed(graph, {"plan": EDITED})

    assert (done["status"], done["result"]["output"]) == ("completed", 42)
    assert done["plan_proposed"] == {"steps": proposed["steps"]}
    assert [event["type"] for event in events(cast("RunState", done))][-5:] == [
        "run.approved",
        "step.started",
        "step.completed",
        "run.completed",
        "end",
    ]


@pytest.mark.parametrize(
    ("answer", "unclear", "place"),
    [
        ("yes", True, None),
        (1, True, None),
        ({"plan": {"steps": []}}, False, ""),
        ({"plan": {"steps": [{"tool": "rm", "input": {}}]}}, False, "step 1: "),
        ({"reason": "no"}, True, "what: "),
        ({"what": "perhaps"}, True, "what: "),
        ({"what": "approved", "extra": 1}, True, "extra: "),
    ],
)
async def test_what_decides_nothing_is_asked_again_with_the_reasons(
    graph: RunGraph, answer: object, unclear: bool, place: str | None
) -> None:
    await graph.ainvoke(PROMPT, CONFIG)
    asked = await resumed(graph, answer)
    (question,) = asked["__interrupt__"]

    assert (asked["status"], asked["log"]) == ("waiting", [])
    how, *faults = [wording("approval.unclear")] * (not unclear) + question.value["reasons"]
    assert how == wording("approval.unclear")
    assert [fault[: len(place or "")] for fault in faults] == ([] if place is None else [place])
    assert (await resumed(graph, True))["status"] == "completed"


async def test_a_second_prompt_on_a_waiting_thread_is_a_new_run(graph: RunGraph) -> None:
    first = flat(await graph.ainvoke(PROMPT, CONFIG))
    second = flat(await graph.ainvoke({"prompt": "what is 1 + 1"}, CONFIG))
    done = await resumed(graph, True)

    assert second["run_id"] != first["run_id"]
    assert second["status"] == "waiting"
    assert done["result"]["output"] == 2
