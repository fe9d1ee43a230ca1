"""The events of a run: a pure function of its record, so that there is nothing else to keep.

They are numbered from 1. A later record of the same run begins with the events of the earlier one,
so a number means the same event whenever it is seen, also after a crash.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, cast, get_args

from annotated_types import Ge
from pydantic import Field, PlainSerializer
from typing_extensions import TypedDict

from graph.record.generations import Generation, generations
from graph.state import (
    Approval,
    Attempt,
    Mark,
    PlanningCall,
    RunState,
    ended_at,
    marks,
)
from graph.state.rounds import steps_of
from graph.state.status import SETTLED
from graph.state.wording import Time, doc, rfc3339
from nodes.approval.asking import asked_at

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
    "answer.attempt",
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
    "changed": "run.waiting",
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
    by = {"by": state["posted_by"]} if "posted_by" in state else {}
    yield _event("run.queued", state["created_at"], owner=state["owner"], **by, **_forked(state))
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
        node = "plan" if generation.plans else "execute_step"
        yield _event("run.started", started_at, node)
        yield from _Course(generation, started_at).events()
    if state["status"] in SETTLED:
        answers = (call for call in state["planning_log"] if call.get("purpose") == "answer")
        for call in answers:
            yield _event("answer.attempt", ended_at(call), "finalize", **call)
        at = state["completed_at"] or state["created_at"]
        yield _settled(state, at)
        yield _event("end", at, status=state["status"])


class _Course:
    """Goes along the rounds of a generation and its attempts, in the order of the log.

    `due` is the attempt that is made or due next, `last` the last step of the plan so far, and
    `asked` says that a person is asked about it. A round begins where nothing is due any more.
    """

    def __init__(self, generation: Generation, started_at: float) -> None:
        self._generation = generation
        self._state = generation.state
        self._rounds = generation.rounds
        self._started_at = started_at
        self._rounds_seen = 0
        self._doubts = {*generation.doubts}
        self._asked = generation.asks is not None
        self._last = generation.before
        self._due: dict[str, Any] | None = None

    def events(self) -> Iterator[Event]:
        """Two events for each attempt; of the one that is being made or is due, the first."""
        if self._generation.plans:
            yield from self._first()
        else:
            if asked := self._asked_at_first():
                yield _waiting(asked)
            if self._generation.first in range(1, self._last + 1):
                self._due = {"step": self._generation.first, "attempt": 1, "at": self._started_at}
            else:  # all that is left is a look, or to settle it
                yield from self._next_round()
        made = 0
        for entry in self._state.get("log", []):
            if entry["kind"] == "mark":
                yield from self._after_mark(entry, made)
                made = 0 if "as" in entry else made
                continue
            if self._due is not None:
                yield self._started(entry["generation"])
            yield _attempted(entry)
            made = entry["attempt"]
            self._due = self._after(entry)
            if entry.get("expires_at"):
                yield _asking(entry)
                self._doubts.add(entry["step"])
            elif self._due is None:
                yield from self._next_round()
        # One in doubt is not attempted again before somebody said so.
        if self._due is not None and not self._asked and self._due["step"] not in self._doubts:
            yield self._started(self._state["generation"])

    def _asked_at_first(self) -> Approval | None:
        """What a person was asked about the plan that the generation began with."""
        required = self._generation.asks
        if required and any(entry["approval"] for entry in self._rounds):
            # The state tells of what was asked last, which is one of these rounds.
            return asked_at(self._started_at, required)
        return self._state.get("approval") if required else None

    def _first(self) -> Iterator[Event]:
        """The round that is told from the start of its planning, whether it comes to a plan."""
        if self._rounds:
            yield from self._next_round()
        else:
            yield _event("plan.started", self._started_at, "plan", round=1, why="first")
            yield from _calls(self._state["planning_log"], self._state, self._started_at)

    def _next_round(self) -> Iterator[Event]:
        """The planning of the next round, where there is one; its first step is due then."""
        if self._rounds_seen == len(self._rounds):
            return
        entry, calls = self._rounds[self._rounds_seen], self._calls()
        self._rounds_seen += 1
        # The first one begins with the generation, which those of earlier versions do not tell.
        began = self._started_at if entry["round"] == 1 else entry["at"]
        yield _event("plan.started", began, "plan", round=entry["round"], why=entry["why"])
        yield from _calls(calls, entry, began)
        if entry["then"] is None:
            return
        by, at = entry["planned_by"], ended_at(calls[-1]) if calls else began
        steps = entry["proposed"]
        if steps is None:
            steps = steps_of(self._state["plan"], entry)
        node = _MADE_IN[by["source"] if by else "pattern"]
        then = entry.get("proposed_then", entry["then"])
        planned = {"round": entry["round"], "planned_by": by, "steps": steps, "then": then}
        yield _event("plan.made", at, node, **planned)
        if entry["approval"]:
            yield _waiting(entry["approval"])
        self._asked, self._last = entry["approval"] is not None, entry["last"]
        if first := self._generation.following(entry["first"] - 1, entry["last"]):
            self._due = {"step": first, "attempt": 1, "at": at}

    def _calls(self) -> list[PlanningCall]:
        """The calls by which the next round was planned."""
        offset = self._generation.planned
        begin = self._rounds[self._rounds_seen]["calls"][0] - offset
        following = self._rounds[self._rounds_seen + 1 :]
        end = following[0]["calls"][0] - offset if following else None
        calls = self._state["planning_log"][max(0, begin) : end]
        return [call for call in calls if call.get("purpose") != "answer"]

    def _after_mark(self, mark: Mark, made: int) -> Iterator[Event]:
        """What a person has said: about the plan, or about a step in doubt.

        `made`: attempts at it in this generation.
        """
        if mark["what"] == "approved":
            self._asked = False
        if mark["what"] not in ("resolved", "expired") or "step" not in mark:
            return
        self._doubts.discard(mark["step"])
        self._due = None
        match mark["as"]:
            case "redo":
                self._due = {"step": mark["step"], "attempt": made + 1, "at": mark["at"]}
            case "done" | "skip":
                if following := self._generation.following(mark["step"], self._last):
                    self._due = {"step": following, "attempt": 1, "at": mark["at"]}
                else:
                    yield from self._next_round()

    def _after(self, entry: Attempt) -> dict[str, Any] | None:
        """The attempt that follows this one, if one does."""
        at = ended_at(entry)
        if entry["status"] == "ok":
            following = self._generation.following(entry["step"], self._last)
            return {"step": following, "attempt": 1, "at": at} if following else None
        if entry["retry_at"] is None:
            return None
        again = entry["attempt"] + 1
        return {"step": entry["step"], "attempt": again, "at": at, "not_before": entry["retry_at"]}

    def _started(self, generation: int) -> Event:
        due = self._due
        assert due is not None
        event = _event(
            "step.started",
            due["at"],
            "execute_step",
            tool=self._state["plan"]["steps"][due["step"] - 1]["tool"],
            not_before=due.get("not_before"),
        )
        return {**event, "step": due["step"], "attempt": due["attempt"], "generation": generation}


def _calls(calls: Sequence[PlanningCall], of: Mapping[str, Any], at: float) -> Iterator[Event]:
    """The calls of planners, and that models have handed over; `of` has who planned."""
    by = of["planned_by"]
    for call in calls:
        if call["planner"] == "llm":
            at = ended_at(call)
            yield _called(call, "plan")
    if by and by["source"] == "pattern":
        yield _event("plan.fallback", at, "fallback_plan", reason=by["reason"])
    for call in calls:
        if call["planner"] == "pattern":
            yield _called(call, "fallback_plan")


def _waiting(asked: Approval) -> Event:
    tools, expires_at = asked["tools"], asked["expires_at"]
    return _event("run.waiting", asked["asked_at"], tools=tools, expires_at=expires_at)


def _asking(entry: Attempt) -> Event:
    asked = {"tool": entry["tool"], "known": entry["error"] and entry["error"]["message"]}
    expires_at = entry.get("expires_at")
    event = _event("run.waiting", ended_at(entry), "execute_step", **asked, expires_at=expires_at)
    return {**event, "step": entry["step"], "attempt": entry["attempt"]}


#: The node that a plan is made in; none where it is given.
_MADE_IN = {"llm": "plan", "pattern": "fallback_plan", "caller": None}

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
    shown = ("as", "output", "learned", "tools", "expires_at")
    data |= {name: value for name, value in mark.items() if name in shown}
    event = _event(_MARKS[mark["what"]], mark["at"], **data)
    return {**event, "step": mark.get("step")}


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
