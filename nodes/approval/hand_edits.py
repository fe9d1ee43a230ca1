"""A state that somebody edited between two nodes, most often its plan, as Studio lets them."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Annotated, Any, cast
from uuid import UUID, uuid4

from langgraph.types import Overwrite
from pydantic import Field, TypeAdapter, ValidationError

from graph.state import (
    DEFAULT_LIMITS,
    Attempt,
    Conversation,
    Mark,
    Plan,
    Round,
    RunState,
    Step,
    attempts,
    followed,
    is_said_done,
    limits_of,
    marks,
    new_run,
    run_error,
)
from graph.state.rounds import is_answered
from nodes.approval.questions import PlanUnfit, read_plan
from nodes.contract.checks import run_tools
from nodes.contract.steps import InvalidOutput, InvalidReference, next_cursor, resolved
from tools.toolbox import Tool

#: The state that a node is to visit, or the update that takes the place of its visit.
Checked = tuple[RunState, dict[str, Any] | None]

#: What is made, before a node visits it, of a state that somebody may have edited.
Check = Callable[[RunState], Checked]


def checks(tools: Mapping[str, Tool], context: int) -> Mapping[str, Check]:
    """The check before each node, by its name.

    A new run on a used thread is given `context` characters of what went before.
    """
    return {
        "plan": partial(_before_plan, context=context),
        "fallback_plan": _before_fallback_plan,
        "execute_step": partial(_before_step, tools=tools),
        "finalize": partial(_before_end, tools=tools),
    }


def _before_plan(state: RunState, context: int) -> Checked:
    if not _is_under_way(state):
        return _given(state, context), None
    return _before_fallback_plan(state)


def _before_fallback_plan(state: RunState) -> Checked:
    unfit = fault_of(state)
    return state, refused(state, unfit) if unfit else None


def _before_step(state: RunState, tools: Mapping[str, Tool]) -> Checked:
    try:
        plan = checked_plan(state, tools)
    except PlanUnfit as unfit:
        return state, refused(state, unfit)
    cursor = next_cursor(plan["steps"], state["skipped"], state["cursor"])
    edited = plan != state["plan"] or cursor != state["cursor"]
    if edited or cursor == len(plan["steps"]):
        # Seen by the person who decides about it, before it is executed.
        return state, {"plan": plan, "cursor": cursor}
    return state, None


def _before_end(state: RunState, tools: Mapping[str, Tool]) -> Checked:
    if (unfit := _unfit(state, tools)) is None:
        return state, None
    log = {"log": Overwrite(state.get("log", []))}  # whole, as each run's is in the end
    failed = {"status": "failed", "completed_at": time.time(), "not_before": None}
    return state, log | refused(state, unfit) | failed


def _is_under_way(state: RunState) -> bool:
    """Whether models are being asked about the prompt; another prompt is another run."""
    planning: Any = state.get("planning")
    return isinstance(planning, dict) and planning.get("prompt") == state.get("prompt")


def _given(state: RunState, context: int) -> RunState:
    """All that a new run takes over from the one that its thread had before."""
    names = {"prompt", "approve", "choice", "metadata"}
    kept: dict[str, Any] = {name: value for name, value in state.items() if name in names}
    kept["asked"] = state["prompt"] if isinstance(state.get("prompt"), str) else ""
    legible = "run_id" in state and not fault_of(state)
    conversation = followed(state, characters=context) if legible else None
    if conversation is not None or "conversation" in state:
        kept["conversation"] = conversation or Conversation(turns=[], left_out=0, last=None)
    owner: Any = state.get("owner")
    return cast("RunState", kept | ({"owner": owner} if isinstance(owner, str) else {}))


def _unfit(state: RunState, tools: Mapping[str, Tool]) -> PlanUnfit | None:
    """Why a state is not that of a run whose plan was executed."""
    if state.get("error") or is_answered(state):  # there is no plan to be checked
        return fault_of(state)
    try:
        check_done(checked_plan(state, tools), state)
    except PlanUnfit as unfit:
        return unfit
    return None


def checked_plan(state: RunState, tools: Mapping[str, Tool]) -> Plan:
    """The plan as it may go on: it passes the check of every plan, and what is done fits it.

    Steps that leave out what a plan need not say come back complete. Raises `PlanUnfit`,
    and its kind `StateUnfit` where something else in the state is wrong.
    """
    if unfit := fault_of(state):
        raise unfit
    read = read_plan(state["plan"], run_tools(state, tools), limits_of(state))
    plan = _in_rounds(read["steps"], state)
    cursor: Any = state["cursor"]
    count = len(plan["steps"])
    if type(cursor) is not int or not 0 <= cursor <= count:
        raise PlanUnfit([f"the cursor is {cursor!r}; it counts the steps done, here 0 to {count}"])
    resolved_so = {mark.get("step") for mark in marks(state, "resolved")}
    left_out = {*state["skipped"]} - resolved_so
    if all(step["step"] in left_out for step in plan["steps"]):
        raise PlanUnfit(["every step of it is left out; take one out of `skipped`"])
    if reasons := _changed({**state, "plan": plan}):
        raise PlanUnfit(reasons)
    return plan


def _in_rounds(steps: list[Step], state: RunState) -> Plan:
    """The steps in the rounds that the state has; one that was made longer or shorter is the last.

    Rounds that are none, or that end beyond the plan, are all one.
    """
    given: Any = state["plan"]
    if "rounds" not in given:
        return Plan(steps=steps)
    if unread(_rounds(), given["rounds"]):
        return Plan(steps=steps)
    rounds: list[Round] = given["rounds"]
    if not rounds or rounds[-1]["last"] == len(steps):
        return Plan(steps=steps, rounds=rounds)
    *earlier, last = rounds
    if last["first"] > len(steps):
        return Plan(steps=steps)
    return Plan(steps=steps, rounds=[*earlier, {**last, "last": len(steps)}])


def check_done(plan: Plan, state: RunState) -> None:
    """Raise `PlanUnfit` where steps are left to do: who steers by hand can pass them by."""
    place = next_cursor(plan["steps"], state["skipped"], state["cursor"])
    if place < len(plan["steps"]):
        raise PlanUnfit([f"the run was ended before step {place + 1}; go on with execute_step"])


def refused(state: RunState, unfit: PlanUnfit) -> dict[str, Any]:
    """The update that ends a run whose plan was edited into one that must not be executed.

    What is no plan at all does not stay in the state, where others read it as one.
    """
    plan = state["plan"] if _is_plan(state.get("plan")) else Plan(steps=[])
    if isinstance(unfit, StateUnfit):
        return renewed(state, unfit) | {"plan": plan}
    message = f"the plan in the state must not be executed: {unfit}"
    return {"plan": plan, "error": run_error("plan_rejected", message, rejected_plan=plan)}


def _is_plan(given: Any) -> bool:
    return not unread(_plan(), given)


@cache
def _plan() -> TypeAdapter[Any]:
    return TypeAdapter(Plan)


@cache
def _rounds() -> TypeAdapter[Any]:
    return TypeAdapter(list[Round])


def _changed(state: RunState) -> list[str]:
    """Which steps count as done and were done otherwise; one sentence for each."""
    done = {
        attempt["step"]: (attempt["tool"], attempt["input"])
        for attempt in attempts(state)
        if attempt["status"] == "ok"
    }
    said = {entry["step"] for entry in state["log"] if is_said_done(entry)}
    reasons = []
    for place, step in enumerate(state["plan"]["steps"][: state["cursor"]]):
        if step["step"] in state["skipped"] or step["step"] in said:
            continue
        try:
            as_planned = step["tool"], resolved(state, step)[0]
        except (InvalidReference, InvalidOutput):
            as_planned = None
        if step["step"] not in done or done[step["step"]] != as_planned:
            reasons.append(
                f"step {step['step']} was not executed as it stands; "
                f"set the cursor to {place} to have it executed, or leave it as it was"
            )
    return reasons


# A state that somebody edited by hand into none that a run has.


#: Other checks tell what is wrong with a plan, and with a place in it.
_OF_THE_PLAN = ("plan", "cursor")

#: So many faults are told; a log can have hundreds.
_SHOWN = 5

_Entry = Annotated[Attempt | Mark, Field(discriminator="kind")]


class StateUnfit(PlanUnfit):
    """A state in which no plan can be executed; `fields` are those that are wrong."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        reasons = [f"{place}: {what}" for place, what in faults]
        more = [f"and {len(reasons) - _SHOWN} more"] if len(reasons) > _SHOWN else []
        super().__init__(reasons[:_SHOWN] + more)
        self.fields = {place.partition(".")[0] for place, _ in faults}


def fault_of(state: RunState) -> StateUnfit | None:
    """What is wrong with the fields, but for the plan's: missing, or unlike what nodes leave."""
    faults = [*_missing(state), *_faults(state)]
    return StateUnfit(faults) if faults else None


def renewed(state: RunState, unfit: StateUnfit) -> dict[str, Any]:
    """The update that makes the wrong fields those of a new run, with the error that ends it.

    What was wrong does not stay where others read it.
    """
    fresh: dict[str, Any] = {
        **_blank(time.time()),
        "approve": "never",
        "approval": None,
        "choice": None,
        "metadata": {},
        "log": Overwrite([entry for entry in _log(state) if not unread(_entry(), entry)]),
    }
    message = f"the state was edited so that no run can go on from it: {unfit}"
    return {
        **{name: fresh[name] for name in unfit.fields},
        "error": run_error("plan_rejected", message),
    }


def _blank(now: float) -> RunState:
    return new_run("", run_id=str(uuid4()), owner="default", limits=DEFAULT_LIMITS, created_at=now)


def _missing(state: RunState) -> Iterator[tuple[str, str]]:
    return ((name, "Field required") for name in _blank(0.0) if name not in state)


def _faults(state: RunState) -> Iterator[tuple[str, str]]:
    """Each wrong place of a state, and what is wrong there."""
    given = {name: value for name, value in state.items() if name not in _OF_THE_PLAN}
    yield from unread(_fields(), given)
    for number, entry in enumerate(_log(state)):
        yield from unread(_entry(), entry, f"log.{number}")
    if isinstance(run_id := state.get("run_id"), str) and not _is_uuid(run_id):
        yield "run_id", "Input should be a UUID, from which the keys of the steps are made"


def _log(state: RunState) -> list[Any]:
    log: Any = state.get("log", [])
    return log if isinstance(log, list) else []


def unread(kind: TypeAdapter[Any], value: Any, *place: str) -> list[tuple[str, str]]:
    """What keeps a value from being of a kind, and where in it."""
    try:
        kind.validate_python(value, strict=True)
    except ValidationError as invalid:
        return [
            (".".join(map(str, (*place, *error["loc"]))), error["msg"])
            for error in invalid.errors(include_url=False, include_context=False)
        ]
    return []


@cache
def _fields() -> TypeAdapter[Any]:
    return TypeAdapter(RunState)


@cache
def _entry() -> TypeAdapter[Any]:
    return TypeAdapter(_Entry)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
