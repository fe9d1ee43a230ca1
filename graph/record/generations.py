"""The generations of a run, each from its beginning, or from a retry, to its end; and its trace.

A retry begins one by the update that is made here. Every generation is a trace of its own: that
of who called for it, where that was said. The ids follow from the run, so that all who tell of
it, in whatever process, tell the same.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

from graph.state import (
    Ending,
    ForkedFrom,
    Mark,
    Plan,
    RequiredApproval,
    Retry,
    Round,
    RunState,
    Step,
    in_doubt,
)
from graph.state.rounds import after_steps, replanned, rounds_of, steps_of
from graph.state.row import RetryCommand
from nodes.contract.steps import next_cursor

#: The number of no step: none is due.
NONE_DUE = 0


@dataclass(frozen=True)
class Generation:
    """One generation as its run stood at the end of it, or stands now, with the logs of that
    generation only.

    `plans`: whether the first plan is made in it; `first`: the number of the step that it begins
    with; `asks`: what a person is asked about the plan that it begins with, if they are. `doubts`:
    the steps that were in doubt when it began. `carried` and `planned`: how many rounds and
    planning calls the run had by then.
    """

    state: RunState
    plans: bool
    first: int
    skipped: frozenset[int]
    asks: RequiredApproval | None = None
    doubts: frozenset[int] = frozenset()
    carried: int = 0
    planned: int = 0

    def following(self, step: int, last: int) -> int:
        """The number of the step to be executed after this one, up to `last`, or `NONE_DUE`."""
        steps = range(step + 1, last + 1)
        return next((number for number in steps if number not in self.skipped), NONE_DUE)

    @property
    def rounds(self) -> list[Round]:
        """The rounds that were begun in it."""
        return rounds_of(self.state)[self.carried :]

    @property
    def before(self) -> int:
        """The last step of the plan that it began with; 0 where it began with none."""
        earlier = rounds_of(self.state)[: self.carried]
        return earlier[-1]["last"] if earlier else 0


def generations(state: RunState) -> Iterator[Generation]:
    """Every generation of a run, the first one first."""
    log, planning_log = state.get("log", []), state["planning_log"]
    fork = state.get("forked_from")
    begun: Retry | ForkedFrom | None = fork
    logged, planned = (fork["logged"], fork["planned"]) if fork else (0, 0)
    for place, entry in enumerate(log[logged:], start=logged):
        if "retry" in entry:
            retry: Retry = entry["retry"]
            ended = retry["ended"]
            then = _as_it_ended(state, ended, _plan_at(state, log[place:]))
            then["log"] = log[logged:place]
            then["planning_log"] = planning_log[planned : ended["planned"]]
            one = replace(_generation(then, begun), doubts=_in_doubt(log[:logged]))
            yield replace(one, planned=planned)
            begun, logged, planned = retry, place, ended["planned"]
    if begun is None:
        yield _generation(state, None)
    else:
        parts = RunState(log=log[logged:], planning_log=planning_log[planned:])
        last = _generation(cast("RunState", {**state, **parts}), begun)
        yield replace(last, doubts=_in_doubt(log[:logged]), planned=planned)


def _in_doubt(log: Sequence[Any]) -> frozenset[int]:
    steps = {entry["step"] for entry in log if entry.get("status") == "in_doubt"}
    return frozenset(step for step in steps if in_doubt({"log": log}, step))


def _generation(state: RunState, begun: Retry | ForkedFrom | None) -> Generation:
    if begun is None or begun["from_step"] is None:
        return Generation(state, plans=True, first=1, skipped=frozenset())
    generation = Generation(
        state,
        plans=False,
        first=begun["from_step"],
        skipped=frozenset(begun["skip"]),
        asks=begun.get("asks"),
        carried=_carried(begun),
    )
    return (
        generation if generation.first not in generation.skipped else _beginning_later(generation)
    )


def _carried(begun: Retry | ForkedFrom) -> int:
    """How many rounds there were; those of earlier versions had one, where they had a plan."""
    had: Any = begun.get("ended", begun)
    rounds: int = had.get("rounds", 1)
    return rounds


def _beginning_later(generation: Generation) -> Generation:
    first = generation.following(generation.first, generation.before)
    return replace(generation, first=first)


def _plan_at(state: RunState, since: Sequence[Any]) -> Plan:
    """The plan that a run had at an end, from the marks since; of edited inputs the latest.

    Who approves a plan may give another one, and only after a retry that asked for it.
    """
    retries = (entry["retry"] for entry in since if "retry" in entry)
    kept = (retry["ended"]["plan"] for retry in retries if "plan" in retry["ended"])
    return next(kept, state["plan"])


def _cut(state: RunState, ended: Ending, plan: Plan) -> Plan:
    """The plan as far as it went: rounds are added to it, also after a retry."""
    rounds = rounds_of({**state, "plan": plan})[: ended.get("rounds", 1)]
    if "rounds" not in ended:  # of an earlier version, whose approval is that of the one round
        rounds = [cast("Round", {**entry, "approval": ended.get("approval")}) for entry in rounds]
    return Plan(steps=plan["steps"][: ended["steps"]], rounds=rounds)


def _as_it_ended(state: RunState, ended: Ending, plan: Plan) -> RunState:
    return cast(
        "RunState",
        {
            **state,
            "status": ended["status"],
            "error": ended["error"],
            "result": ended.get("result"),
            "usage": ended["usage"],
            "planned_by": ended["planned_by"],
            "plan": _cut(state, ended, plan) if ended["steps"] else Plan(steps=[]),
            "approval": ended.get("approval", state.get("approval")),
            "generation": ended["generation"],
            "started_at": ended["started_at"],
            "completed_at": ended["completed_at"],
        },
    )


# How a retry begins the next one.


def is_due(command: RetryCommand | None, state: RunState) -> bool:
    """Whether a state has not taken over a command to retry."""
    return command is not None and state["generation"] < command["generation"]


def retried(state: RunState, command: RetryCommand, event: int) -> dict[str, Any]:
    """The update that turns a settled run into one that continues; `event` is its next one."""
    plan, mark = retried_plan(state, command), _retry_mark(state, command, event)
    cursor = first_cursor(plan["steps"], command)
    update: dict[str, Any] = {
        "status": "pending",
        "plan": plan,
        "cursor": cursor,
        "attempt": 0,
        "not_before": None,
        "generation": command["generation"],
        "skipped": command["skip"],
        "log": [mark],
        "planning": None,
        "result": None,
        "error": None,
        "started_at": None,
        "paused": 0.0,
        "completed_at": None,
    }
    if command["input"] is not None:
        update["plan_proposed"] = state["plan_proposed"] or Plan(steps=state["plan"]["steps"])
    if not plan["steps"]:
        update["planned_by"] = None
        return update
    after = {**state, **update, "log": [*state.get("log", []), mark]}
    return update | after_steps(after, cursor, at=command["at"])


def _retry_mark(state: RunState, command: RetryCommand, event: int) -> Mark:
    retry = Retry(
        from_step=command["from_step"],
        input=command["input"],
        skip=command["skip"],
        generation=command["generation"],
        ended=_ending(state),
    )
    for name in ("replan", "traceparent"):
        if name in command:
            retry[name] = command[name]
    if "asks" in command:
        retry["asks"] = command["asks"]
        retry["ended"]["plan"] = state["plan"]  # who approves may edit it
    return Mark(
        kind="mark",
        what="retry",
        at=command["at"],
        by=command["by"],
        detail=retry_detail(state, command),
        event=event,
        retry=retry,
    )


def _ending(state: RunState) -> Ending:
    ended = Ending(
        status=state["status"],
        error=state["error"],
        usage=state["usage"],
        planned_by=state["planned_by"],
        steps=len(state["plan"]["steps"]),
        rounds=len(rounds_of(state)),
        planned=len(state["planning_log"]),
        generation=state["generation"],
        started_at=state["started_at"],
        completed_at=state["completed_at"],
        approval=state.get("approval"),
    )
    if state["result"] is not None:
        ended["result"] = state["result"]
    return ended


def retry_detail(state: RunState, command: RetryCommand) -> str:
    """What was asked for, in words."""
    if command["from_step"] is None:
        return "planned again"
    words = f"from step {command['from_step']} of {len(state['plan']['steps'])}"
    if command["input"] is not None:
        words += ", with an edited input"
    left_out = [step for step in command["skip"] if step not in command.get("replan", ())]
    if left_out:
        words += f", without {', '.join(f'step {step}' for step in left_out)}"
    if "replan" in command:
        steps = state["plan"]["steps"]
        words += ", then" if first_cursor(steps, command) < len(steps) else ","
        words += " planned anew"
    return words


def retried_plan(state: RunState, command: RetryCommand) -> Plan:
    """The plan that is retried: with the edited input in it, and without what is dropped."""
    plan = replanned(state, command["replan"]) if "replan" in command else state["plan"]
    if command["input"] is None:
        return plan
    steps = [
        Step({**step, "input": command["input"]}) if step["step"] == command["from_step"] else step
        for step in plan["steps"]
    ]
    if "rounds" not in plan:
        return Plan(steps=steps)
    rounds = [
        cast("Round", {**entry, "proposed": entry["proposed"] or steps_of(plan, entry)})
        if entry["first"] <= (command["from_step"] or 0) <= entry["last"]
        else entry
        for entry in plan["rounds"]
    ]
    return Plan(steps=steps, rounds=rounds)


def first_cursor(steps: Sequence[Step], command: RetryCommand) -> int:
    """How many steps come before the one that the run continues with."""
    return next_cursor(steps, command["skip"], (command["from_step"] or 1) - 1)


# The trace of each.


#: A caller's place in its trace, as W3C Trace Context has it; later versions may say more.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(-.*)?"
)


@dataclass(frozen=True)
class Place:
    """Where a span is: its trace and its id. `sampled`: what its caller says of that, if any."""

    trace_id: int
    span_id: int
    sampled: bool | None = None


def checked_traceparent(traceparent: str | None) -> str | None:
    """What a caller says of its trace; None where that is nothing, or not understood."""
    given = _TRACEPARENT.fullmatch(traceparent or "")
    return f"00-{given['trace']}-{given['span']}-{given['flags']}" if given else None


def caller(traceparent: str | None) -> Place | None:
    """The span that called for a run."""
    given = _TRACEPARENT.fullmatch(traceparent or "")
    if given is None:
        return None
    sampled = bool(int(given["flags"], 16) & 1)
    return Place(int(given["trace"], 16), int(given["span"], 16), sampled)


def traceparents(state: RunState) -> Sequence[str | None]:
    """What was said of a trace when each generation of a run was called for."""
    fork, log = state.get("forked_from"), state.get("log", [])
    own = log[fork["logged"] :] if fork else log
    retries = [entry["retry"].get("traceparent") for entry in own if "retry" in entry]
    return [state.get("traceparent"), *retries]


def root(run_id: str, generation: int, traceparent: str | None = None) -> Place:
    """Where the span of one generation of a run is."""
    within = caller(traceparent)
    trace_id = int.from_bytes(_hash(f"{run_id}:{generation}", 16)) or 1
    return Place(
        within.trace_id if within else trace_id,
        span_id(run_id, f"{generation}"),
        within.sampled if within else None,
    )


def trace_id_of(state: RunState) -> str:
    """The trace that a run is in now, in hexadecimal digits."""
    parents = traceparents(state)
    return _trace_id(state["run_id"], len(parents) - 1, parents[-1])


@lru_cache(maxsize=4_096)  # each line of the log says it that is about the run
def _trace_id(run_id: str, generation: int, traceparent: str | None) -> str:
    return f"{root(run_id, generation, traceparent).trace_id:032x}"


def span_id(run_id: str, about: str) -> int:
    """The id of a span of a run."""
    return int.from_bytes(_hash(f"{run_id}:{about}", 8)) or 1


def _hash(text: str, length: int) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:length]
