"""Plans edited in the state between two nodes, as Studio and notebooks let a person do it."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, StateSnapshot

from examples.flaky import fail_times
from graph.build import RunGraph, build_graph
from graph.record.events import events
from graph.state import Channels, RunState, split
from nodes.approval.hand_edits import checks
from tests.support.runs.channels import flat
from tests.support.runs.run_states import queued
from tests.support.wording.messages import wording
from tools.loading import BUILTIN
from tools.registry import make_tools
from tools.toolbox import Tool

CONFIG: Any = {"configurable": {"thread_id": "one"}}


def graph_of(tools: Mapping[str, Tool], **options: Any) -> RunGraph:
    return build_graph(tools, checkpointer=InMemorySaver(), store=InMemoryStore(), **options)


@pytest.fixture(scope="module")
def made() -> RunGraph:
    return graph_of(make_tools([*BUILTIN, fail_times]))


@pytest.fixture
def graph(made: RunGraph) -> RunGraph:
    """With nothing in it; to make a graph and its planner takes longer than a run."""
    return made.copy({"checkpointer": InMemorySaver(), "store": InMemoryStore()})


async def run(graph: RunGraph, prompt: str) -> dict[str, Any]:
    given: Any = {"prompt": prompt}
    return flat(await graph.ainvoke(given, CONFIG))


async def before_step(graph: RunGraph, step: int) -> StateSnapshot:
    """The first checkpoint that this step is due at."""
    found = [
        snapshot
        async for snapshot in graph.aget_state_history(CONFIG)
        if snapshot.next == ("execute_step",) and flat(snapshot.values)["cursor"] == step - 1
    ]
    return found[-1]


async def edited(graph: RunGraph, at: StateSnapshot, **values: Any) -> dict[str, Any]:
    """What comes of going on from a checkpoint with other values."""
    config = await graph.aupdate_state(at.config, split(values))
    return flat(await graph.ainvoke(None, config))


def call(number: int, tool: str, **given: Any) -> dict[str, Any]:
    return {"step": number, "tool": tool, "input": given, "reasoning": "", "span": None}


def texts(done: dict[str, Any]) -> list[str]:
    return [todo["text"] for todo in done["result"]["output"]]


async def test_the_steps_still_to_come_may_be_edited(graph: RunGraph) -> None:
    await run(graph, "2 + 2, then 3 + 3")
    second = await before_step(graph, 2)
    first = second.values["plan"]["steps"][0]
    product = call(2, "calculator", expression="{step_1_output} * 10")
    done = await edited(graph, second, plan={"steps": [first, product]})

    assert (done["status"], done["result"]["output"]) == ("completed", 40)


async def test_a_plan_may_be_given_before_a_planner_makes_one(graph: RunGraph) -> None:
    """The record can be read, though no planner is named in it."""
    await run(graph, "reticulate the splines")
    unplanned = [
        snapshot
        async for snapshot in graph.aget_state_history(CONFIG)
        if snapshot.next == ("fallback_plan",)
    ]
    plan = {"steps": [call(1, "calculator", expression="7 * 6")]}
    done = await edited(graph, unplanned[0], plan=plan)

    assert (done["status"], done["result"]["output"]) == ("completed", 42)
    assert "plan.made" in [event["type"] for event in events(cast("RunState", done))]


async def test_a_step_needs_only_its_tool_and_its_input(graph: RunGraph) -> None:
    """The state has the whole step afterwards, as whoever reads it expects."""
    await run(graph, "2 + 2")
    short = {"steps": [{"tool": "calculator", "input": {"expression": "7 * 6"}}]}
    done = await edited(graph, await before_step(graph, 1), plan=short)

    assert done["result"]["output"] == 42
    assert done["plan"] == {"steps": [call(1, "calculator", expression="7 * 6")]}


@pytest.mark.parametrize("at_step", [1, 2])
@pytest.mark.parametrize(
    ("plan", "place"),
    [
        ({"steps": [call(1, "rm", path="/")]}, "step 1: "),
        ({"steps": []}, ""),
        ({"steps": [{"input": {}}]}, "steps.0.tool: "),
        ({"steps": [call(1, "calculator", wrong="1")]}, "step 1: expression of calculator: "),
        ({"steps": [call(2, "calculator", expression="1")]}, "step 1 "),
        (
            {"steps": [call(1, "calculator", expression="{step_2_output}")]},
            "step 1: {step",
        ),
        ({"steps": [call(1, "calculator") | {"input": "7 * 6"}]}, "steps.0.input: "),
        ({"steps": [call(1.0, "calculator", expression="1")]}, "steps.0.step: "),
        ({"steps": "none"}, "steps: "),
        ("none", ""),
        (None, ""),
        ({"steps": [call(1, "calculator", expression="7 * 6")] * 101}, "101"),
    ],
)
async def test_a_plan_that_must_not_be_executed_fails_with_the_reason(
    graph: RunGraph, plan: Any, place: str, at_step: int
) -> None:
    """Nothing of it is executed, and the record can be read as ever."""
    await run(graph, "2 + 2, then 3 + 3")
    done = await edited(graph, await before_step(graph, at_step), plan=plan)

    assert (done["status"], done["error"]["type"]) == ("failed", "plan_rejected")
    assert place in done["error"]["message"]
    assert len(done["log"]) == at_step - 1
    assert [event["type"] for event in events(cast("RunState", done))][-2:] == ["run.failed", "end"]


@pytest.mark.parametrize("cursor", [-1, 3, "1", None, True])
async def test_a_cursor_that_points_nowhere_fails_with_what_it_counts(
    graph: RunGraph, cursor: Any
) -> None:
    await run(graph, "2 + 2, then 3 + 3")
    done = await edited(graph, await before_step(graph, 1), cursor=cursor)

    assert (done["status"], done["error"]["type"]) == ("failed", "plan_rejected")
    assert done["error"]["message"] == wording("hand_edits.cursor", cursor=repr(cursor))


@pytest.mark.parametrize("left", [1, 2], ids=["nothing is left to do", "a step is left"])
async def test_a_step_that_was_done_otherwise_is_not_passed_off_as_done(
    graph: RunGraph, left: int
) -> None:
    """Before, the run would have completed with the output of the former step."""
    await run(graph, "2 + 2, then 3 + 3")
    second = await before_step(graph, 2)
    steps = [call(1, "calculator", expression="7 * 6"), second.values["plan"]["steps"][1]][:left]
    done = await edited(graph, second, plan={"steps": steps})
    again = await edited(graph, second, plan={"steps": steps}, cursor=0)

    assert done["status"] == "failed"
    assert done["error"]["message"] == wording("hand_edits.not-done")
    assert [entry["output"] for entry in again["log"]] == [4, 42, 6][: left + 1]


async def test_a_cursor_moved_on_does_not_pass_over_a_step(graph: RunGraph) -> None:
    await run(graph, "2 + 2, then 3 + 3")
    done = await edited(graph, await before_step(graph, 1), cursor=2)

    assert done["status"] == "failed"
    first, second = done["error"]["message"].split("; step 2 ")
    assert first == wording("hand_edits.not-done")
    assert f"step 2 {second}" == first.rpartition(": ")[2].replace("1", "2").replace("0", "1")


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"limits": None}, "limits: "),
        ({"limits": {"step_timeout": 1}}, "limits.max_attempts: "),
        ({"attempt": "x"}, "attempt: "),
        ({"not_before": "soon"}, "not_before: "),
        ({"run_id": "x"}, "run_id: "),
        ({"owner": None}, "owner: "),
        ({"status": "done"}, "status: "),
        ({"skipped": None}, "skipped: "),
        ({"usage": {}}, "usage.calls: "),
        ({"planned_by": "me"}, "planned_by: "),
        ({"planning_log": [1]}, "planning_log.0: "),
        ({"approval": "yes", "approve": "no"}, "approval: "),
        ({"budget": {}}, "budget.usd: "),
        ({"error": "none"}, "error: "),
        ({"error": 0}, "error: "),
        ({"log": ["x"]}, "log"),
        ({"log": 5}, "log"),
        ({"log": None}, "log"),
        ({"log": [{"kind": "attempt", "step": 1}]}, "attempt.tool: "),
        ({"log": {"__overwrite__": 5}}, "log: "),
        ({"limits": None, "plan": "none", "cursor": "x"}, "limits: "),
    ],
)
@pytest.mark.parametrize("node", ["fallback_plan", "execute_step", "finalize"])
async def test_a_state_that_no_run_has_fails_with_what_is_wrong_in_it(
    graph: RunGraph, node: str, values: dict[str, Any], place: str
) -> None:
    """Instead of an error of Python's in whichever node reads it first."""
    await run(graph, "2 + 2, then 3 + 3")
    before = [
        snapshot async for snapshot in graph.aget_state_history(CONFIG) if snapshot.next == (node,)
    ]
    done = await edited(graph, before[0], **values)
    after = await run(graph, "7 * 6")

    assert (done["status"], done["error"]["type"]) == ("failed", "plan_rejected")
    assert place in done["error"]["message"]
    assert len(done["error"]["message"]) < 1000
    assert all(entry["kind"] == "attempt" for entry in done["log"])
    assert [event["type"] for event in events(cast("RunState", done))][-2:] == ["run.failed", "end"]
    assert (after["status"], [entry["output"] for entry in after["log"]]) == ("completed", [42])


async def test_the_end_of_such_a_run_is_streamed(graph: RunGraph) -> None:
    await run(graph, "2 + 2")
    config = await graph.aupdate_state(
        (await before_step(graph, 1)).config, {"run": {"limits": None}}
    )
    told = [event async for event in graph.astream(None, config, stream_mode="custom")]

    assert [event["type"] for event in told][-2:] == ["run.failed", "end"]


@pytest.mark.parametrize(
    "values", [{"planning": 5}, {"owner": 5}, {"status": "pending"}, {"limits": None}]
)
async def test_a_new_prompt_on_a_thread_does_not_mind_what_was_left_there(
    graph: RunGraph, values: dict[str, Any]
) -> None:
    await run(graph, "2 + 2, then 3 + 3")
    await graph.aupdate_state(CONFIG, split(values))
    done = await run(graph, "7 * 6")

    assert (done["status"], done["owner"], done["result"]["output"]) == ("completed", "default", 42)
    assert len(done["log"]) == 1


@pytest.mark.parametrize("prompt", [5, None, ["2 + 2"]])
async def test_an_input_that_is_no_text_is_said_to_be_none(graph: RunGraph, prompt: Any) -> None:
    done = await run(graph, prompt)

    assert (done["status"], done["error"]["message"]) == ("failed", wording("runs.prompt.kind"))


async def test_a_plan_put_into_an_empty_thread_fails_with_what_is_missing(graph: RunGraph) -> None:
    plan = {"steps": [call(1, "calculator", expression="7 * 6")]}
    config = await graph.aupdate_state(CONFIG, {"plan": plan}, as_node="fallback_plan")
    done = flat(await graph.ainvoke(None, config))

    assert (done["status"], done["log"]) == ("failed", [])
    assert "run_id: " in done["error"]["message"]


async def test_a_whole_state_that_is_given_back_is_that_state(graph: RunGraph) -> None:
    """Its log is not the log once more."""
    await run(graph, "2 + 2, then 3 + 3")
    second = await before_step(graph, 2)
    values = flat(second.values)
    values["plan"]["steps"][1]["input"] = {"expression": "{step_1_output} * 100"}
    done = await edited(graph, second, **values)

    assert [(entry["step"], entry["output"]) for entry in done["log"]] == [(1, 4), (2, 400)]


async def test_a_step_that_is_left_out_by_hand_is_not_executed(graph: RunGraph) -> None:
    await run(graph, "2 + 2, then 3 + 3")
    first = await before_step(graph, 1)
    done = await edited(graph, first, skipped=[1])
    none = await edited(graph, first, skipped=[1, 2])

    assert (done["status"], [entry["step"] for entry in done["log"]]) == ("completed", [2])
    assert (none["status"], none["log"]) == ("failed", [])
    assert none["error"]["message"] == wording("hand_edits.all-left-out")


async def test_a_run_sent_to_its_end_by_hand_is_not_passed_off_as_done() -> None:
    graph = graph_of(make_tools(BUILTIN), approve="always")
    await run(graph, "2 + 2, then 3 + 3")
    done = flat(await graph.ainvoke(Command(goto="finalize"), CONFIG))

    assert (done["status"], done["log"]) == ("failed", [])
    assert done["error"]["message"] == wording("hand_edits.ended")


async def test_a_fork_has_the_effect_of_its_own_plan(graph: RunGraph) -> None:
    """The thread keeps its run_id: a receipt of the former step must not answer for the new one."""
    await run(graph, "add todo milk, then show my list")
    first = await before_step(graph, 1)
    for words in ("bread", "butter"):
        plan = {"steps": [call(1, "todo_store.add", text=words), first.values["plan"]["steps"][1]]}
        done = await edited(graph, first, plan=plan)
        assert done["log"][0]["output"]["text"] == words

    assert texts(done) == ["milk", "bread", "butter"]


async def test_a_fork_that_asks_for_the_same_has_its_effect_once(graph: RunGraph) -> None:
    await run(graph, "add todo milk, then show my list")
    done = flat(await graph.ainvoke(None, (await before_step(graph, 1)).config))

    assert done["status"] == "completed"
    assert texts(done) == ["milk"]


async def test_a_fork_from_before_the_plan_is_another_run(graph: RunGraph) -> None:
    first = await run(graph, "add todo milk, then show my list")
    unplanned = [
        snapshot
        async for snapshot in graph.aget_state_history(CONFIG)
        if snapshot.next == ("plan",)
    ]
    done = flat(await graph.ainvoke(None, unplanned[0].config))

    assert done["run_id"] != first["run_id"]
    assert texts(done) == ["milk", "milk"]


async def test_retries_keep_their_key(graph: RunGraph) -> None:
    """The tool counts its attempts under it."""
    done = await run(graph, "fail 1 times")

    assert done["result"]["output"] == {"attempts": 2}


async def test_a_waiting_plan_that_is_edited_is_asked_about_as_it_stands() -> None:
    graph = graph_of(make_tools(BUILTIN), approve="always")
    await run(graph, "add todo milk")
    waiting = await graph.aget_state(CONFIG)
    asked = await edited(
        graph, waiting, plan={"steps": [{"tool": "calculator", "input": {"expression": "1 + 1"}}]}
    )
    (question,) = asked["__interrupt__"]

    assert asked["status"] == "waiting"
    assert question.value["plan"] == {"steps": [call(1, "calculator", expression="1 + 1")]}
    assert question.value["tools"] == [{"tool": "calculator", "effects": False, "steps": [1]}]


def test_a_state_edited_while_models_are_asked_ends_the_run() -> None:
    planning = {"prompt": "a task", "queue": ["m"], "answer": "", "reasons": [], "retried": False}
    asked = planning | {"not_before": None}
    state = cast("RunState", {**queued("a task"), "planning": asked, "limits": None})
    _, update = checks({}, context=1_000)["plan"](state)

    assert update is not None
    assert update["error"]["type"] == "plan_rejected"
    assert "limits: " in update["error"]["message"]


async def test_the_server_whose_states_nobody_edits_pays_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("checked again")

    monkeypatch.setattr("nodes.approval.hand_edits.checked_plan", refuse)
    monkeypatch.setattr("nodes.approval.hand_edits.fault_of", refuse)
    done = await run(graph_of(make_tools(BUILTIN), input_schema=Channels), "2 + 2")

    assert done["status"] == "completed"
