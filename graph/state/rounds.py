"""Rounds of a run: which there are, what may follow, and how the next one begins and ends."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from graph.state.log import marks, question_of
from graph.state.plan import (
    Approval,
    Plan,
    PlannedBy,
    Planning,
    Round,
    Step,
    StepFailure,
    Then,
    Why,
)
from graph.state.status import run_error

#: A partial state.
Update = dict[str, Any]


def rounds_of(state: Mapping[str, Any]) -> list[Round]:
    """The rounds of a run, oldest first; a plan of an earlier version, or of a person, is one.

    A plan that has none and no steps was not made.
    """
    plan: Plan = state["plan"]
    if "rounds" in plan:
        return plan["rounds"]
    if not plan["steps"]:
        return []
    proposed, calls = state["plan_proposed"], len(state["planning_log"])
    one = new_round(state, plan["steps"], first=1, calls=[0, calls])
    return [
        {
            **one,
            "proposed": proposed["steps"] if proposed else None,
            "approval": state.get("approval"),
        }
    ]


def new_round(
    state: Mapping[str, Any],
    steps: Sequence[Step],
    *,
    first: int,
    calls: list[int],
    number: int = 1,
    why: Why = "first",
    then: Then | None = "done",
    planned_by: PlannedBy | None = None,
    at: float | None = None,
) -> Round:
    """A round with these steps, that nobody has edited or was asked about."""
    return Round(
        round=number,
        why=why,
        first=first,
        last=first + len(steps) - 1,
        then=then,
        proposed=None,
        dropped=[],
        planned_by=planned_by or state["planned_by"],
        approval=None,
        calls=calls,
        at=state["started_at"] or state["created_at"] if at is None else at,
    )


def is_planning(state: Mapping[str, Any]) -> bool:
    """Whether a model is to be asked before anything else is done.

    Not where a person has written the plan meanwhile. What somebody edited into no planning, or no
    plan, is for nodes to refuse.
    """
    planning, plan = state.get("planning"), state.get("plan")
    if not isinstance(planning, dict):
        return bool(planning)
    written = isinstance(plan, dict) and plan.get("steps") not in ([], None)
    return round_of(planning) > 1 or not written


def is_answered(state: Mapping[str, Any]) -> bool:
    """Whether the first round has come to an answer instead of a plan.

    What somebody edited into no plan is none either.
    """
    plan: Any = state.get("plan")
    if not isinstance(plan, dict) or plan.get("steps") != []:
        return False
    rounds = plan.get("rounds")
    last = rounds[-1] if isinstance(rounds, list) and rounds else None
    return isinstance(last, dict) and last.get("then") == "done"


def round_of(entry: Mapping[str, Any]) -> int:
    """The round that planning, or a call of a planner, is about."""
    number = entry.get("round", 1)
    return number if isinstance(number, int) else 1


def carried(state: Mapping[str, Any]) -> int:
    """How many rounds a run had when it was started last: by a retry, or as a fork."""
    for mark in marks(state, "retry")[::-1]:
        ended = mark["retry"]["ended"]
        return ended.get("rounds", min(ended["steps"], 1))
    fork = state.get("forked_from")
    return fork.get("rounds", min(fork["planned"], 1)) if fork else 0


def is_called(state: Mapping[str, Any]) -> bool:
    """Whether the plan is the call of one tool, which is exactly what its caller wanted."""
    by: PlannedBy | None = state["planned_by"]
    return by is not None and by["source"] == "caller"


def rounds_left(state: Mapping[str, Any]) -> int:
    """How many more rounds, but for those that mend, may be begun since the run was started."""
    made = sum(entry["why"] != "mend" for entry in rounds_of(state)[carried(state) :])
    left: int = state["limits"].get("max_rounds", 1) - made
    return max(0, left)


def mends_left(state: Mapping[str, Any]) -> int:
    """How many more rounds may be begun to mend; none where the plan is the call of a tool."""
    if is_called(state):
        return 0
    made = sum(entry["why"] == "mend" for entry in rounds_of(state)[carried(state) :])
    left: int = state["limits"].get("mend", 0) - made
    return max(0, left)


def then_of(state: Mapping[str, Any]) -> Then:
    """What is to follow once all steps are done: as the last round says that came to a plan."""
    for entry in reversed(rounds_of(state)):
        then: Then | None = entry["then"]
        if then is not None and then != "refuse":
            return then
    return "done"


def dropped(state: Mapping[str, Any]) -> set[int]:
    """The numbers of the steps that a later round was made instead of."""
    return {step["step"] for entry in rounds_of(state) for step in entry["dropped"]}


def approval_of(state: Mapping[str, Any]) -> Approval | None:
    """What a person is asked about the plan, or was asked last: about it, or about it again."""
    approval: Approval | None = state.get("approval")
    for mark in marks(state, "changed")[-1:]:
        if approval is None or approval["asked_at"] <= mark["at"]:
            return Approval(asked_at=mark["at"], expires_at=mark["expires_at"], tools=mark["tools"])
    return approval


def asked_about(state: Mapping[str, Any]) -> int | None:
    """The number of the question whether a later round, or a changed tool, is to be executed.

    A later question of the run, also about a step in doubt, has a higher one. None for the plan
    that the run began with since it was started last: that question is the first one.
    """
    begun_since = rounds_of(state)[carried(state) :]
    log = state.get("log", ())
    if log and log[-1].get("what") == "changed":  # nothing is logged while a run waits
        return len(log)
    if not begun_since or begun_since[-1]["round"] == 1:
        return None
    return len(state.get("log", ()))


def expiry_of(state: Mapping[str, Any]) -> tuple[float, int | None] | None:
    """Until when it may be decided about a run that waits, in epoch seconds; None of any other.

    With the number of the question, where it is not about the plan that the run began with.
    """
    if question := question_of(state):
        return question["expires_at"], question["number"]
    approval = approval_of(state)
    if approval and state["status"] == "waiting":
        return approval["expires_at"], asked_about(state)
    return None


def abandoned(state: Mapping[str, Any], before: int | None = None) -> list[Step]:
    """The steps that a person wants others for, and no round was made instead of yet.

    With `before`, as it was when the round of this number was planned.
    """
    found: list[Step] = []
    for entry in reversed(rounds_of(state)[: None if before is None else before - 1]):
        found = [*entry["dropped"], *found]
        made = entry["then"] in ("done", "look")
        if made and len(entry["dropped"]) <= entry["last"] - entry["first"]:
            break
    return found


# How a round begins, and what comes of it.


def after_steps(
    state: Mapping[str, Any], cursor: int, queue: Sequence[str] = (), *, at: float
) -> Update:
    """The update once the steps before `cursor` are done: the next look, where one is due.

    Empty where steps are left or the run is over. `queue` has the models to ask; without them the
    planner chooses. `at` is in epoch seconds.
    """
    if cursor < len(state["plan"]["steps"]) or then_of(state) != "look":
        return {}
    if rounds_left(state):
        return begun(state, _why(state), queue, at=at)
    most = state["limits"].get("max_rounds", 1)
    message = (
        f"the last of {most} rounds is over, and the model wanted to see what its steps returned"
        if most > 1
        else "the model wanted to see what its steps returned, and the run may have one round only"
    )
    return {"error": run_error("incomplete", message, reason="rounds")}


def _why(state: Mapping[str, Any]) -> Why:
    """Why a model is asked once all steps are done: a person may have wanted another plan."""
    last = marks(state, "retry")[-1:]
    asked = bool(last and "replan" in last[0]["retry"]) and len(rounds_of(state)) == carried(state)
    return "replan" if asked or abandoned(state) else "look"


def begun(
    state: Mapping[str, Any],
    why: Why,
    queue: Sequence[str] = (),
    *,
    at: float,
    failure: StepFailure | None = None,
) -> Update:
    """The update that begins the next round: `planning`, and its place among the rounds."""
    steps, rounds = state["plan"]["steps"], rounds_of(state)
    calls = len(state["planning_log"])
    opened = new_round(
        state,
        [],
        first=len(steps) + 1,
        calls=[calls, calls],
        number=len(rounds) + 1,
        why=why,
        then=None,
        at=at,
    )
    opened["planned_by"] = None
    return {
        "plan": Plan(steps=steps, rounds=[*rounds, opened]),
        "planning": Planning(
            prompt=state["prompt"],
            queue=list(queue),
            answer="",
            reasons=[],
            retried=False,
            not_before=None,
            waited=0.0,
            round=opened["round"],
            why=why,
            failure=failure,
        ),
    }


def made(
    state: Mapping[str, Any],
    steps: Sequence[Step],
    then: Then,
    by: PlannedBy | None,
    *,
    calls: int,
) -> Update:
    """The update of the plan once a round of it is made; `calls`: entries of the log by then.

    What a round to mend was made instead of, the steps that are left, is dropped.
    """
    if round_of(state.get("planning") or {}) == 1:
        first = new_round(state, steps, first=1, calls=[_begin(state), calls], then=then)
        return {"plan": Plan(steps=list(steps), rounds=[{**first, "planned_by": by}])}
    before, (*earlier, opened) = state["plan"]["steps"], rounds_of(state)
    closed: Round = {
        **opened,
        "last": opened["first"] + len(steps) - 1,
        "then": then,
        "planned_by": by,
        "calls": [opened["calls"][0], calls],
    }
    if state["cursor"] >= len(before) or not steps:
        return {"plan": Plan(steps=[*before, *steps], rounds=[*earlier, closed])}
    left = before[state["cursor"] :]
    kept = [_without(entry, left) for entry in earlier]
    skipped = {*state.get("skipped", ()), *(step["step"] for step in left)}
    return {
        "plan": Plan(steps=[*before, *steps], rounds=[*kept, closed]),
        "cursor": len(before),
        "attempt": 0,
        "skipped": sorted(skipped),
    }


def unmade(state: Mapping[str, Any], *, calls: int) -> Update:
    """The update of the plan where no plan came of the round; `calls`: entries of the log."""
    *earlier, opened = rounds_of(state)
    ended: Round = {**opened, "calls": [opened["calls"][0], calls]}
    return {"plan": Plan(steps=state["plan"]["steps"], rounds=[*earlier, ended])}


def _begin(state: Mapping[str, Any]) -> int:
    """Where the planning of the first round begins in the log: after what a retry has undone."""
    for mark in marks(state, "retry")[::-1]:
        planned: int = mark["retry"]["ended"]["planned"]
        return planned
    return 0


def _without(entry: Round, left: Sequence[Step]) -> Round:
    gone = {step["step"] for step in entry["dropped"]}
    own = [step for step in left if entry["first"] <= step["step"] <= entry["last"]]
    own = [step for step in own if step["step"] not in gone]
    return {**entry, "dropped": [*entry["dropped"], *own]} if own else entry


# What a person has said about rounds.


def digest(steps: Sequence[Step]) -> str:
    """A digest of the calls of some steps."""
    calls = [[step["tool"], step["input"]] for step in steps]
    return hashlib.sha256(json.dumps(calls, sort_keys=True).encode()).hexdigest()


def steps_of(plan: Plan, entry: Round) -> list[Step]:
    """The steps of a round."""
    return plan["steps"][entry["first"] - 1 : entry["last"]]


def replanned(state: Mapping[str, Any], numbers: Collection[int]) -> Plan:
    """The plan with these steps dropped, and a look instead of what was to follow."""
    steps = state["plan"]["steps"]
    left = [step for step in steps if step["step"] in numbers]
    rounds = [_without(entry, left) for entry in rounds_of(state)]
    place = max(place for place, entry in enumerate(rounds) if entry["then"] in ("done", "look"))
    rounds[place] = _followed_by(rounds[place], "look")
    return Plan(steps=steps, rounds=rounds)


def _followed_by(entry: Round, then: Then) -> Round:
    """The round with something else to follow; what was proposed is kept."""
    changed: Round = {**entry, "then": then}
    if then != entry["then"] and "proposed_then" not in entry:
        changed["proposed_then"] = entry["then"]
    return changed


def edited(state: Mapping[str, Any], entry: Round, steps: Sequence[Step], then: Then) -> Plan:
    """The plan with other steps in its last round, which is `entry`."""
    before = steps_of(state["plan"], entry)
    changed: Round = {
        **_followed_by(entry, then),
        "last": entry["first"] + len(steps) - 1,
        "proposed": before if entry["proposed"] is None else entry["proposed"],
    }
    all_steps = [*state["plan"]["steps"][: entry["first"] - 1], *steps]
    return Plan(steps=all_steps, rounds=[*rounds_of(state)[:-1], changed])
