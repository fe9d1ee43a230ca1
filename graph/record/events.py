"""The events of a run: a pure function of its record, so that there is nothing else to keep.

They are numbered from 1. A later record of the same run begins with the events of the earlier one,
so a number means the same event whenever it is seen, also after a crash.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, cast, get_args

from annotated_types import Ge
from pydantic import Field, PlainSerializer
from typing_extensions import TypedDict

from graph.record.generations import Generation, generations, original_plan
from graph.state import (
    Attempt,
    Mark,
    PlanningCall,
    RunState,
    ended_at,
    marks,
)
from graph.state.status import SETTLED
from graph.state.wording import Time, doc, rfc3339

# The events of all generations, in order.


EventType = Literal[
    "run.queued",
    "run.started",
    "run.taken_up",
    "plan.started",
    "plan.attempt",
    "plan.fallback",
    "plan.made",
    "step.started",
    "step.failed",
    "step.completed",
    "step.in_doubt",
    "run.waiting",
    "run.approved",
    "run.rejected",
    "run.expired",
    "run.resolved",
    "run.cancelling",
    "run.retried",
    "run.completed",
    "run.failed",
    "run.cancelled",
    "end",
]

EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)

_MARKS: dict[str, EventType] = {
    "taken_up": "run.taken_up",
    "cancel": "run.cancelling",
    "approved": "run.approved",
    "rejected": "run.rejected",
    "expired": "run.expired",
    "in_doubt": "run.waiting",
    "resolved": "run.resolved",
    "retry": "run.retried",
}


#: What of an event's data is a time.
TIMES = ("started_at", "retry_at", "not_before", "expires_at")


def _with_times(data: dict[str, Any]) -> dict[str, Any]:
    known = {name: data[name] for name in TIMES if data.get(name) is not None}
    return data | {name: rfc3339(time) for name, time in known.items()}


class Event(TypedDict):
    """One thing that happened to a run. Its number means the same whenever it is read."""

    # `step.started` means that everything before the attempt is stored: `at` is when it became due,
    # and its data tells until when it waits. After a crash the attempt is made again under the same
    # number.
    id: Annotated[int, Ge(1), doc("Its number, counted from 1 without a gap.")]
    type: Annotated[
        EventType,
        doc("What happened; `end` is the last event of every run that nobody retries."),
    ]
    at: Annotated[Time, Field(serialization_alias="time", description="When.")]
    node: Annotated[str | None, doc("The node of the graph that it happened in.")]
    step: Annotated[int | None, doc("The step of the plan that it is about.")]
    attempt: Annotated[int | None, doc("Which attempt at the step, counted from 1.")]
    generation: Annotated[
        int | None, doc("How often finished steps were told to run again before.")
    ]
    data: Annotated[
        dict[str, Any],
        PlainSerializer(_with_times, when_used="json"),
        doc("What the record says about it."),
    ]


def events(state: RunState) -> list[Event]:
    """Everything that the record tells to have happened, in order; the times never go back."""
    fork = state.get("forked_from")
    log = state.get("log", [])[fork["logged"] if fork else 0 :]
    happened, marked = _happened(state), iter(marks({"log": log}))
    event, mark = next(happened, None), next(marked, None)
    data: list[Event] = []
    at = 0.0
    while True:
        number = len(data) + 1
        if mark is not None and _is_next(mark, number, event):
            following, mark = _marked(mark), next(marked, None)
        elif event is not None:
            following, event = event, next(happened, None)
        else:
            return data
        # A mark is of the moment at which it was asked for, and clocks are set back.
        at = max(at, following["at"])
        data.append({**following, "id": number, "at": at})


def next_event(state: RunState) -> int:
    """The number of what happens next."""
    return len(events(state)) + 1


def _happened(state: RunState) -> Iterator[Event]:
    """All but what came from outside."""
    yield _event("run.queued", state["created_at"], owner=state["owner"], **_forked(state))
    for generation in generations(state):
        yield from _of_generation(generation)


def _forked(state: RunState) -> dict[str, Any]:
    fork = state.get("forked_from")
    if not fork:
        return {}
    return {"forked_from": {name: fork[name] for name in ("run_id", "checkpoint_id")}}


def _of_generation(generation: Generation) -> Iterator[Event]:
    """What happened from a beginning to its end, which only a retry undoes."""
    state = generation.state
    if (started_at := state["started_at"]) is not None:
        if generation.plans:
            yield from _planning(state, started_at)
        else:
            yield _event("run.started", started_at, "execute_step")
            if generation.asks:
                yield from _waiting(state)
        yield from _steps(generation)
    if state["status"] in SETTLED:
        at = state["completed_at"] or state["created_at"]
        yield _settled(state, at)
        yield _event("end", at, status=state["status"])


def _planning(state: RunState, started_at: float) -> Iterator[Event]:
    yield _event("run.started", started_at, "plan")
    yield _event("plan.started", started_at, "plan")
    at = started_at
    by = state["planned_by"]
    for call in state["planning_log"]:
        if call["planner"] == "llm":
            at = ended_at(call)
            yield _called(call, "plan")
    if by and by["source"] == "pattern":
        yield _event("plan.fallback", at, "fallback_plan", reason=by["reason"])
    for call in state["planning_log"]:
        if call["planner"] == "pattern":
            yield _called(call, "fallback_plan")
    if state["plan"]["steps"]:
        steps = original_plan(state)["steps"]
        node = "plan" if by and by["source"] == "llm" else "fallback_plan"
        yield _event("plan.made", _planned_at(state), node, planned_by=by, steps=steps)
    yield from _waiting(state)


def _waiting(state: RunState) -> Iterator[Event]:
    if asked := state.get("approval"):
        tools, expires_at = asked["tools"], asked["expires_at"]
        yield _event("run.waiting", asked["asked_at"], tools=tools, expires_at=expires_at)


def _steps(generation: Generation) -> Iterator[Event]:
    """Two events for each attempt; of the one that is being made or is due, the first."""
    state = generation.state
    steps = state["plan"]["steps"]
    if not steps or not _may_begin(generation):
        return
    at = _planned_at(state) if generation.plans else state["started_at"]
    due: dict[str, Any] | None = {"step": generation.first, "attempt": 1, "at": at}
    if generation.first not in range(1, len(steps) + 1):
        due = None  # all that is left is to settle it
    doubts, made = {*generation.doubts}, 0
    for entry in state.get("log", []):
        if entry["kind"] == "mark":
            if entry["what"] in ("resolved", "expired") and "step" in entry:
                doubts.discard(entry["step"])
                due = _due_after_answer(entry, made, generation)
                made = 0
            continue
        if due is not None:
            yield _started(due, steps, entry["generation"])
        yield _attempted(entry)
        made = entry["attempt"]
        due = _due_after(entry, generation)
        if entry.get("expires_at"):
            yield _asking(entry)
            doubts.add(entry["step"])
    # One in doubt is not attempted again before somebody said so.
    if due is not None and due["step"] not in doubts:
        yield _started(due, steps, state["generation"])


def _asking(entry: Attempt) -> Event:
    asked = {"tool": entry["tool"], "known": entry["error"] and entry["error"]["message"]}
    expires_at = entry.get("expires_at")
    event = _event("run.waiting", ended_at(entry), "execute_step", **asked, expires_at=expires_at)
    return {**event, "step": entry["step"], "attempt": entry["attempt"]}


def _due_after_answer(mark: Mark, made: int, generation: Generation) -> dict[str, Any] | None:
    """The attempt that follows once somebody has decided about a step in doubt.

    `made`: attempts at it in this generation.
    """
    match mark["as"]:
        case "redo":
            return {"step": mark["step"], "attempt": made + 1, "at": mark["at"]}
        case "done" | "skip":
            following = generation.following(mark["step"])
            return {"step": following, "attempt": 1, "at": mark["at"]} if following else None
        case _:
            return None


def _due_after(entry: Attempt, generation: Generation) -> dict[str, Any] | None:
    """The attempt that follows this one, if one does."""
    at = ended_at(entry)
    if entry["status"] == "ok":
        following = generation.following(entry["step"])
        return {"step": following, "attempt": 1, "at": at} if following else None
    if entry["retry_at"] is None:
        return None
    again = entry["attempt"] + 1
    return {"step": entry["step"], "attempt": again, "at": at, "not_before": entry["retry_at"]}


def _started(due: dict[str, Any], steps: list[Any], generation: int) -> Event:
    event = _event(
        "step.started",
        due["at"],
        "execute_step",
        tool=steps[due["step"] - 1]["tool"],
        not_before=due.get("not_before"),
    )
    return {**event, "step": due["step"], "attempt": due["attempt"], "generation": generation}


_ENDS: dict[str, EventType] = {"ok": "step.completed", "in_doubt": "step.in_doubt"}


def _attempted(entry: Attempt) -> Event:
    kind: EventType = _ENDS.get(entry["status"], "step.failed")
    named = ("kind", "step", "attempt", "generation")
    data = {key: value for key, value in entry.items() if key not in named}
    event = _event(kind, ended_at(entry), "execute_step", **data)
    return {
        **event,
        "step": entry["step"],
        "attempt": entry["attempt"],
        "generation": entry["generation"],
    }


def _called(call: PlanningCall, node: str) -> Event:
    return _event("plan.attempt", ended_at(call), node, **call)


def _is_next(mark: Mark, number: int, event: Event | None) -> bool:
    """Whether a mark is the event of this number, before what else happened.

    What comes from outside may come at any moment, so a mark holds the number that it was given;
    those of earlier versions have only their time.
    """
    given = cast("Mapping[str, Any]", mark).get("event")
    if given is not None:
        return bool(given == number)
    return event is None or mark["at"] < event["at"]


def _marked(mark: Mark) -> Event:
    data: dict[str, Any] = {"by": mark["by"], "detail": mark["detail"]}
    if "steps" in mark:
        data["steps"] = mark["steps"]  # `plan.made` tells the proposed ones
    if "retry" in mark:
        data |= {key: value for key, value in mark["retry"].items() if key not in ("ended", "asks")}
    told = ("as", "output", "learned", "expires_at")
    data |= {name: value for name, value in mark.items() if name in told}
    event = _event(_MARKS[mark["what"]], mark["at"], **data)
    return {**event, "step": mark.get("step")}


def _may_begin(generation: Generation) -> bool:
    """Whether the plan may be executed: nobody is asked about it, or somebody approved it."""
    if not (generation.asks or (generation.plans and generation.state.get("approval"))):
        return True
    return bool(marks(generation.state, "approved"))


def _settled(state: RunState, at: float) -> Event:
    data: Any = {"result": state["result"], "error": state["error"], "usage": state["usage"]}
    match state["status"]:
        case "completed":
            return _event("run.completed", at, "finalize", **data)
        case "failed":
            return _event("run.failed", at, "finalize", **data)
        case _:
            return _event("run.cancelled", at, **data)


def _event(kind: EventType, at: float, node: str | None = None, **data: Any) -> Event:
    return Event(
        id=0, type=kind, at=at, node=node, step=None, attempt=None, generation=None, data=data
    )


def _planned_at(state: RunState) -> float:
    calls = state["planning_log"]
    if not calls:  # somebody wrote the plan into the state before a planner was asked
        return state["started_at"] or state["created_at"]
    return ended_at(calls[-1])
