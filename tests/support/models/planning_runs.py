"""Runs of the whole graph that scripted models plan."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

from langchain_core.runnables import RunnableConfig

from graph.build import RunGraph, build_graph, recursion_limit
from graph.models.breaker import CircuitBreaker
from graph.state import (
    DEFAULT_LIMITS,
    Budget,
    Channels,
    Choice,
    Limits,
    PlanningCall,
    RunState,
    new_run,
    split,
    whole,
)
from graph.storage.storage import Storage
from nodes.planning.model import ModelLadder
from tests.support.models.scripted_models import ScriptedModel
from tools.loading import BUILTIN
from tools.registry import make_tools

LIMITS: Limits = {**DEFAULT_LIMITS, "backoff": 0.0}


@dataclass
class AwaitingApproval:
    """Keeps how long a run was to wait, and lets it go on at once; all in seconds.

    `for_slot` is how long it then waited for a slot, as it is told.
    """

    seconds: list[float] = field(default_factory=list)
    for_slot: float = 0.0

    async def __call__(self, moment: float) -> float:
        self.seconds.append(moment - time.time())
        return self.for_slot


@dataclass
class Planned:
    """What came out of a run, and the nodes that it went through once it had begun."""

    state: RunState
    nodes: list[str]

    @property
    def log(self) -> list[PlanningCall]:
        """Every call of a planner."""
        return self.state["planning_log"]

    @property
    def outcomes(self) -> list[tuple[str | None, str]]:
        """Model and outcome of every call of a planner; the pattern planner is no model."""
        return [(entry["model"], entry["outcome"]) for entry in self.log]


class Planning:
    """A graph over some storage with some models, which are asked in the given order."""

    def __init__(
        self,
        storage: Storage,
        *models: ScriptedModel,
        breaker: CircuitBreaker | None = None,
        limits: Limits = LIMITS,
        **ladder: Any,
    ) -> None:
        self.waits = AwaitingApproval()
        self.limits = limits
        self._models = len(models)
        self.breaker = breaker or CircuitBreaker(
            (), threshold=100, pause=60.0, clock=lambda: time.time()
        )
        named = {model.name: model for model in models}
        complex_model = ladder.get("complex_model")
        order = [name for name in named if name != complex_model]
        self.graph: RunGraph = build_graph(
            make_tools(BUILTIN),
            checkpointer=storage.saver,
            store=storage.store,
            limits=limits,
            ladder=ModelLadder(models=named, order=order, breaker=self.breaker, **ladder),
            wait=self.waits,
            input_schema=Channels,
        )

    async def run(
        self,
        prompt: str = "what is 2 + 2",
        *,
        thread: str | None = None,
        choice: Choice | None = None,
        **budget: Any,
    ) -> Planned:
        """A run accepted with this prompt, choice and budget, to its end."""
        given: dict[str, Any] = {"usd": None, "tokens": None, "seconds": None, "steps": None}
        accepted = new_run(
            prompt,
            run_id=str(uuid4()),
            owner="default",
            limits=self.limits,
            created_at=time.time(),
            choice=choice,
            budget=cast("Budget", {**given, "on_exceeded": "pattern", **budget})
            if budget
            else None,
        )
        return await self.drive(accepted, thread or accepted["run_id"])

    async def drive(self, given: Mapping[str, Any] | None, thread: str) -> Planned:
        """The graph from this input, or from its last checkpoint, to its end."""
        config: RunnableConfig = {
            "configurable": {"thread_id": thread},
            "recursion_limit": recursion_limit(self.limits, models=self._models),
        }
        nodes: list[str] = []
        state: Any = None
        async for mode, part in self.graph.astream(
            cast("Any", given and split(given)),
            config,
            stream_mode=["values", "updates"],
            durability="sync",
        ):
            if mode == "updates":
                nodes += cast("dict[str, Any]", part)
            else:
                state = whole(cast("Channels", part))
        return Planned(state, nodes if given is None else nodes[1:])

    async def checkpoints(self, thread: str) -> Sequence[Any]:
        """Every checkpoint of a thread, the latest first."""
        config: RunnableConfig = {"configurable": {"thread_id": thread}}
        return [snapshot async for snapshot in self.graph.aget_state_history(config)]
