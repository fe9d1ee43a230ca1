"""Attempts at steps as the graph makes them, with tools that do what tools may do."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore

from graph.state import DEFAULT_LIMITS, MOST_KEPT, Attempt, Plan, RunState, Step, new_run
from nodes.execute_step import execute_step
from tools.invocation import ToolErrors
from tools.registry import ToolCall, ToolError, make_tools, tool
from tools.threads import ToolThreads
from tools.toolbox import Tool

RUN_ID = "8f14e45f-ceea-467f-a0e6-1d2c3b4a5968"


@tool("echo")
async def echo(value: Any) -> Any:
    """Return what was given."""
    return value


@tool("count")
async def count(number: int, call: ToolCall) -> list[str]:
    """Return who called, and a word for each of a number."""
    return [call.owner, call.step_key, *["word"] * number]


@tool("refuse")
async def refuse(retryable: bool) -> None:
    """Fail as announced."""
    raise ToolError("the shop is closed", retryable=retryable)


@tool("raise", effects=False)
async def raise_named(name: str) -> None:
    """Raise an exception that quotes a secret."""
    errors: dict[str, BaseException] = {
        "ValueError": ValueError("password 1234"),
        "ConnectionError": ConnectionResetError("password 1234"),
        "TimeoutError": TimeoutError("password 1234"),
        "CancelledError": asyncio.CancelledError("password 1234"),
        "SystemExit": SystemExit("password 1234"),
    }
    raise errors[name]


@tool("append")
async def append(items: list[Any], more: dict[str, Any]) -> int:
    """Do to its arguments what it should not."""
    items.append(4)
    more.clear()
    return len(items)


TOOLS = make_tools([echo, count, refuse, raise_named, append])


def plan_of(*calls: tuple[str, dict[str, Any]]) -> Plan:
    return Plan(
        steps=[
            Step(step=number, tool=name, input=value, reasoning="", span=None)
            for number, (name, value) in enumerate(calls, start=1)
        ]
    )


def run(*calls: tuple[str, dict[str, Any]], **limits: Any) -> RunState:
    """A running run with this plan, at its first step."""
    allowed = cast("Any", {**DEFAULT_LIMITS, **limits})
    state = new_run("task", run_id=RUN_ID, owner="me", limits=allowed, created_at=0.0)
    return cast("RunState", {**state, "status": "running", "plan": plan_of(*calls), "log": []})


class Attempts:
    """Makes attempts as the graph would; remembers what was waited for."""

    def __init__(
        self,
        state: RunState,
        tools: Mapping[str, Tool] = TOOLS,
        *,
        errors: ToolErrors = "text",
        max_kept: int = MOST_KEPT,
    ) -> None:
        self.state = state
        self._max_kept = max_kept
        self._errors = errors
        self.waited: list[float] = []
        self._tools = tools
        self._threads = ToolThreads(4)
        self._runtime = Runtime(store=InMemoryStore())

    async def make(self) -> Attempt:
        """One attempt; its record."""
        update = await execute_step(
            self.state,
            self._runtime,
            tools=self._tools,
            threads=self._threads,
            wait=self._wait,
            errors=self._errors,
            max_kept=self._max_kept,
        )
        assert json.loads(json.dumps(update)) == update
        (record,) = update.pop("log")
        log = [*self.state["log"], record]
        self.state = cast("RunState", {**self.state, **update, "log": log})
        return cast("Attempt", record)

    async def make_all(self) -> list[Attempt]:
        """Attempts until the plan is done or a step has failed for good; their records."""
        while not self.state["error"] and self.state["cursor"] < len(self.state["plan"]["steps"]):
            await self.make()
        return self.state["log"]

    async def _wait(self, moment: float) -> float:
        self.waited.append(moment)
        return 0.0
