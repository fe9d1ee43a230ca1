"""The node `fallback_plan`: the deterministic pattern planner, offline and without a model."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from graph.state import Plan, PlanningCall, RunState, run_error
from nodes.approval.asking import ApprovalGate
from nodes.approval.hand_edits import fault_of, refused
from nodes.contract.plan_check import check_plan
from nodes.contract.steps import WithoutSlot, no_slots
from nodes.planning.budget import limits_of, of_this_start
from nodes.planning.outcomes import last_rejected, models_failed
from tools.registry import Tool
from tools.toolbox import arrived, snapshot, to_come, version

if TYPE_CHECKING:  # what it knows of language is a tenth of a start
    from nodes.patterns.planner import PatternPlanner, Reading


logger = logging.getLogger("runwright.tools")

#: How many planners are kept, each for another set of tools.
MOST_LOADED = 8


class LazyPlanner:
    """The pattern planner of these tools, loaded by `load` or at the first prompt.

    At once where a tool has phrases of its own, since it raises `InvalidPhrase` for one that is no
    good.
    """

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        self._loading = Lock()
        self._loaded: dict[str, PatternPlanner] = {}
        if any(tool.phrases for tool in tools.values()):
            self.load()

    def load(self, owner: str | None = None) -> "PatternPlanner":
        """Load that of an owner's tools, unless it is.

        The first takes a tenth of a second, so call it in a thread.
        """
        with self._loading:
            tools = snapshot(self._tools, owner)
            if (loaded := self._loaded.get(version(tools))) is None:
                loaded = _planner_of(tools)
                if len(self._loaded) >= MOST_LOADED:
                    self._loaded.pop(next(iter(self._loaded)))
                self._loaded[version(tools)] = loaded
        return loaded

    async def plan(self, prompt: str, owner: str | None = None) -> "Reading":
        """What the planner reads in a prompt of an owner."""
        loaded = self._loaded.get(version(snapshot(self._tools, owner)))
        if loaded is None:
            loaded = await asyncio.to_thread(self.load, owner)
        return await loaded.plan(prompt)


def _planner_of(tools: Mapping[str, Tool]) -> "PatternPlanner":
    """The planner; a phrase for a server's tool that is no good costs only that tool's phrases."""
    from nodes.patterns.own_phrases import InvalidPhrase
    from nodes.patterns.planner import PatternPlanner

    while True:
        try:
            return PatternPlanner(tools)
        except InvalidPhrase as error:
            if (blamed := tools.get(error.tool)) is None or blamed.server is None:
                raise
            logger.warning("%s", error)
            tools = {**tools, error.tool: blamed.model_copy(update={"phrases": ()})}


async def fallback_plan(
    state: RunState,
    *,
    planner: "PatternPlanner | LazyPlanner",
    tools: Mapping[str, Tool],
    asking: ApprovalGate | None = None,
    hand_edits: bool = False,
    without_slot: WithoutSlot = no_slots,
) -> dict[str, Any]:
    """Plan the prompt by its language patterns, or refuse it whole and say which words.

    With `hand_edits` the state may have been edited, and is checked before anything else.
    """
    if hand_edits and (unfit := fault_of(state)):
        return refused(state, unfit)
    started_at = time.time()
    reading = await _read(state, planner, tools, without_slot)
    if reading.unparsed:
        asked = of_this_start(state, state["planning_log"])
        error = run_error(
            "planning_failed" if models_failed(asked) else "not_understood",
            _refusal(state, reading),
            unparsed=reading.unparsed,
            examples=reading.examples,
            rejected_plan=last_rejected(asked),
        )
        return {"error": error, "planning_log": _logged(state, "refused", started_at)}
    plan = Plan(steps=reading.steps)
    if reasons := check_plan(plan["steps"], snapshot(tools, state["owner"]), limits_of(state)):
        error = run_error("plan_rejected", _before(state) + "; ".join(reasons), rejected_plan=plan)
        return {"error": error, "planning_log": _logged(state, "rejected", started_at, reasons)}
    update = {"plan": plan, "planning_log": _logged(state, "planned", started_at)}
    return asking.about(state, update) if asking else update


async def _read(
    state: RunState,
    planner: "PatternPlanner | LazyPlanner",
    tools: Mapping[str, Tool],
    without_slot: WithoutSlot,
) -> "Reading":
    """What the planner reads in the prompt, with the tools that are to come if it needs them."""
    if not isinstance(planner, LazyPlanner):
        return await planner.plan(state["prompt"])
    while True:
        known = version(tools)
        reading = await planner.plan(state["prompt"], state["owner"])
        if not reading.unparsed:
            return reading
        if to_come(tools):  # perhaps they are what was asked for
            async with without_slot():
                await arrived(tools)
        elif version(tools) == known:
            return reading


#: How much of what was not understood the message repeats, in characters.
MOST_QUOTED = 500


def _refusal(state: RunState, reading: "Reading") -> str:
    words = "; ".join(f'"{part["text"]}"' for part in reading.unparsed)
    if len(words) > MOST_QUOTED:  # all of it is in `unparsed`, and each checkpoint keeps both
        words = f"{words[:MOST_QUOTED]}… (`unparsed` has all of it)"
    return f"{_before(state)}not understood: {words}. Nothing was done."


def _before(state: RunState) -> str:
    """Why no model had planned it, where models were to."""
    by = state["planned_by"]
    return f"{by['reason']}; " if by and of_this_start(state, state["planning_log"]) else ""


def _logged(
    state: RunState,
    outcome: Literal["planned", "refused", "rejected"],
    started_at: float,
    reasons: Sequence[str] = (),
) -> list[PlanningCall]:
    call = PlanningCall(
        planner="pattern",
        model=None,
        outcome=outcome,
        error_class=None,
        transient=None,
        reasons=list(reasons),
        started_at=started_at,
        duration_ms=round((time.time() - started_at) * 1000, 3),
        input_tokens=None,
        output_tokens=None,
        usd=None,
        rejected_plan=None,
    )
    return [*state["planning_log"], call]
