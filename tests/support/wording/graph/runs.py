"""What a run's record says: its summary, and why it ended otherwise."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any, cast

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from graph.build import build_graph
from graph.runs.recovery import MAX_STARTS, resume_left, state_at, thread
from graph.state import Attempt, Channels, RunState, split
from graph.state.row import RunRow
from graph.storage.open import open_storage
from graph.workbench import Workbench, open_workbench
from nodes.fallback_plan import LazyPlanner, fallback_plan
from nodes.finalize import finalize
from nodes.plan import plan, prompt_error
from tests.support.runs.run_states import planned, queued
from tests.support.runs.step_attempts import Attempts, plan_of, run
from tests.support.wording.messages import masked
from tools.loading import BUILTIN
from tools.registry import make_tools, tool
from tools.toolbox import Tool


@tool("notes.list", noun="note")
async def _list_notes() -> list[str]:
    """List the notes."""
    return []


_NOTES = make_tools([_list_notes])

#: Outputs of a last step, by what the summary tells of them.
OUTPUTS: Mapping[str, Any] = {
    "none": None,
    "true": True,
    "false": False,
    "whole": 300,
    "fraction": 0.3,
    "digits": "0.3333333333333333333333333333",
    "digits.negative": "-3.333333333333333333E+299",
    "digits.long": "9" * 309,
    "text": "call my bank: 555",
    "text.digit": "\N{ARABIC-INDIC DIGIT THREE}",
    "text.empty": "",
    "list.empty": [],
    "list.one": ["secret"],
    "list": ["secret"] * 180,
    "object": {"text": "secret"},
}

_PROMPTS: Mapping[str, Any] = {
    "kind": None,
    "empty": "",
    "blank": " \n\t ",
    "long": "x" * 11,
    "surrogate": "half \ud83d",
    "null": "nul \0",
}


async def messages() -> dict[str, str]:
    """Of runs that completed, were not accepted, failed, were cancelled or given up."""
    told = {f"summary.{key}": await summary(output) for key, output in OUTPUTS.items()}
    told["summary.steps"] = await summary(["a", "b"], steps=2)
    told["summary.items"] = await summary([1, 2], tools={})
    told["summary.characters"] = await summary("c", steps=3)
    told["summary.left-out"] = await summary("d", steps=4, skipped=[2, 3])
    for key, prompt in _PROMPTS.items():
        told[f"prompt.{key}"] = str(prompt_error(prompt, 10))
    by = (await plan(queued(), limits=queued()["limits"]))["planned_by"]
    told["planned-by.no-model"] = by["reason"]
    told["not-understood"] = await _not_understood("what's the capital of France; hum")
    return told | await _attempts() | await _cancelled() | await _taken_up()


async def summary(
    output: Any,
    *,
    steps: int = 1,
    skipped: list[int] | None = None,
    tools: Mapping[str, Tool] = _NOTES,
) -> str:
    """The summary of a run of so many steps whose last one had this output."""
    state = run(*(("notes.list", {}) for _ in range(steps)))
    entry = {"kind": "attempt", "step": steps, "tool": "notes.list", "status": "ok"}
    state["log"] = [cast("Attempt", {**entry, "output": output})]
    state["skipped"] = skipped or []
    return str((await finalize(state, tools=tools))["result"]["summary"])


async def _not_understood(prompt: str) -> str:
    tools = make_tools(BUILTIN)
    state = cast("RunState", {**queued(prompt), "status": "running"})
    update = await fallback_plan(state, planner=LazyPlanner(tools), tools=tools)
    return str(update["error"]["message"])


async def _attempts() -> dict[str, str]:
    ends = threading.Event()

    @tool("block", effects=False)
    def block() -> None:
        """Block a thread."""
        ends.wait()

    @tool("odd")
    async def odd() -> Any:
        """Return what cannot be looked at."""
        return _Odd()

    none = await Attempts(run(("fly", {}))).make()
    blocking = Attempts(run(("block", {}), step_timeout=0.05), make_tools([block]))
    while not (stuck := await blocking.make())["thread_running"]:
        pass  # it has not begun within its time
    blocked = await blocking.make()
    ends.set()
    assert stuck["status"] == blocked["status"] == "timeout"
    large = ("echo", {"value": "{step_1_output}" * 100})
    inputs = await Attempts(run(("echo", {"value": "x" * 900}), large, max_output=1_000)).make_all()
    outputs = await Attempts(run(("echo", {"value": "x" * 99}), max_output=50)).make()
    kept = [("echo", {"value": "x" * 2_000})] * 3
    given = await Attempts(run(*kept), max_kept=9_000).make_all()
    returned = await Attempts(run(*kept), max_kept=11_000).make_all()
    unread = await Attempts(run(("odd", {})), make_tools([odd])).make()
    return {
        "attempt.no-tool": masked(_error(none), tool="'fly'"),
        "attempt.still-running": masked(_error(blocked), tool="block"),
        "attempt.input.large": _error(inputs[-1]),
        "attempt.output.large": _error(outputs),
        "attempt.kept.input": _error(given[-1]),
        "attempt.kept.output": _error(returned[-1]),
        "attempt.output.unread": _error(unread),
    }


class _Odd(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError


def _error(attempt: Attempt) -> str:
    assert attempt["error"] is not None
    return attempt["error"]["message"]


async def _cancelled() -> dict[str, str]:
    begun = asyncio.Event()

    @tool("hold", in_doubt="retry", phrases=["hold on"])
    async def hold() -> None:
        """Change something, and never end."""
        begun.set()
        await asyncio.Event().wait()

    @tool("look", effects=False, phrases=["look on"])
    async def look() -> None:
        """Change nothing, and never end."""
        begun.set()
        await asyncio.Event().wait()

    async with await open_workbench(hold, look, in_flight=1) as bench:
        held = await _stopped(bench, "2 + 2, then hold on, then 3 + 3", begun)
        looked = await _stopped(bench, "look on", begun)
        first = await bench.start("hold on")
        second = await bench.start("hold on")
        await second.cancel()
        await first.cancel()
        waiting = await bench.run("2 + 2, then 3 + 3", mode="plan")
        await waiting.cancel()
    held_last, looked_last = (one.record["execution_log"][-1] for one in (held, looked))
    return {
        "cancelled": waiting.record["error"]["message"],  # type: ignore[index]
        "cancelled.unplanned": second.record["error"]["message"],  # type: ignore[index]
        "cancelled.step": masked(held.record["error"]["message"], tool="hold"),
        "cancelled.may-have-acted": masked(_error(held_last), tool="hold"),
        "cancelled.changes-nothing": masked(_error(looked_last), tool="look"),
    }


async def _stopped(bench: Workbench, prompt: str, begun: asyncio.Event) -> Any:
    begun.clear()
    stopped = await bench.start(prompt)
    await begun.wait()
    await stopped.cancel()
    return stopped


async def _taken_up() -> dict[str, str]:
    """Of runs that an earlier process left."""
    state = cast("RunState", {**planned(queued()), "plan": plan_of(("calculator", {}))})
    return {
        "taken-up": masked(await _marked(state), start="97"),
        "given-up": await _left(state, starts=MAX_STARTS),
        "version": masked(await _left({**state, "version": 97}), version=97),
    }


async def _left(state: RunState, *, starts: int = 1) -> str:
    taken = await _resumed(state, starts=starts)
    assert taken["error"] is not None
    return taken["error"]["message"]


async def _marked(state: RunState) -> str:
    """The detail of the mark of a run that was started 96 times without a crash."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("graph.runs.recovery.MAX_STARTS", 100)
        taken = await _resumed(state, starts=96)
    return str(taken["log"][-1]["detail"])  # type: ignore[typeddict-item]


async def _resumed(state: RunState, *, starts: int) -> RunState:
    graph = build_graph(
        make_tools(BUILTIN),
        checkpointer=InMemorySaver(),
        store=InMemoryStore(),
        input_schema=Channels,
    )
    config = thread(state["run_id"])
    stored = await graph.aupdate_state(config, split(state), as_node="plan")
    row = RunRow(
        run_id=state["run_id"],
        owner=state["owner"],
        prompt=state["prompt"],
        limits=state["limits"],
        created_at=state["created_at"],
        starts=starts,
        checkpoint_id=stored["configurable"]["checkpoint_id"],
    )
    async with open_storage("memory://") as storage:
        taken = await resume_left(graph, storage.index, row, config)
    return taken.state if taken.next == "settled" else await state_at(graph, config)
