"""The graph as it was when it had 28 channels, without the server around it.

What is measured beside it may change its state, its nodes and its saver; this does not follow. It
has the same channels, nodes, routers, and writes the same values to them at the same super-steps,
for a prompt that the pattern planner plans. What is below the nodes is not frozen: the planner's
patterns and the tools are those of today, on both sides of a ratio. Compared with the real one at
the time it took 0.93 to 1.12 of its CPU in three processes, and stored the same checkpoints.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4, uuid5

from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.types import Overwrite
from typing_extensions import TypedDict

from graph.compose import open_tools
from graph.settings import Settings
from nodes.contract.checks import check_plan
from nodes.contract.steps import plain, resolve
from nodes.patterns.planner import PatternPlanner
from tools.invocation import invoke
from tools.registry import ToolCall
from tools.threads import ToolThreads
from tools.toolbox import Tool

LIMITS: Any = {
    "step_timeout": 30.0,
    "max_attempts": 3,
    "backoff": 0.5,
    "max_prompt": 20_000,
    "max_steps": 100,
    "max_output": 256 * 1024,
}


def extend(log: Sequence[Any], writes: Sequence[Sequence[Any]]) -> list[Any]:
    """The log with what was written to it."""
    return [*log, *(entry for write in writes for entry in write)]


class FrozenState(TypedDict, total=False):
    """The channels."""

    version: int
    run_id: str
    prompt: str
    owner: str
    forked_from: Any
    status: str
    approve: str
    approval: Any
    planned_by: Any
    plan: Any
    plan_proposed: Any
    cursor: int
    attempt: int
    not_before: float | None
    generation: int
    skipped: list[int]
    log: Annotated[list[Any], DeltaChannel(extend, snapshot_frequency=50)]
    planning: Any
    planning_log: list[Any]
    limits: Any
    budget: Any
    usage: Any
    result: Any
    error: Any
    created_at: float
    started_at: float | None
    paused: float
    completed_at: float | None


async def plan(state: FrozenState) -> dict[str, Any]:
    """A new run, which the pattern planner is to plan."""
    now = time.time()
    by = {"model": None, "reason": "no model is configured", "complexity": None}
    return {
        "version": 1,
        "run_id": str(uuid4()),
        "prompt": state["prompt"],
        "owner": state.get("owner", "default"),
        "forked_from": None,
        "status": "running",
        "planned_by": {"source": "pattern", **by},
        "plan": {"steps": []},
        "plan_proposed": None,
        "cursor": 0,
        "attempt": 0,
        "not_before": None,
        "generation": 0,
        "skipped": [],
        "planning": None,
        "planning_log": [],
        "limits": LIMITS,
        "budget": None,
        "usage": {"calls": 0, "input_tokens": 0, "output_tokens": 0, "usd": 0.0, "by_model": {}},
        "result": None,
        "error": None,
        "created_at": now,
        "started_at": now,
        "paused": 0.0,
        "completed_at": None,
        "log": Overwrite([]),
    }


async def fallback_plan(
    state: FrozenState, *, planner: PatternPlanner, tools: Mapping[str, Tool]
) -> dict[str, Any]:
    """The plan of the pattern planner, checked."""
    started_at = time.time()
    reading = planner.read(state["prompt"])
    assert not check_plan(reading.steps, tools, state["limits"])
    unknown = dict.fromkeys(
        ("model", "error_class", "transient", "input_tokens", "output_tokens", "usd")
    )
    call = {
        **unknown,
        "planner": "pattern",
        "outcome": "planned",
        "reasons": [],
        "started_at": started_at,
        "duration_ms": round((time.time() - started_at) * 1000, 3),
        "rejected_plan": None,
    }
    return {"plan": {"steps": reading.steps}, "planning_log": [*state["planning_log"], call]}


async def execute_step(
    state: FrozenState,
    runtime: Runtime[None],
    *,
    tools: Mapping[str, Tool],
    threads: ToolThreads,
) -> dict[str, Any]:
    """One attempt at the step under the cursor, recorded."""
    step = state["plan"]["steps"][state["cursor"]]
    tool, limits = tools[step["tool"]], state["limits"]
    outputs = {entry["step"]: entry["output"] for entry in state["log"]}
    value = plain(resolve(step["input"], outputs), max_bytes=limits["max_output"], what="input")
    key = str(uuid5(UUID(state["run_id"]), f"{state['generation']}:{step['step']}"))
    assert runtime.store is not None
    call = ToolCall(state["owner"], key, runtime.store, step["input"], limits["max_output"])
    started_at, clock = time.time(), time.perf_counter()
    outcome = await invoke(tool, value, call, timeout=limits["step_timeout"], threads=threads)
    assert outcome.status == "ok", outcome.failure
    record = {
        "kind": "attempt",
        "step": step["step"],
        "tool": step["tool"],
        "input": value,
        "attempt": state["attempt"] + 1,
        "generation": state["generation"],
        "status": "ok",
        "output": plain(outcome.output, max_bytes=limits["max_output"]),
        "error": None,
        "retry_at": None,
        "thread_running": False,
        "may_have_acted": tool.effects,
        "started_at": started_at,
        "duration_ms": round((time.perf_counter() - clock) * 1000, 3),
    }
    return {"cursor": state["cursor"] + 1, "attempt": 0, "not_before": None, "log": [record]}


async def finalize(state: FrozenState) -> dict[str, Any]:
    """Completed, with the last output."""
    steps = len(state["plan"]["steps"])
    result = {"output": state["log"][-1]["output"], "summary": f"{steps} steps done; 1 to-do"}
    return {"status": "completed", "completed_at": time.time(), "result": result}


async def after_plan(
    state: FrozenState,
) -> Literal["execute_step", "plan", "fallback_plan", "finalize"]:
    """Nothing is planned there."""
    if state.get("error"):
        return "finalize"
    return "execute_step" if state["plan"]["steps"] else "fallback_plan"


async def after_fallback_plan(state: FrozenState) -> Literal["execute_step", "finalize"]:
    """The plan is executed."""
    return "finalize" if state.get("error") else "execute_step"


async def after_step(state: FrozenState) -> Literal["execute_step", "finalize"]:
    """The next step, until all are done."""
    done = state.get("error") or state["cursor"] >= len(state["plan"]["steps"])
    return "finalize" if done else "execute_step"


def frozen_graph(saver: BaseCheckpointSaver[str], store: BaseStore) -> Any:
    """The graph over a saver and a store."""
    tools = open_tools(Settings())
    builder = StateGraph(FrozenState)
    nodes: dict[str, Any] = {
        "plan": plan,
        "fallback_plan": partial(fallback_plan, planner=PatternPlanner(tools), tools=tools),
        "execute_step": partial(execute_step, tools=tools, threads=ToolThreads()),
        "finalize": finalize,
    }
    for name, node in nodes.items():
        builder.add_node(name, node)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", after_plan)
    builder.add_conditional_edges("fallback_plan", after_fallback_plan)
    builder.add_conditional_edges("execute_step", after_step)
    builder.add_edge("finalize", END)
    return builder.compile(checkpointer=saver, store=store)
