"""What is computed and not stored: a plan without a run, and a run that is over once more.

A prompt is planned as a run would be, and then let go. Runs that are over are exported, run again
and compared.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Annotated, Any
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from typing_extensions import TypedDict

from graph.build import RunGraph, recursion_limit
from graph.record.diff import Difference, differences
from graph.runs.accept import Acceptance
from graph.runs.context import RunContext
from graph.runs.replay import Replayer
from graph.state import (
    Budget,
    Choice,
    Limits,
    Plan,
    PlannedBy,
    PlannedTool,
    PlanningCall,
    RunError,
    RunState,
    Usage,
    new_run,
    split,
    whole,
)
from graph.state.rounds import rounds_of
from graph.state.status import SETTLED_OR_WAITING, WrongStatus
from graph.state.wording import doc
from nodes.approval.asking import tools_of
from tools.registry import Tool

#: So many are made at once; they wait for no slot, as runs do.
PREVIEWS_AT_ONCE = 8


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
        self._slots = asyncio.Semaphore(PREVIEWS_AT_ONCE)

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


#: So many are replayed at once: it takes the processor, and nothing is waited for but live tools.
REPLAYS_AT_ONCE = 2

#: The longest that a replay may take, in seconds.
LONGEST = 60.0

#: The form of exported files; another one is another number.
FORMAT = 1


class NotReplayable(WrongStatus):
    """The run is under way, so that its record is not whole."""

    rule = "only one that has ended, or waits for a person, can be replayed"


class RunExport(TypedDict):
    """A run with all that is kept of it, to be replayed by any server or command."""

    format: Annotated[int, doc("The form of this file: 1.")]
    version: Annotated[str, doc("The version of the program that has written it.")]
    run: Annotated[
        dict[str, Any],
        doc("The state of the run, with models' answers and all outputs; times in epoch seconds."),
    ]


class RunReplay(TypedDict):
    """A recorded run against the same run today; the first of two is the recorded one."""

    run_id: Annotated[str, doc("The run.")]
    same: Annotated[bool, doc("Whether nothing differs.")]
    live: Annotated[list[str], doc("The tools that were called.")]
    differences: Annotated[
        list[Difference], doc("What differs, in its order; with the first one they part.")
    ]


class RunDiff(TypedDict):
    """Two runs against each other."""

    run_ids: Annotated[list[str], doc("The two runs.")]
    same: Annotated[bool, doc("Whether nothing differs.")]
    differences: Annotated[
        list[Difference], doc("What differs, in its order; with the first one they part.")
    ]


def exported(state: RunState) -> RunExport:
    """The file of a run."""
    return RunExport(format=FORMAT, version=version("runwright"), run=dict(state))


async def compared(
    replayer: Replayer,
    recorded: RunState,
    live: Collection[str] = (),
    *,
    ignoring: Collection[str] = (),
) -> RunReplay:
    """A recorded run against the same run today, without what is of a kind to be ignored.

    Raises `LiveRejected`.
    """
    try:
        async with asyncio.timeout(LONGEST):
            found = differences(recorded, await replayer.replay(recorded, live))
    except TimeoutError:
        found = [_too_long()]
    found = [one for one in found if one["what"] not in ignoring]
    run_id = recorded["run_id"]
    names = list(dict.fromkeys(live))
    return RunReplay(run_id=run_id, same=not found, live=names, differences=found)


def _too_long() -> Difference:
    ended = f"the replay was ended after {LONGEST:g} s"
    return Difference(
        what="order", where=ended, step=None, round=None, path="", first=None, second=ended
    )


class Replays:
    """What is asked of runs that are over."""

    def __init__(self, context: RunContext, acceptance: Acceptance, replayer: Replayer) -> None:
        self._reader = context.reader
        self._check_ready, self._acceptance = context.check_ready, acceptance
        self.replayer = replayer
        self._slots = asyncio.Semaphore(REPLAYS_AT_ONCE)

    async def export(self, run_id: str, *, owner: str | None) -> RunExport:
        """The file of a run as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        return exported(await self._reader.admitted(run_id, owner))

    async def replay(
        self, run_id: str, live: Collection[str] = (), *, owner: str | None
    ) -> RunReplay:
        """A run against the same run today; it counts as a post of its owner.

        The tools that are `live` are called, and nothing else is. Raises `RunNotFound`,
        `NotReplayable`, `LiveRejected`, `TooManyPosts`, `NotAccepting` and `StorageUnavailable`.
        """
        recorded = await self._reader.admitted(run_id, owner)
        if recorded["status"] not in SETTLED_OR_WAITING:
            raise NotReplayable(run_id, recorded["status"])
        self._check_ready()
        await self._acceptance.count_post(recorded["owner"])
        async with self._slots:
            return await compared(self.replayer, recorded, live)

    async def diff(self, run_id: str, other_id: str, *, owner: str | None) -> RunDiff:
        """Two runs as last stored. Raises `RunNotFound` and `StorageUnavailable`."""
        first = await self._reader.admitted(run_id, owner)
        second = await self._reader.admitted(other_id, owner)
        found = differences(first, second)
        return RunDiff(run_ids=[run_id, other_id], same=not found, differences=found)
