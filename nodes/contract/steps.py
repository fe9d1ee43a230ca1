"""What attempts have in common: the key of the step, its input, and how one is cut off."""

import asyncio
import json
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol
from uuid import UUID, uuid5

from graph.state import Attempt, AttemptError, RunState, Step, ended_at, outputs, step_key
from nodes.contract.json_data import (
    InvalidOutput,
    InvalidReference,
    check_size,
    has_reference,
    measured,
    references,
    resolve,
    resolved_size,
)
from tools.invocation import Outcome
from tools.receipts import Begun
from tools.registry import Tool
from tools.threads import ToolThreads

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
