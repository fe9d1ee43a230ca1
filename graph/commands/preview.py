"""A checked plan without a run: planned as a run would be, and then let go."""

import asyncio
import time
from collections.abc import Mapping
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from typing_extensions import TypedDict

from graph.build import RunGraph, recursion_limit
from graph.state import (
    Budget,
    Limits,
    Plan,
    PlannedBy,
    PlannedTool,
    PlanningCall,
    RunError,
    Usage,
    new_run,
)
from nodes.approval.asking import tools_of
from tools.registry import Tool

#: So many are made at once; they wait for no slot, as runs do.
AT_ONCE = 8


class PlanPreview(TypedDict):
    """A plan, or the error that a run would end with instead."""

    plan: Plan
    tools: list[PlannedTool]
    planned_by: PlannedBy | None
    planning_log: list[PlanningCall]
    usage: Usage
    error: RunError | None


class PlanPreviews:
    """Plans prompts with the planners that runs have, models included; no run is stored."""

    def __init__(
        self, graph: RunGraph, tools: Mapping[str, Tool], limits: Limits, models: int
    ) -> None:
        self._graph = graph.copy({"checkpointer": None})
        self._tools = tools
        self._limits = limits
        self._config = RunnableConfig(recursion_limit=recursion_limit(limits, models=models))
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def make(self, prompt: str, *, owner: str, budget: Budget | None) -> PlanPreview:
        """The plan of a prompt, or why there is none."""
        state = new_run(
            prompt,
            run_id=str(uuid4()),
            owner=owner,
            limits=self._limits,
            budget=budget,
            created_at=time.time(),
        )
        async with self._slots:
            planned = await self._graph.ainvoke(
                state, self._config, interrupt_before=["execute_step", "finalize"]
            )
        return PlanPreview(
            plan=planned["plan"],
            tools=tools_of(planned["plan"]["steps"], self._tools),
            planned_by=planned["planned_by"],
            planning_log=planned["planning_log"],
            usage=planned["usage"],
            error=planned["error"],
        )
