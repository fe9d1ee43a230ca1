"""A checked plan without a run: planned as a run would be, and then let go."""

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated
from uuid import uuid4

from langchain_core.runnables import RunnableConfig

from graph.build import RunGraph, recursion_limit
from graph.state import (
    Budget,
    Choice,
    Limits,
    Plan,
    PlannedBy,
    PlannedTool,
    PlanningCall,
    RunError,
    Usage,
    new_run,
    split,
    whole,
)
from graph.state.rounds import rounds_of
from graph.state.wording import doc
from nodes.approval.asking import tools_of
from tools.registry import Tool

#: So many are made at once; they wait for no slot, as runs do.
AT_ONCE = 8


class PlanPreview(Plan):
    """A plan, or the error that a run would end with instead."""

    tools: Annotated[list[PlannedTool], doc("The tools that it uses.")]
    planned_by: Annotated[PlannedBy | None, doc("Who made the plan, and why it was them.")]
    planning_log: Annotated[list[PlanningCall], doc("Every call of a planner, oldest first.")]
    usage: Annotated[Usage, doc("Calls, tokens and price of the planning.")]
    error: Annotated[RunError | None, doc("What a run of this prompt would end with instead.")]


class PlanPreviews:
    """Plans prompts with the planners that runs have, models included; no run is stored."""

    def __init__(
        self, graph: RunGraph, tools: Mapping[str, Tool], limits: Limits, models: int
    ) -> None:
        self._graph = graph.copy({"checkpointer": None})
        self._tools = tools
        self._limits = limits
        limit = recursion_limit(limits, tools.values(), models=models)
        self._config = RunnableConfig(recursion_limit=limit)
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def make(
        self, prompt: str, *, owner: str, budget: Budget | None, choice: Choice | None = None
    ) -> PlanPreview:
        """The plan of a prompt, or why there is none."""
        state = new_run(
            prompt,
            run_id=str(uuid4()),
            owner=owner,
            limits=self._limits,
            budget=budget,
            choice=choice,
            created_at=time.time(),
        )
        async with self._slots:
            channels = await self._graph.ainvoke(
                split(state), self._config, interrupt_before=["execute_step", "finalize"]
            )
        planned = whole(channels)
        return PlanPreview(
            steps=planned["plan"]["steps"],
            rounds=rounds_of(planned),
            tools=tools_of(planned["plan"]["steps"], self._tools),
            planned_by=planned["planned_by"],
            planning_log=planned["planning_log"],
            usage=planned["usage"],
            error=planned["error"],
        )
