"""The log's channel, which is beta: no entry is lost or doubled, however a run is read back.

The log is stored as differences and rebuilt from the writes since its last snapshot. This pins what
we rely on, so that another release of LangGraph that reads it differently fails here.
"""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.types import StateSnapshot

from graph.build import RunGraph, build_graph, recursion_limit
from graph.state import DEFAULT_LIMITS, Channels, Mark, Plan, RunState, Step, new_run, split, whole
from graph.storage.open import open_storage
from graph.storage.storage import Storage
from tests.support.checkout import ROOT
from tests.support.patience import patience
from tools.calculator import calculator
from tools.registry import make_tools, tool

RUN_ID = "8f14e45f-ceea-467f-a0e6-1d2c3b4a5968"
CONFIG: RunnableConfig = {
    "configurable": {"thread_id": "t"},
    "recursion_limit": recursion_limit(DEFAULT_LIMITS),
}
MARK = Mark(kind="mark", what="taken_up", at=1.0, by="server", detail=None)

_DIES_IN_A_RUN = """
import asyncio, sys
from tests.graph.state.test_delta_log import die_in_step
asyncio.run(die_in_step(sys.argv[1], int(sys.argv[2])))
"""


def graph_on(storage: Storage, *, deadly: int | None = None) -> RunGraph:
    @tool("count", effects=False)
    async def count(number: int) -> int:
        """Count on; one number ends the process."""
        if number == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    return build_graph(
        make_tools([count, calculator]),
        checkpointer=storage.saver,
        store=storage.store,
        input_schema=Channels,
    )


async def begin(graph: RunGraph, steps: int) -> None:
    """Store a run of that many steps, planned and with nothing executed."""
    state = new_run("count", run_id=RUN_ID, owner="o", limits=DEFAULT_LIMITS, created_at=0.0)
    state["status"] = "running"
    state["plan"] = Plan(
        steps=[
            Step(step=number, tool="count", input={"number": number}, reasoning="", span=None)
            for number in range(1, steps + 1)
        ]
    )
    await graph.aupdate_state(CONFIG, split(state), as_node="plan")


async def die_in_step(url: str, number: int) -> None:
    """Execute a run of 80 steps in this process until a step kills it."""
    async with open_storage(url) as storage:
        graph = graph_on(storage, deadly=number)
        await begin(graph, 80)
        await graph.ainvoke(None, CONFIG, durability="sync")


async def resume(graph: RunGraph, config: RunnableConfig = CONFIG) -> list[Any]:
    """Let the run go on to its end; its log."""
    values = await graph.ainvoke(None, {**CONFIG, **config}, durability="sync")
    return list(values["log"])


async def stored(url: str) -> RunState:
    """The state as a process reads it that was just started."""
    async with open_storage(url) as storage:
        snapshot = await graph_on(storage).aget_state(CONFIG)
        return whole(snapshot.values)


def steps(log: list[Any]) -> list[Any]:
    return [entry.get("step", "mark") for entry in log]


async def history(graph: RunGraph) -> dict[int, StateSnapshot]:
    """The latest checkpoint for each length of the log."""
    found: dict[int, StateSnapshot] = {}
    async for snapshot in graph.aget_state_history(CONFIG, limit=200):
        found.setdefault(len(snapshot.values.get("log", [])), snapshot)
    return found


async def test_a_log_longer_than_its_snapshots_is_read_back_whole(database_url: str) -> None:
    async with open_storage(database_url) as storage:
        graph = graph_on(storage)
        await begin(graph, 120)
        log = await resume(graph)
    state = await stored(database_url)

    assert steps(log) == list(range(1, 121))
    assert state["log"] == log
    assert state["status"] == "completed"


async def test_a_snapshot_of_the_log_is_stored_now_and_then_and_not_each_time(
    database_url: str,
) -> None:
    """Without any, reading a long run would replay it all; with all, it would grow by squares."""
    async with open_storage(database_url) as storage:
        graph = graph_on(storage)
        await begin(graph, 120)
        await resume(graph)
        checkpoints = [found.checkpoint async for found in storage.reader.alist(CONFIG)]

    assert sum("log" in checkpoint["channel_values"] for checkpoint in checkpoints) == 2


async def test_every_checkpoint_of_a_run_has_the_log_of_its_moment(database_url: str) -> None:
    async with open_storage(database_url) as storage:
        graph = graph_on(storage)
        await begin(graph, 60)
        await resume(graph)
        found = await history(graph)

    assert sorted(found) == list(range(61))
    assert all(
        steps(snapshot.values.get("log", [])) == list(range(1, length + 1))
        for length, snapshot in found.items()
    )


async def test_a_fork_from_an_older_checkpoint_goes_on_from_the_log_of_then(
    database_url: str,
) -> None:
    async with open_storage(database_url) as storage:
        graph = graph_on(storage)
        await begin(graph, 60)
        first = await resume(graph)
        old = (await history(graph))[55]
        fork = await graph.aupdate_state(old.config, {"log": [MARK]}, as_node="execute_step")
        await resume(graph, fork)
        trunk = await graph.aget_state(old.config)
    log = (await stored(database_url))["log"]

    assert steps(log) == [*range(1, 56), "mark", *range(56, 61)]
    assert log[:55] == first[:55]
    assert steps(trunk.values["log"]) == list(range(1, 56))


async def test_an_entry_added_from_outside_is_there_once(database_url: str) -> None:
    async with open_storage(database_url) as storage:
        graph = graph_on(storage)
        await begin(graph, 2)
        await graph.aupdate_state(CONFIG, {"log": [MARK]}, as_node="plan")
        await resume(graph)
        await graph.aupdate_state(CONFIG, {"log": [MARK, MARK]}, as_node="finalize")

    assert steps((await stored(database_url))["log"]) == ["mark", 1, 2, "mark", "mark"]


async def test_a_second_prompt_on_a_thread_begins_with_an_empty_log(database_url: str) -> None:
    async with open_storage(database_url) as storage:
        graph = graph_on(storage)
        await begin(graph, 55)
        await resume(graph)
        await graph.ainvoke({"prompt": "what is 2 + 2"}, CONFIG, durability="sync")
    state = await stored(database_url)

    assert [(entry["tool"], entry["output"]) for entry in state["log"]] == [("calculator", 4)]
    assert state["run_id"] != RUN_ID


@pytest.mark.slow  # a process that is not forked
async def test_a_killed_process_loses_no_entry_and_doubles_none(database_url: str) -> None:
    for_kill = [sys.executable, "-c", _DIES_IN_A_RUN, database_url, "60"]
    process = subprocess.run(for_kill, cwd=ROOT, timeout=patience(), check=False)  # noqa: ASYNC221
    assert process.returncode == -signal.SIGKILL
    assert steps((await stored(database_url))["log"]) == list(range(1, 60))
    async with open_storage(database_url) as storage:
        log = await resume(graph_on(storage))

    assert steps(log) == list(range(1, 81))
    assert (await stored(database_url))["log"] == log
