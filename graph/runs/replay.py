"""A run again, on today's graph and tools, with what it met outside as it was recorded.

Models answer as they did, tools return what they had returned, and people decide as they had
decided; nothing is waited for, and nothing is changed in the world.
"""

import copy
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Overwrite

from graph.build import RunGraph, build_graph, recursion_limit
from graph.models.ladder import NO_MODELS, RecordedAudience, recorded_ladder
from graph.record.diff import seed_of
from graph.runs.cancellation import CUT_OFF
from graph.runs.recovery import apply_retry, begin, is_waiting, set_running, state_at, thread
from graph.state import (
    Attempt,
    Channels,
    Mark,
    PlanningCall,
    RunState,
    split,
    step_key,
)
from graph.state.rounds import rounds_of, steps_of
from graph.state.row import RetryCommand
from graph.state.status import SETTLED
from nodes.contract.steps import InvalidOutput, InvalidReference, resolved
from nodes.planning.model import ModelLadder
from tools.invocation import TRANSIENT, invoke
from tools.registry import ToolCall
from tools.threads import ToolThreads
from tools.toolbox import Failure, Outcome, Tool, UnfitInput, snapshot


class Build(Protocol):
    """Builds the graph of runs over these tools, of these parts; all else of it is set."""

    def __call__(self, tools: Mapping[str, Tool], **parts: Any) -> RunGraph: ...


class LiveRejected(Exception):
    """A tool that cannot be called by a replay; `reasons` say why."""

    field = "live"

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = list(reasons)


#: Where nothing is set.
_BUILD = partial(build_graph, input_schema=Channels)


@dataclass(frozen=True)
class Replayer:
    """Runs recorded runs again, by the graph that is built as that of all runs is.

    `policy` is how models are asked, of which none is; blocking tools that are live run in
    `threads`.
    """

    tools: Mapping[str, Tool]
    build: Build = _BUILD
    policy: ModelLadder = NO_MODELS
    threads: ToolThreads = field(default_factory=ToolThreads)

    async def replay(self, recorded: RunState, live: Collection[str] = ()) -> RunState:
        """The state in which a run ends today, as far as it goes the way that is recorded.

        The tools that are `live` are called; all others return what was recorded. Nothing of it is
        stored. Raises `LiveRejected` for a live tool that would change something.
        """
        # A start does without what only a replay keeps its run in.
        from langgraph.checkpoint.memory import InMemorySaver
        from langgraph.store.memory import InMemoryStore

        tools = snapshot(self.tools, recorded["owner"])
        _check_live(live, tools)
        ladder = recorded_ladder(recorded, self.policy)
        parts: dict[str, Any] = {
            "checkpointer": InMemorySaver(),
            "store": InMemoryStore(),
            "threads": self.threads,
            "wait": _at_once,
            "calls": RecordedCalls(recorded, live).make,
            "audience": RecordedAudience(recorded),
        }

        def graph(modelled: bool) -> RunGraph:
            return self.build(tools, ladder=ladder if modelled else None, **parts)

        for name in _SILENT:
            logging.getLogger(name).addFilter(_as_it_happens)
        replaying = _replaying.set(True)
        try:
            return await _Replay(recorded, graph, tools).run()
        finally:
            _replaying.reset(replaying)


def _check_live(live: Collection[str], tools: Mapping[str, Tool]) -> None:
    for name in live:
        if name not in tools:
            raise LiveRejected(f"there is no tool {name!r}; there are {', '.join(tools)}")
        if tools[name].effects:
            raise LiveRejected(f"{name} changes something, and a replay must not")


#: What tells of runs as they happen, and is not to tell of one that has.
_SILENT = ("runwright.models", "runwright.steps")

_replaying: ContextVar[bool] = ContextVar("replaying", default=False)


def _as_it_happens(_record: logging.LogRecord) -> bool:
    return not _replaying.get()


async def _at_once(_moment: float) -> float:
    """Sits nothing out."""
    return 0.0


# What tools returned.


#: Errors of attempts whose tool was not called.
_NOT_CALLED = frozenset(
    {"InvalidInput", "NoFreeThread", "ServerAway", "StillRunning", "UnknownTool", "NotRecorded"}
)

#: Errors that do not tell whether a tool has acted.
_DOUBTFUL = frozenset({"Timeout", "ProcessEnded", *(one.__name__ for one in TRANSIENT)})


class RecordedCalls:
    """Stands for the calls of the tools of a run, but of those that are `live`."""

    def __init__(self, recorded: RunState, live: Collection[str]) -> None:
        self._live = live
        self._made: dict[str, deque[Attempt]] = defaultdict(deque)
        fork = recorded.get("forked_from")
        for entry in recorded.get("log", [])[fork["logged"] if fork else 0 :]:
            if entry["kind"] == "attempt" and not _is_cut_off(entry):
                of: RunState = {**recorded, "generation": entry["generation"]}
                self._made[step_key(of, entry["step"])].append(entry)

    async def make(
        self, tool: Tool, value: Mapping[str, Any], call: ToolCall, **how: Any
    ) -> Outcome:
        """How the next call of a step ends: as it was recorded, if its tool was the same one."""
        if tool.name in self._live:
            return await invoke(tool, value, call, **how)
        try:
            tool.arguments(copy.deepcopy(value))
        except UnfitInput as unfit:
            failure = Failure("InvalidInput", f"{tool.name}: {unfit}", retryable=False)
            return Outcome("error", failure=failure, called=False)
        made = self._made[call.step_key]
        if not made or made[0]["tool"] != tool.name:
            failure = Failure("NotRecorded", f"{tool.name} was not called", retryable=False)
            return Outcome("error", failure=failure, called=False)
        return _outcome(made.popleft())


def _is_cut_off(entry: Attempt) -> bool:
    """Whether a cancellation has cut it off."""
    error = entry["error"]
    return entry["status"] == "cancelled" or (error is not None and error["type"] == CUT_OFF)


def _outcome(entry: Attempt) -> Outcome:
    if entry["status"] == "ok" or (error := entry["error"]) is None:
        return Outcome("ok", copy.deepcopy(entry["output"]))
    kind, in_doubt = error["type"], entry["status"] == "in_doubt"
    message = error["message"].removesuffix("; it may have acted")
    timeout = kind == "Timeout"
    return Outcome(
        "timeout" if timeout or entry["status"] == "timeout" else "error",
        failure=Failure(kind, message, error["retryable"] or (in_doubt and kind in _DOUBTFUL)),
        thread_running=entry["thread_running"],
        called=kind not in _NOT_CALLED,
        doubtful=in_doubt or kind in _DOUBTFUL,
    )


# What people decided, and how runs were ended from outside.


class _Replay:
    """Drives the graph to where the record ends, or where it goes another way.

    `make` makes it with models that plan, or without.
    """

    def __init__(
        self, recorded: RunState, make: Callable[[bool], RunGraph], tools: Mapping[str, Tool]
    ) -> None:
        self._recorded, self._make = recorded, make
        self._graph: RunGraph
        self._modelled: bool | None = None
        self._log = [one for one in recorded.get("log", []) if one.get("what") != "taken_up"]
        self._planned = recorded["planning_log"]
        models = len({entry["model"] for entry in self._planned})
        limit = recursion_limit(recorded["limits"], tools.values(), models=models)
        self._config = thread(recorded["run_id"]) | RunnableConfig(recursion_limit=limit)
        # Only where it was ended from outside, since that is looked for after each node.
        ends = [recorded, *(one["retry"]["ended"] for one in self._log if "retry" in one)]
        cancelled = any(one.get("what") == "cancel" for one in self._log)
        self._stops = cancelled or any(map(_is_internal, ends))

    async def run(self) -> RunState:
        """The state at its end."""
        state = await self._begun()
        while (after := await self._met(state)) is not None:
            state = after
        return state

    async def _begun(self) -> RunState:
        state = seed_of(self._recorded)
        self._start(state)
        if not state["plan"]["steps"] and not state.get("forked_from"):
            return await self._advance(split(state))
        await begin(self._graph, self._config, state)
        await set_running(self._graph, self._config, state)
        return await self._advance(None)

    def _start(self, state: RunState) -> None:
        """A server that begins with a run, or with its retry, has models or not, until it ends."""
        planned, _ = self._extent(self._ended(self._left(state)))
        calls = self._planned[len(state["planning_log"]) : planned]
        modelled = any(entry["planner"] == "llm" for entry in calls)
        if modelled != self._modelled:
            self._graph, self._modelled = self._make(modelled), modelled

    async def _advance(self, given: Any) -> RunState:
        """Let the graph run until it stops by itself, or to where it was ended from outside."""
        if not self._stops:
            await self._graph.ainvoke(given, self._config, durability="sync", output_keys=[])
            return await self._state()
        while given is not None or not self._rests(await self._state()):
            await self._graph.ainvoke(
                given, self._config, durability="sync", output_keys=[], interrupt_before="*"
            )
            given = None
        return await self._state()

    def _rests(self, state: RunState) -> bool:
        return state["status"] in SETTLED or is_waiting(state) or self._is_end(state)

    async def _state(self) -> RunState:
        return await state_at(self._graph, self._config)

    def _left(self, state: RunState) -> list[Any]:
        """The entries of the log that the record has more."""
        return self._log[len(state.get("log", [])) :]

    async def _met(self, state: RunState) -> RunState | None:
        """The state after what happened next from outside; None where that was nothing."""
        left, settled = self._left(state), state["status"] in SETTLED
        if not settled and _is_internal(self._ended(left)) and self._is_end(state):
            return await self._end(state, [])
        mark: Mark | None = left[0] if left and left[0]["kind"] == "mark" else None
        match mark and mark["what"]:
            case "cancel" if mark and not settled and self._is_end(state):
                return await self._end(state, [mark, *self._cut_off(state, left[1:2])])
            case "retry" if mark and settled:
                await apply_retry(self._graph, self._config, state, _command(mark))
                self._start(state := await self._state())
                await set_running(self._graph, self._config, state)
                return await self._advance(None)
            case "approved" | "rejected" | "expired" | "resolved" if mark and is_waiting(state):
                answer = self._answer(mark, state)
                after = await self._advance(Command(resume=answer))
                return None if len(self._left(after)) == len(left) else after
        return None

    def _ended(self, left: Sequence[Any]) -> Any:
        """The end that comes next in the record: one that a retry has undone, or the last one."""
        return next((one["retry"]["ended"] for one in left if "retry" in one), self._recorded)

    def _is_end(self, state: RunState) -> bool:
        """Whether the run was ended from outside when it had come as far as this."""
        left = self._left(state)
        ended = self._ended(left)
        cancelled = bool(left) and left[0].get("what") == "cancel"
        if not cancelled and not (_is_internal(ended) and (not left or "retry" in left[0])):
            return False
        planned, steps = self._extent(ended)
        if planned and _is_call_cut_off(self._planned[planned - 1]):
            planned -= 1
        return (len(state["planning_log"]), bool(state["plan"]["steps"])) == (planned, bool(steps))

    def _extent(self, ended: Any) -> tuple[int, int]:
        """How many calls of planners there were by an end, and steps."""
        if ended is self._recorded:
            return len(self._planned), len(self._recorded["plan"]["steps"])
        return ended["planned"], ended["steps"]

    async def _end(self, state: RunState, added: Sequence[Any]) -> RunState:
        """End it as it was ended."""
        ended = self._ended(self._left(state))
        planned, _ = self._extent(ended)
        update = {
            "status": ended["status"],
            "log": Overwrite([*state.get("log", []), *added]),
            "error": ended["error"],
            "planning": None,
            "planning_log": [
                *state["planning_log"],
                *self._planned[len(state["planning_log"]) : planned],
            ],
            "not_before": None,
            "completed_at": time.time(),
        }
        await self._graph.aupdate_state(self._config, split(update), as_node="finalize")
        return await self._state()

    def _cut_off(self, state: RunState, following: Sequence[Any]) -> list[Attempt]:
        """The attempt that the cancellation has cut off, with what is called there today."""
        steps, cursor = state["plan"]["steps"], state["cursor"]
        cut = [one for one in following if one["kind"] == "attempt" and _is_cut_off(one)]
        if not cut or cursor >= len(steps):
            return []
        step = steps[cursor]
        try:
            value, _ = resolved(state, step)
        except (InvalidReference, InvalidOutput):
            value = step["input"]
        return [cast("Attempt", {**cut[0], "tool": step["tool"], "input": value})]

    def _answer(self, mark: Mark, state: RunState) -> dict[str, Any]:
        """What a person said, as the graph is told."""
        answer: dict[str, Any] = {"what": mark["what"], "at": mark["at"], "by": mark["by"]}
        if "as" in mark:
            said = {"output": mark["output"]} if mark["as"] == "done" and "output" in mark else {}
            return answer | {"as": mark["as"]} | said
        answer["reason"] = mark["detail"]
        if mark["what"] == "approved" and (plan := self._edited(mark, state)):
            answer["plan"] = plan
        return answer

    def _edited(self, mark: Mark, state: RunState) -> dict[str, Any] | None:
        """The plan that a person wanted instead; None where it was approved as it was."""
        number, steps = len(rounds_of(state)), mark.get("steps")
        theirs = rounds_of(self._recorded)[number - 1 : number]
        replanned = any("replan" in one["retry"] for one in self._log if "retry" in one)
        followed = bool(theirs and "proposed_then" in theirs[0] and not replanned)
        if not steps and not followed:
            return None
        entry = theirs[0] if followed else rounds_of(state)[-1]
        then = "look" if entry["then"] == "look" else "done"
        return {"steps": steps or steps_of(self._recorded["plan"], entry), "then": then}


def _is_internal(ended: Any) -> bool:
    return bool(ended["error"]) and ended["error"]["type"] == "internal"


def _is_call_cut_off(entry: PlanningCall) -> bool:
    return entry["error_class"] == "cancelled" and entry.get("purpose") != "answer"


def _command(mark: Mark) -> RetryCommand:
    """What was asked for by a retry."""
    retry = mark["retry"]
    command = RetryCommand(
        from_step=retry["from_step"],
        input=retry["input"],
        skip=retry["skip"],
        generation=retry["generation"],
        by=mark["by"],
        at=mark["at"],
    )
    if "replan" in retry:
        command["replan"] = retry["replan"]
    if "traceparent" in retry:
        command["traceparent"] = retry["traceparent"]
    if "asks" in retry:
        command["asks"] = retry["asks"]
    return command
