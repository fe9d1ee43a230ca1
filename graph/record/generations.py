"""The generations of a run: each from its beginning, or from a retry, to its end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from graph.state import Ending, ForkedFrom, Plan, Retry, RunState, in_doubt

#: The number of no step: none is due.
NONE_DUE = 0


@dataclass(frozen=True)
class Generation:
    """One generation as its run stood at the end of it, or stands now, with the logs of that
    generation only.

    `plans`: whether a plan is made in it; `first`: the number of the step that it begins with;
    `asks`: whether it begins with a plan that a person is asked about. `doubts`: the steps that
    were in doubt when it began.
    """

    state: RunState
    plans: bool
    first: int
    skipped: frozenset[int]
    asks: bool = False
    doubts: frozenset[int] = frozenset()

    def following(self, step: int) -> int:
        """The number of the step to be executed after this one, or `NONE_DUE`."""
        steps = range(step + 1, len(self.state["plan"]["steps"]) + 1)
        return next((number for number in steps if number not in self.skipped), NONE_DUE)


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
            yield replace(_generation(then, begun), doubts=_in_doubt(log[:logged]))
            begun, logged, planned = retry, place, ended["planned"]
    if begun is None:
        yield _generation(state, None)
    else:
        parts = RunState(log=log[logged:], planning_log=planning_log[planned:])
        last = _generation(cast("RunState", {**state, **parts}), begun)
        yield replace(last, doubts=_in_doubt(log[:logged]))


def _in_doubt(log: Sequence[Any]) -> frozenset[int]:
    steps = {entry["step"] for entry in log if entry.get("status") == "in_doubt"}
    return frozenset(step for step in steps if in_doubt({"log": log}, step))


def original_plan(state: RunState) -> Plan:
    """The plan as it was made, whatever was edited of it since."""
    return state["plan_proposed"] or state["plan"]


def _generation(state: RunState, begun: Retry | ForkedFrom | None) -> Generation:
    if begun is None or begun["from_step"] is None:
        return Generation(state, plans=True, first=1, skipped=frozenset())
    generation = Generation(
        state,
        plans=False,
        first=begun["from_step"],
        skipped=frozenset(begun["skip"]),
        asks="asks" in begun,
    )
    return (
        generation if generation.first not in generation.skipped else _beginning_later(generation)
    )


def _beginning_later(generation: Generation) -> Generation:
    return replace(generation, first=generation.following(generation.first))


def _plan_at(state: RunState, since: Sequence[Any]) -> Plan:
    """The plan that a run had at an end, from the marks since; of edited inputs the latest.

    Whoever approves a plan may give another one, and only after a retry that asked for it.
    """
    retries = (entry["retry"] for entry in since if "retry" in entry)
    kept = (retry["ended"]["plan"] for retry in retries if "plan" in retry["ended"])
    return next(kept, state["plan"])


def _as_it_ended(state: RunState, ended: Ending, plan: Plan) -> RunState:
    return cast(
        "RunState",
        {
            **state,
            "status": ended["status"],
            "error": ended["error"],
            "result": None,
            "usage": ended["usage"],
            "planned_by": ended["planned_by"],
            "plan": plan if ended["steps"] else Plan(steps=[]),
            "approval": ended.get("approval", state.get("approval")),
            "generation": ended["generation"],
            "started_at": ended["started_at"],
            "completed_at": ended["completed_at"],
        },
    )
