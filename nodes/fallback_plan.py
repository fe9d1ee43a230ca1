"""The node `fallback_plan`: the deterministic pattern planner, offline and without a model."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

from graph.state import Conversation, Plan, PlanningCall, RunState, limits_of, run_error
from graph.state.rounds import made
from nodes.approval.asking import ApprovalGate
from nodes.contract.checks import RunTools, check_plan, run_tools
from nodes.contract.steps import WithoutSlot, no_slots
from nodes.planning.model_attempt import of_this_start
from nodes.planning.outcomes import last_rejected, models_failed
from tools.loading import BUILTIN
from tools.registry import make_tools
from tools.toolbox import Tool, arrived, snapshot, to_come, version

if TYPE_CHECKING:  # what it knows of language is a tenth of a start
    from nodes.patterns.accounts import Reading
    from nodes.patterns.planner import PatternPlanner


logger = logging.getLogger("runwright.tools")

#: So many planners are kept, each of other tools; another is made in a millisecond or two.
MOST_KEPT = 32

#: A prompt of more characters is read beside the event loop: the worst of so many take as long as
#: anybody else may have to wait.
LONGEST_AT_ONCE = 200


class LazyPlanner:
    """The pattern planners of these tools, and of some of them: loaded by `load` or when needed.

    At once where a tool has phrases of its own, since it raises `InvalidPhrase` for one that is no
    good.
    """

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        self._loading = Lock()
        # One thread: several would take the interpreter from the loop in turns.
        self._beside = ThreadPoolExecutor(1, "planning")
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.loaded: dict[str, PatternPlanner] = {}
        if any(tool.phrases for tool in tools.values()):
            self.load()

    def load(self, tools: Mapping[str, Tool] | None = None) -> "PatternPlanner":
        """Load that of these tools, of all without, unless it is.

        The first takes a tenth of a second, so call it in a thread.
        """
        tools = snapshot(self._tools if tools is None else tools)
        with self._loading:
            if (planner := self.loaded.get(version(tools))) is None:
                planner = _planner_of(tools)
                if len(self.loaded) >= MOST_KEPT:
                    self.loaded.pop(next(iter(self.loaded)))
                self.loaded[version(tools)] = planner
        return planner

    async def plan(
        self,
        prompt: str,
        tools: Mapping[str, Tool] | None = None,
        *,
        owner: str = "",
        conversation: Conversation | None = None,
    ) -> "Reading":
        """What the planner of these tools reads in a prompt, of all without.

        Words for something said before mean what the last run of the `conversation` returned.
        A long prompt is read beside the event loop, one of each owner at a time, in turns.
        """
        tools = snapshot(self._tools if tools is None else tools)
        planner = self.loaded.get(version(tools))
        if planner is None:
            planner = await asyncio.to_thread(self.load, tools)
        if len(prompt) <= LONGEST_AT_ONCE:
            return planner.read(prompt, conversation)
        loop, lock = asyncio.get_running_loop(), asyncio.Lock()
        async with self._locks.setdefault(owner, lock):
            return await loop.run_in_executor(self._beside, planner.read, prompt, conversation)


def _planner_of(tools: Mapping[str, Tool]) -> "PatternPlanner":
    """The planner; a phrase for a server's tool that is no good costs only that tool's phrases."""
    from nodes.patterns.planner import InvalidPhrase, PatternPlanner

    while True:
        try:
            return PatternPlanner(tools)
        except InvalidPhrase as error:
            if (blamed := tools.get(error.tool)) is None or blamed.server is None:
                raise
            logger.warning("%s", error)
            tools = {**tools, error.tool: blamed.model_copy(update={"phrases": ()})}


def overlaps(tools: Mapping[str, Tool]) -> list[str]:
    """Which own phrases of tools take sentences away from the built-in ones, in words.

    Raises `InvalidPhrase` when a phrase is no good.
    """
    if not any(tool.phrases for tool in tools.values()):
        return []
    # It is loaded for the phrases anyway.
    from nodes.patterns.planner import PatternPlanner, own_phrases, spoken

    built_in = {name: tool for name, tool in make_tools(BUILTIN).items() if name in tools}
    planner, phrases = PatternPlanner(built_in), own_phrases(tools)
    understood = ((phrase, planner.read(spoken(phrase)).steps) for phrase in phrases)
    return [
        f"the phrase {phrase.line!r} of tool {phrase.tool!r} takes sentences away from "
        f"{steps[0]['tool']!r}"
        for phrase, steps in understood
        if steps
    ]


async def fallback_plan(
    state: RunState,
    *,
    planner: LazyPlanner,
    tools: Mapping[str, Tool],
    asking: ApprovalGate | None = None,
    without_slot: WithoutSlot = no_slots,
) -> dict[str, Any]:
    """Plan the prompt by its language patterns, or refuse it whole and say which words."""
    started_at = time.time()
    allowed, reading = await _read(state, planner, tools, without_slot)
    fewer = allowed if isinstance(allowed, RunTools) else None
    if reading.unparsed:
        asked = of_this_start(state, state["planning_log"])
        error = run_error(
            "planning_failed" if models_failed(asked) else "not_understood",
            _refusal(state, reading, fewer),
            unparsed=reading.unparsed,
            examples=reading.examples,
            rejected_plan=last_rejected(asked),
        )
        return {"error": error, "planning_log": _logged(state, "refused", started_at)}
    plan = Plan(steps=reading.steps)
    if reasons := check_plan(plan["steps"], allowed, limits_of(state)):
        error = run_error("plan_rejected", _before(state) + "; ".join(reasons), rejected_plan=plan)
        return {"error": error, "planning_log": _logged(state, "rejected", started_at, reasons)}
    log, by = _logged(state, "planned", started_at), state["planned_by"]
    update = made(state, plan["steps"], "done", by, calls=len(log)) | {"planning_log": log}
    return asking.about(state, update) if asking else update


async def _read(
    state: RunState, planner: LazyPlanner, tools: Mapping[str, Tool], without_slot: WithoutSlot
) -> tuple[Mapping[str, Tool], "Reading"]:
    """What the planner reads in the prompt, with the tools that are to come if it needs them.

    Before it the tools that it reads by.
    """
    while True:
        allowed = run_tools(state, tools)
        reading = await planner.plan(
            state["prompt"],
            allowed,
            owner=state["owner"],
            conversation=state.get("conversation"),
        )
        if not reading.unparsed:
            return allowed, reading
        if to_come(tools):  # perhaps they are what was asked for
            async with without_slot():
                await arrived(tools)
        elif version(allowed) == version(run_tools(state, tools)):
            return allowed, reading


#: How much of what was not understood the message repeats, in characters.
MOST_QUOTED = 500


def _refusal(state: RunState, reading: "Reading", fewer: RunTools | None) -> str:
    words = "; ".join(f'"{part["text"]}"' for part in reading.unparsed)
    if len(words) > MOST_QUOTED:  # all of it is in `unparsed`, and each checkpoint keeps both
        words = f"{words[:MOST_QUOTED]}… (`unparsed` has all of it)"
    only = "" if fewer is None else f" with {', '.join(fewer) or 'none'} as its only tools"
    why = f"{words}. {reading.reason}" if reading.reason else words
    return f"{_before(state)}not understood{only}: {why}. Nothing was done."


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
        round=1,
        purpose="plan",
    )
    return [*state["planning_log"], call]
