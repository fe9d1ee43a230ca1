"""The whole graph, driven as a notebook or Studio drives it, on every backend."""

from typing import Any
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnableConfig

from examples.flaky import fail_times
from graph.build import RunGraph, build_graph, recursion_limit
from graph.compose import studio_graph
from graph.state import DEFAULT_LIMITS, Limits
from graph.storage.storage import Storage
from nodes.plan import prompt_error
from tests.support.runs.channels import flat
from tests.support.wording.messages import wording
from tools.loading import BUILTIN
from tools.registry import make_tools

LIMITS: Limits = {**DEFAULT_LIMITS, "backoff": 0.01}


@pytest.fixture
def graph(storage: Storage) -> RunGraph:
    """The graph as others build it: a prompt goes in, nothing else."""
    return build_graph(
        make_tools([*BUILTIN, fail_times]),
        checkpointer=storage.saver,
        store=storage.store,
        limits=LIMITS,
    )


def thread(name: str | None = None) -> RunnableConfig:
    return {
        "configurable": {"thread_id": name or str(uuid4())},
        "recursion_limit": recursion_limit(LIMITS),
    }


async def test_a_prompt_is_all_it_takes(graph: RunGraph) -> None:
    """The state that comes out has everything of a run."""
    state = flat(
        await graph.ainvoke({"prompt": "calculate 10 + 5, and then multiply it by 3"}, thread())
    )
    assert state["status"] == "completed"
    assert [entry["output"] for entry in state["log"]] == [15, 45]
    assert state["owner"] == "default"
    assert state["limits"] == LIMITS


async def test_a_second_prompt_on_the_thread_is_a_new_run(graph: RunGraph) -> None:
    """With an id, a log and a result of its own; what the first one did stays done."""
    config = thread()
    first = flat(await graph.ainvoke({"prompt": "add todo milk"}, config))
    second = flat(await graph.ainvoke({"prompt": "show my list"}, config))
    assert second["status"] == "completed"
    assert second["run_id"] != first["run_id"]
    assert [entry["tool"] for entry in second["log"]] == ["todo_store.list"]
    assert [todo["text"] for todo in second["result"]["output"]] == ["milk"]


async def test_a_further_prompt_on_the_thread_is_given_the_runs_before_it(
    graph: RunGraph,
) -> None:
    config = thread()
    prompts = ["what is 6 times 7", "play some jazz", "add todo milk", "show my list"]
    states = [flat(await graph.ainvoke({"prompt": prompt}, config)) for prompt in prompts]

    assert "conversation" not in states[0]
    conversation = states[-1]["conversation"]
    assert [turn["run_id"] for turn in conversation["turns"]] == [
        state["run_id"] for state in states[:-1]
    ]
    assert [turn["prompt"] for turn in conversation["turns"]] == prompts[:-1]
    assert [turn["status"] for turn in conversation["turns"]] == [
        "completed",
        "failed",
        "completed",
    ]
    assert conversation["left_out"] == 0
    assert conversation["last"] == {
        "run_id": states[2]["run_id"],
        "tool": "todo_store.add",
        "output": states[2]["result"]["output"],
    }
    assert states[2]["conversation"]["last"] is None


async def test_words_for_something_said_before_mean_what_the_run_before_returned(
    graph: RunGraph,
) -> None:
    config = thread()

    async def said(prompt: str) -> Any:
        return flat(await graph.ainvoke({"prompt": prompt}, config))

    await said("what is 6 times 7")
    assert (await said("add 8 to it"))["result"]["output"] == 50
    added = await said("add it to my list")
    todo = added["result"]["output"]
    assert todo["text"] == "50"
    done = await said("mark it as done")
    [step] = done["plan"]["steps"]
    assert step["input"] == {"todo": todo["id"]}
    assert added["run_id"] in step["reasoning"]
    assert done["result"]["output"]["completed"]


async def test_words_that_can_mean_nothing_said_before_refuse_the_run_with_the_reason(
    graph: RunGraph,
) -> None:
    config = thread()
    await graph.ainvoke({"prompt": "calculate 1 / 0"}, config)
    refused = flat(await graph.ainvoke({"prompt": "now double it"}, config))

    assert refused["status"] == "failed"
    assert refused["error"]["type"] == "not_understood"
    assert refused["error"]["unparsed"] == [{"text": "it", "span": [11, 13]}]
    assert wording("antecedent.failed") in refused["error"]["message"]


async def test_of_a_state_that_was_edited_into_none_nothing_is_told_to_the_next_run(
    graph: RunGraph,
) -> None:
    config = thread()
    for prompt in ("what is 6 times 7", "what is 6 times 8"):
        await graph.ainvoke({"prompt": prompt}, config)
    await graph.aupdate_state(config, {"run": {"status": "odd"}}, as_node="finalize")
    state = flat(await graph.ainvoke({"prompt": "what is 6 times 9"}, config))

    assert state["status"] == "completed"
    assert state["conversation"] == {"turns": [], "left_out": 0, "last": None}


async def test_a_prompt_after_a_failed_one_starts_afresh(graph: RunGraph) -> None:
    """No error, attempt or plan of the first run is left in the second."""
    config = thread()
    failed = flat(await graph.ainvoke({"prompt": "calculate 1 / 0"}, config))
    assert failed["status"] == "failed"
    again = flat(await graph.ainvoke({"prompt": "fail 1 times"}, config))
    assert again["status"] == "completed"
    assert again["error"] is None
    assert [entry["attempt"] for entry in again["log"]] == [1, 2]


async def test_the_same_prompt_again_has_its_effect_again(graph: RunGraph) -> None:
    """A new run has new step keys, so that it is not taken for a repetition of the first."""
    config = thread()
    for _ in range(2):
        state = flat(await graph.ainvoke({"prompt": "add todo milk, then show my list"}, config))
    assert [todo["text"] for todo in state["result"]["output"]] == ["milk", "milk"]


@pytest.mark.parametrize(
    "prompt",
    ["", "x" * 20_001, 7],
)
async def test_an_unfit_prompt_fails_with_its_reason(graph: RunGraph, prompt: Any) -> None:
    """Not every door checks it before."""
    state = flat(await graph.ainvoke({"prompt": prompt}, thread()))
    assert state["status"] == "failed"
    assert state["error"]["type"] == "plan_rejected"
    assert state["error"]["message"] == prompt_error(prompt, 20_000)


async def test_a_run_within_its_limits_never_meets_the_recursion_limit(graph: RunGraph) -> None:
    """The most steps that are allowed, each with the most attempts."""
    limits: Limits = {**LIMITS, "backoff": 0.0, "max_steps": 12}
    tools = make_tools([*BUILTIN, fail_times])
    bounded = build_graph(tools, checkpointer=graph.checkpointer, store=graph.store, limits=limits)
    config = {**thread(), "recursion_limit": recursion_limit(limits)}
    state = flat(await bounded.ainvoke({"prompt": ", then ".join(["fail 2 times"] * 12)}, config))
    assert state["status"] == "completed"
    assert len(state["log"]) == 36


async def test_every_checkpoint_of_a_run_can_be_read_and_forked(graph: RunGraph) -> None:
    """From after the first step the rest is done again, and only the rest."""
    config = thread()
    await graph.ainvoke({"prompt": "2 + 2, then 3 + 3"}, config)
    history = [snapshot async for snapshot in graph.aget_state_history(config)]
    [after_first] = [
        snapshot
        for snapshot in history
        if snapshot.next == ("execute_step",) and len(snapshot.values["log"]) == 1
    ]
    state = flat(await graph.ainvoke(None, after_first.config))
    assert state["status"] == "completed"
    assert [entry["output"] for entry in state["log"]] == [4, 6]
    assert state["log"][0] == after_first.values["log"][0]


def test_the_drawing_has_every_edge() -> None:
    """The retry loop and the way down to the pattern planner among them."""
    drawn = build_graph(make_tools(BUILTIN)).get_graph()
    edges = {(edge.source, edge.target, edge.conditional) for edge in drawn.edges}
    assert edges == {
        ("__start__", "plan", False),
        ("plan", "execute_step", True),
        ("plan", "fallback_plan", True),
        ("plan", "plan", True),
        ("execute_step", "plan", True),
        ("plan", "finalize", True),
        ("fallback_plan", "execute_step", True),
        ("fallback_plan", "finalize", True),
        ("execute_step", "execute_step", True),
        ("execute_step", "finalize", True),
        ("finalize", "__end__", False),
    }


async def test_studio_gets_the_graph_without_storage_of_its_own() -> None:
    """The server that loads it brings its own, and refuses one that comes with any."""
    graph = await studio_graph()

    assert graph.checkpointer is None
    assert graph.store is None
    assert list(graph.get_input_jsonschema()["properties"]) == ["prompt"]
    assert await studio_graph() is graph
