"""Plans and their steps: how a plan is checked, and what attempts at its steps have in common.

The check is made before anything is executed, whichever planner made the plan, with the tools of
this moment, which may no longer be what they were when it was planned, or approved.
"""

import asyncio
import json
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol
from uuid import UUID, uuid5

from graph.state import (
    Attempt,
    AttemptError,
    Limits,
    PlannedTool,
    RunState,
    Step,
    ended_at,
    outputs,
    step_key,
)
from graph.state.rounds import approval_of, rounds_of
from nodes.contract.json_data import (
    InvalidOutput,
    InvalidReference,
    check_size,
    has_reference,
    measured,
    plain,
    references,
    resolve,
    resolved_size,
)
from tools.invocation import Outcome
from tools.receipts import Begun
from tools.registry import Tool
from tools.threads import ToolThreads
from tools.toolbox import ToolSnapshot, absence, changes, definition_of, snapshot


class RunTools(ToolSnapshot):
    """The tools that a run may use, where these are not all of its owner."""


def run_tools(state: RunState, tools: Mapping[str, Tool]) -> Mapping[str, Tool]:
    """The tools of this moment that a run may use: all of its owner, unless it was told which."""
    tools = snapshot(tools, state["owner"])
    choice = state.get("choice")
    if not choice or choice["tools"] is None:
        return tools
    absent = tools.absent if isinstance(tools, ToolSnapshot) else {}
    return RunTools({name: tools[name] for name in choice["tools"] if name in tools}, absent)


def check_plan(
    steps: Sequence[Step],
    tools: Mapping[str, Tool],
    limits: Limits,
    *,
    first: int = 1,
    done: Collection[int] = (),
) -> list[str]:
    """Why this plan must not be executed; empty when it may.

    Tools exist, inputs fit their schemas and a checkpoint can hold them, references point to
    earlier steps, limits hold. A later round begins with step `first`, and its references may point
    to the steps before that are `done`.
    A value that holds a reference is checked again when the reference is resolved.
    """
    if not steps:
        return ["the plan has no steps"]
    if (count := first - 1 + len(steps)) > limits["max_steps"]:
        before = f", {first - 1} of them before" if first > 1 else ""
        return [f"the plan has {count} steps{before}; at most {limits['max_steps']} are allowed"]
    reasons = []
    for number, step in enumerate(steps, start=first):
        if step["step"] != number:
            reasons.append(f"step {number} is numbered {step['step']}; steps count from {first}")
        known = {*done, *range(first, number)}
        found = _check_step(number, step, tools, limits["max_output"], known)
        reasons += [f"step {number}: {reason}" for reason in found]
    return reasons


def _check_step(
    number: int,
    step: Step,
    tools: Mapping[str, Tool],
    max_input: int,
    known: Collection[int],
) -> list[str]:
    tool = tools.get(step["tool"])
    if tool is None:
        return [missing(step["tool"], tools)]
    try:
        # As the attempt will find it, when steps before it are done already.
        plain(step["input"], max_bytes=max_input, what="input")
        targets = [reference.step for reference in references(step["input"])]
    except (InvalidOutput, InvalidReference) as error:
        return [str(error)]
    reasons = [
        f"{{step_{target}_output}} does not come before it; {_usable(known)}"
        if target >= number
        else f"{{step_{target}_output}} is not there, since step {target} was not done;"
        f" {_usable(known)}"
        for target in targets
        if target not in known
    ]
    return reasons + input_errors(tool, step["input"])


def missing(name: str, tools: Mapping[str, Tool]) -> str:
    """Why none of these tools has this name, and which there are."""
    if away := absence(tools, name):
        return f"there is no tool {name!r} now; {away}"
    if isinstance(tools, RunTools):
        return f"this run may not use a tool {name!r}; it may use {', '.join(tools) or 'none'}"
    return f"there is no tool {name!r}; there are {', '.join(tools)}"


def _usable(known: Collection[int]) -> str:
    """Which steps can be referred to."""
    if not known:
        return "the first step can refer to none"
    last = max(known)
    if len(known) == last:
        return f"use steps 1 to {last}"
    return f"use steps {', '.join(map(str, sorted(known)))}"


def input_errors(tool: Tool, value: Mapping[str, Any]) -> list[str]:
    """What is wrong with an input, each with its field; parts that hold a reference pass."""
    depends = has_reference(value)
    if not depends:
        value = resolve(value, {})  # a limit on length is meant for the words, not their escapes
    return [
        f"{'.'.join(map(str, fault.place)) or 'input'} of {tool.name}: {fault.message}"
        for fault in tool.faults(value)
        if not (depends and _may_pass(value, fault.place, fault.kind))
    ]


def _may_pass(value: Any, location: tuple[int | str, ...], kind: str) -> bool:
    """Whether an error may be gone when references are resolved: the value it is about has one."""
    for position, key in enumerate(location):
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            # A key that the input does not have is a missing field, or names a union's branch; of a
            # branch only the whole value can tell whether it will fit.
            is_missing_field = kind == "missing" and position == len(location) - 1
            return not is_missing_field and has_reference(value)
    return kind != "extra_forbidden" and has_reference(value)


def stamped(step: Step, tools: Mapping[str, Tool]) -> Step:
    """The step with what a server says of its tool; as it is where none has it."""
    tool = tools.get(step["tool"])
    if tool is None or tool.server is None:
        return step
    return {**step, "definition": definition_of(tool)}


def changed_since_asked(state: RunState, tools: Mapping[str, Tool]) -> dict[str, list[str]]:
    """The servers' tools that are no longer what a person was shown who was asked about them.

    By their names, each with what has changed.
    """
    asked = [*(entry["approval"] for entry in rounds_of(state)), approval_of(state)]
    shown = {
        planned["tool"]: planned["definition"]
        for approval in asked  # the latest last
        if approval
        for planned in approval["tools"]
        if "definition" in planned
    }
    found = {
        name: changes(definition, definition_of(tool))
        for name, definition in shown.items()
        if (tool := tools.get(name))
    }
    return {name: changed for name, changed in found.items() if changed}


def changed_since_planned(state: RunState, step: Step, tool: Tool | None) -> list[str]:
    """What has changed of the tool of a step about which nobody was asked."""
    approval = approval_of(state)
    asked = approval["tools"] if approval else ()
    if tool is None or "definition" not in step or any(one["tool"] == tool.name for one in asked):
        return []
    return changes(step["definition"], definition_of(tool))


def with_changes(used: list[PlannedTool], changed: Mapping[str, list[str]]) -> list[PlannedTool]:
    """The tools of a plan, those that have changed with what has."""
    return [
        {**one, "changed": changed[one["tool"]]} if one["tool"] in changed else one for one in used
    ]


def in_words(changed: Mapping[str, list[str]]) -> str:
    """What has changed, in a sentence."""
    parts = "; ".join(
        f"{name}: its {', '.join(what).replace('_', ' ')}" for name, what in changed.items()
    )
    return f"a server has changed its tool since somebody approved the plan ({parts})"


#: The type of the error of an attempt that a cancellation has cut off.
CUT_OFF = "Cancelled"


#: The key of a step that is executed with this input.
KeyOf = Callable[[RunState, Step, Any], str]


def planned_key(state: RunState, step: Step, _value: Any) -> str:
    """The key of a step whose plan stays as it was made."""
    return step_key(state, step["step"])


def edited_step_key(state: RunState, step: Step, value: Any) -> str:
    """The key of a step whose plan may be edited in the state, with the same `generation`.

    It holds what is asked, the tool and the resolved input, too: the same again has its effect
    once, on every branch of the thread, and something else has one of its own.
    """
    asked = json.dumps([step["tool"], value], sort_keys=True)
    return str(uuid5(UUID(step_key(state, step["step"])), asked))


def resolved(state: RunState, step: Step) -> tuple[Any, int]:
    """The step's input with every reference replaced, and how many bytes of JSON that are.

    Raises `InvalidReference`, and `InvalidOutput` where it is larger than a step's output may be:
    few words of a plan can name large outputs many times.
    """
    most, done = state["limits"]["max_output"], outputs(state)
    if has_reference(step["input"]):  # or else it is as large as it stands
        check_size(resolved_size(step["input"], done), max_bytes=most, what="input")
    return measured(resolve(step["input"], done), max_bytes=most, what="input")


def interrupted(
    state: RunState,
    *,
    tools: Mapping[str, Tool],
    threads: ToolThreads,
    at: float,
    begun: Begun | None = None,
    guarded: bool = False,
) -> Attempt | None:
    """The entry of the attempt that was cut off at an epoch second, or None if none was due.

    `guarded`: its call leaves a receipt as it is `begun`.
    """
    steps = state["plan"]["steps"]
    due = state["not_before"] or 0.0
    if state["status"] != "running" or state["error"] or state["cursor"] >= len(steps) or due > at:
        return None
    step = steps[state["cursor"]]
    tool = tools.get(step["tool"])
    may_have_acted = tool is not None and tool.effects
    in_doubt = guarded and begun is not None and begun.attempt > state["attempt"]
    if guarded:
        may_have_acted = in_doubt
    try:
        value, _ = resolved(state, step)
    except (InvalidReference, InvalidOutput):
        value = step["input"]
    if guarded and not in_doubt:
        effect = "it was not called yet"
    elif begun is not None and begun.ended_at is not None:
        effect = "it had returned by then"
    else:
        effect = "it may have acted" if may_have_acted else "it changes nothing"
    started_at = min(max(due, _last_end(state)), at)
    return Attempt(
        kind="attempt",
        step=step["step"],
        tool=step["tool"],
        input=value,
        attempt=state["attempt"] + 1,
        generation=state["generation"],
        status="in_doubt" if in_doubt else "cancelled",
        output=None,
        error=AttemptError(
            type=CUT_OFF,
            message=f"{step['tool']} was cut off by the cancellation; {effect}",
            retryable=False,
        ),
        retry_at=None,
        thread_running=threads.running(step_key(state, step["step"])),
        may_have_acted=may_have_acted,
        started_at=started_at,
        duration_ms=round((at - started_at) * 1000, 3),
    )


def _last_end(state: RunState) -> float:
    """When the run last got on: nothing that came later had begun before."""
    entries = (*state["planning_log"], *state["log"])
    return max((ended_at(entry) for entry in entries if "duration_ms" in entry), default=0.0)


# Steps that a retry leaves out: the cursor passes them, and nothing may refer to them.


def next_cursor(steps: Sequence[Step], skipped: Collection[int], cursor: int) -> int:
    """The first place from `cursor` on whose step is to be executed; the plan's end if none is."""
    while cursor < len(steps) and steps[cursor]["step"] in skipped:
        cursor += 1
    return cursor


def left_out(state: RunState) -> int:
    """How many steps were passed by so far without being done."""
    return sum(step <= state["cursor"] for step in state.get("skipped", []))


def missed(steps: Sequence[Step], skipped: Collection[int], cursor: int) -> list[str]:
    """Which steps from `cursor` on refer to one that is left out; one sentence for each."""
    return [
        f"step {reference.step} cannot be left out: step {step['step']} refers to it"
        f" as {reference.text}"
        for step in steps[cursor:]
        if step["step"] not in skipped
        for reference in references(step["input"])
        if reference.step in skipped
    ]


# How a node waits: for its next attempt, and for what somebody else does.


#: Longest wait that anybody may ask for, in seconds: a tool's attempts, a provider, a clock.
MAX_WAIT = 3600.0


def bounded(wait: float) -> float:
    """A wait as it is kept, in seconds: not before now, and at most `MAX_WAIT`."""
    return min(max(wait, 0.0), MAX_WAIT) if not math.isnan(wait) else 0.0


def retry_at(state: RunState, outcome: Outcome, tool: Tool | None) -> float | None:
    """When the next attempt is due: base · 2^(n-1), spread by a quarter so that herds disperse."""
    made, limits = state["attempt"] + 1, state["limits"]
    most = (tool and tool.attempts) or limits["max_attempts"]
    if not (outcome.failure and outcome.failure.retryable and made < most):
        return None
    spread = random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing
    wait: float = limits["backoff"] * 2 ** min(made - 1, 40) * spread
    return time.time() + bounded(wait)


#: Sits out a backoff until the given epoch second; the seconds that passed after it, while others
#: had all the slots.
Wait = Callable[[float], Awaitable[float]]


async def sleep_until(moment: float) -> float:
    """Wait until an epoch second; returns at once when it has passed. Needs no slot."""
    # Timers count in whole milliseconds and on another clock, so one may ring too early.
    while (left := moment - time.time()) > 0:  # noqa: ASYNC110 - time passes, nothing else
        await asyncio.sleep(left)
    return 0.0


class Paused(Protocol):
    """How long a run waited for a slot, in seconds, while it had something to compute."""

    @property
    def seconds(self) -> float:
        """Known once it has one again."""


#: Gives the slot of the run away, and takes one again at the end.
WithoutSlot = Callable[[], AbstractAsyncContextManager[Paused]]


class _NotPaused:
    seconds = 0.0


@asynccontextmanager
async def no_slots() -> AsyncIterator[Paused]:
    """Wait where nobody counts who computes."""
    yield _NotPaused()
