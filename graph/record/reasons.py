"""What an explanation of a run is made of: why it did not complete, and where its time went."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from typing_extensions import TypedDict

from graph.record.generations import generations
from graph.state import (
    Attempt,
    Mark,
    PlanningCall,
    Round,
    RunError,
    RunState,
    attempts,
    ended_at,
    marks,
)
from graph.state.rounds import approval_of, is_planning, round_of, rounds_of
from graph.state.status import SETTLED
from graph.state.wording import Time, counted, doc, shortened

#: Characters of a message of a cause that are told.
MOST = 300

Kind = Literal["run", "attempt", "planning", "words", "interruption", "request"]


class Cause(TypedDict):
    """One link of the chain that led to the end of the run."""

    kind: Annotated[
        Kind,
        doc(
            "What it is: the run's error, an attempt, a planning call, words of the "
            "prompt, an end of the process, or what somebody asked for."
        ),
    ]
    message: Annotated[str, doc("What it was, in words.")]
    at: Annotated[Time | None, doc("When, where it is known.")]
    step: Annotated[int | None, doc("The step of the plan.")]
    attempt: Annotated[int | None, doc("Which attempt at it, counted from 1.")]


def causes(state: RunState) -> list[Cause]:
    """The chain of a run that has an error, from what is seen to where it began; else nothing."""
    error = state["error"]
    if error is None:
        return []
    *_, since = generations(state)  # what an earlier end had come of is none of this one's causes
    ended = cause("run", f"{error['type']}: {error['message']}", state["completed_at"])
    return [{**ended, "step": error["step"]}, *_led_to(since.state, error)]


def cause(kind: Kind, message: str, at: float | None) -> Cause:
    """A link that belongs to no step."""
    return Cause(kind=kind, message=shortened(message, MOST), at=at, step=None, attempt=None)


def _led_to(state: RunState, error: RunError) -> Iterator[Cause]:
    match error["type"]:
        case "step_failed":
            yield from _answers(state, error["step"])
            yield from _mending(state)
            yield from _attempt_causes(state, error["step"])
        case "cancelled" | "rejected":
            yield from _requests(state)
            yield from _cut_off(state)
        case "internal":
            yield from _interruptions(state)
        case "incomplete":
            yield from _planning(state, rounds_of(state)[-1]["round"])
        case _:  # it was not planned
            for part in error["unparsed"]:
                yield cause("words", f'no planner could place "{part["text"]}"', None)
            yield from _planning(state)


def _attempt_causes(state: RunState, step: int | None) -> Iterator[Cause]:
    """Those of the step that failed since it was last told to run, the latest first."""
    made = [
        entry
        for entry in attempts(state)
        if entry["step"] == step and entry["generation"] == state["generation"]
    ]
    for entry in reversed(made):
        if entry["error"] is None:
            return
        yield _attempt_cause(entry, f"; {_no_more(entry)}" if entry is made[-1] else "")


def _answers(state: RunState, step: int | None) -> Iterator[Cause]:
    """What was said of the step that was in doubt, or that nobody said anything."""
    for mark in marks(state, "resolved", "expired")[::-1]:
        if mark.get("step") == step and mark["as"] == "fail":
            yield {**_request(mark), "step": step}


def _no_more(entry: Attempt) -> str:
    assert entry["error"] is not None
    if entry["status"] == "in_doubt":
        return "whether it has acted is not guessed at"
    if not entry["error"]["retryable"]:
        return "another attempt could not succeed"
    return f"it was the last of {counted(entry['attempt'], 'attempt')}"


def _attempt_cause(entry: Attempt, text: str = "") -> Cause:
    assert entry["error"] is not None
    error = f"{entry['error']['type']}: {entry['error']['message']}"
    message = f"attempt {entry['attempt']} at step {entry['step']} ({entry['tool']}): {error}"
    link = cause("attempt", message[:MOST] + text, entry["started_at"])
    return {**link, "step": entry["step"], "attempt": entry["attempt"]}


def _cut_off(state: RunState) -> Iterator[Cause]:
    for last in attempts(state)[-1:]:
        if last["status"] in ("cancelled", "in_doubt"):
            yield _attempt_cause(last)


def _requests(state: RunState) -> Iterator[Cause]:
    for mark in marks(state, "cancel", "rejected", "expired")[::-1]:
        yield _request(mark)


def _request(mark: Mark) -> Cause:
    reason = f": {mark['detail']}" if mark["detail"] else ""
    return cause("request", f"{mark['what']} by {mark['by']}{reason}", mark["at"])


def _interruptions(state: RunState) -> Iterator[Cause]:
    for mark in marks(state, "taken_up")[::-1]:
        detail = f" ({mark['detail']})" if mark["detail"] else ""
        yield cause("interruption", f"its process ended, and it was taken up{detail}", mark["at"])


def _mending(state: RunState) -> Iterator[Cause]:
    """The calls of the round that was to mend, where that has come to no plan."""
    last = rounds_of(state)[-1:]
    if last and last[0]["why"] == "mend" and last[0]["first"] > last[0]["last"]:
        yield from _planning(state, last[0]["round"])


def _planning(state: RunState, number: int | None = None) -> Iterator[Cause]:
    for call in reversed(state["planning_log"]):
        if number not in (None, round_of(call)) or call.get("purpose") == "answer":
            continue
        who = call["model"] or "the pattern planner"
        why = "; ".join(filter(None, [call["error_class"], *call["reasons"]]))
        message = f"{who}: {call['outcome']}{f' ({why})' if why else ''}"
        yield cause("planning", message, call["started_at"])


class TimeSpent(TypedDict):
    """Where the time went, in milliseconds; the parts add up to `total_ms`."""

    queue: Annotated[
        float, doc("Waiting to begin, to go on after a backoff, and for a turn at a model.")
    ]
    planning: Annotated[float, doc("Calls of planners, and of the model that answers in words.")]
    waiting: Annotated[float, doc("Waiting for a person.")]
    backoff: Annotated[float, doc("Waits before a further attempt or call.")]
    tools: Annotated[float, doc("Attempts at steps.")]
    interruption: Annotated[
        float,
        doc(
            "From what was stored last before the process ended to the take-up; the work "
            "that was lost with it is in it."
        ),
    ]
    other: Annotated[float, doc("Between all that: for storage, and for a slot to go on.")]


Part = Literal["queue", "planning", "waiting", "backoff", "tools", "interruption", "other"]

PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Span:
    """A stretch of one part, in microseconds since the run was accepted; `entry`: its place in the
    log of the attempts, or of the planning calls, where it is one of these."""

    part: Part
    start: int
    end: int
    step: int | None = None
    entry: int | None = None

    @property
    def length(self) -> int:
        """In microseconds."""
        return self.end - self.start


@dataclass
class _Moment:
    """Something that the state tells the time of; `what` is a mark's, or the kind of entry.

    `due`: nothing may follow before. `again_with`: the model that a call is made to once more.
    `queued`: for so many seconds it had waited for a slot. `entry`: its place in its log.
    """

    what: str
    start: float
    end: float
    step: int | None = None
    entry: int | None = None
    due: float | None = None
    model: str | None = None
    again_with: str | None = None
    queued: float = 0.0


@dataclass
class _Walk:
    """Goes along the time of a run and never back, whatever its clocks did."""

    begin: float
    last: float
    spans: list[Span] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.at = self.begin

    def to(
        self, moment: float, part: Part, step: int | None = None, entry: int | None = None
    ) -> None:
        """Everything until then was this."""
        before, self.at = self.at, max(self.at, min(moment, self.last))
        start, end = self._us(before), self._us(self.at)
        if end > start:
            self.spans.append(Span(part, start, end, step, entry))

    def _us(self, moment: float) -> int:
        return round((moment - self.begin) * 1_000_000)


def time_spent(state: RunState, *, now: float, queued: bool = False) -> list[Span]:
    """The time from the acceptance of a run to its end, or to `now` while it has none.

    The spans follow each other without a gap. `now` is in epoch seconds. `queued`: it has no slot,
    so that a running one is still to be resumed.
    """
    ended = state["completed_at"] if state["status"] in SETTLED else None
    last = max(state["created_at"], now if ended is None else ended)
    walk = _Walk(state["created_at"], last)
    moments = [*_moments(state), _Moment(_ending(state, queued=queued), last, last)]
    walk.to(moments[0].start, _idle(None, moments[0], due=False))
    due: _Moment | None = None
    for before, after in pairwise(moments):
        made: Part = "planning" if before.what == "call" else "tools"
        walk.to(before.end, made, before.step, before.entry)
        if before.what != "taken_up":  # which leaves a backoff as it is
            due = before if before.due is not None else None
        if due is not None and due.due is not None:
            walk.to(min(due.due, after.start), "backoff", due.step)
        walk.to(after.start - after.queued, _idle(before, after, due=due is not None))
        walk.to(after.start, "queue")
    return walk.spans


def _idle(before: _Moment | None, after: _Moment, *, due: bool) -> Part:
    """What the run did between two moments, once its backoff was over."""
    if after.what == "taken_up":
        return "interruption"
    if _is_word(after):
        return "waiting"
    for part in PARTS:
        if after.what == part != "other":
            return part
    if before is None or due or _is_word(before):
        return "queue"
    if before.again_with is not None and before.again_with == after.model:
        return "backoff"
    return "other"


def _is_word(moment: _Moment) -> bool:
    """Whether somebody said then that it is to go on, or not."""
    return moment.what not in {
        "start",
        "call",
        "attempt",
        "taken_up",
        "in_doubt",
        "changed",
        *PARTS,
    }


def _ending(state: RunState, *, queued: bool) -> Part:
    """What the run does since the last thing that is stored of it."""
    steps, status = state["plan"]["steps"], state["status"]
    if status in SETTLED:
        if _is_given_up(state):
            return "interruption"
        return "waiting" if status == "cancelled" and _is_undecided(state) else "other"
    if status == "pending":
        return "queue"
    if status == "waiting":
        return "waiting"
    if queued:
        return "interruption"
    if is_planning(state) and not state["error"]:
        return "planning"
    if state["error"] or 0 < len(steps) <= state["cursor"]:
        return "other"
    return "tools" if steps else "planning"


def _is_given_up(state: RunState) -> bool:
    """Whether the process ended once more since the run was resumed, which then was too often."""
    error, log = state["error"], state.get("log", [])
    given_up = error is not None and error["type"] == "internal"
    return given_up and bool(log) and log[-1].get("what") == "taken_up"


def _is_undecided(state: RunState) -> bool:
    """Whether nothing has followed a question but a cancellation."""
    rest = [entry for entry in state.get("log", []) if entry.get("what") != "cancel"]
    if rest and (rest[-1].get("expires_at") is not None):
        return True
    approval = approval_of(state)
    if approval is None:
        return False
    return all(entry.get("at", entry.get("started_at")) <= approval["asked_at"] for entry in rest)


def _moments(state: RunState) -> Iterator[_Moment]:
    """The start, the planning calls, the attempts and the marks, in the order that they came in."""
    fork = state.get("forked_from")
    logged, made = (fork["logged"], fork["planned"]) if fork else (0, 0)  # before it was forked
    # A cancellation ends what it finds, whose entry follows the mark and began before it.
    log = state.get("log", [])[logged:]
    entries = [entry for entry in log if entry.get("what") != "cancel"]
    calls = [*enumerate(state["planning_log"])][made:]
    place = len(attempts(state)) - sum(entry["kind"] == "attempt" for entry in log)
    starts, rounds = _starts(state, log), rounds_of(state)
    yield from next(starts)
    for entry in entries:
        while calls and _precedes(calls[0][1], entry, rounds):
            yield _call(state, *calls.pop(0), last=not calls)
        if entry["kind"] == "attempt":
            yield _attempt(entry, place)
            place += 1
        else:
            yield _mark(entry)
        if "retry" in entry:
            yield from next(starts)
    while calls:
        yield _call(state, *calls.pop(0), last=not calls)


def _precedes(call: PlanningCall, entry: Any, rounds: Sequence[Round]) -> bool:
    """Whether a call was made before something else happened; by rounds, since clocks are set."""
    if entry["kind"] == "mark":
        return bool(call["started_at"] <= entry["at"])
    if call.get("purpose") == "answer":  # which comes after all steps, until a retry
        return False
    later = (one["round"] for one in rounds if one["first"] > entry["step"])
    return round_of(call) < next(later, len(rounds) + 1)


def _starts(state: RunState, log: Sequence[Any]) -> Iterator[list[_Moment]]:
    """When the run was begun, and begun again after each retry; nothing where it was not yet."""
    retries = (entry["retry"] for entry in log if "retry" in entry)
    for at in (*(retry["ended"]["started_at"] for retry in retries), state["started_at"]):
        yield [] if at is None else [_Moment("start", at, at)]


def _call(state: RunState, place: int, call: PlanningCall, *, last: bool) -> _Moment:
    queued = call.get("queued_ms", 0.0) / 1000
    moment = _Moment("call", *_times(call), entry=place, model=call["model"], queued=queued)
    if call["outcome"] == "failed" and call["transient"]:
        moment.again_with = call["model"]
    planning = state.get("planning")
    if last and planning is not None:
        moment.due = planning["not_before"]
    return moment


def _attempt(entry: Attempt, place: int) -> _Moment:
    start, end = _times(entry)
    return _Moment("attempt", start, end, entry["step"], place, due=entry["retry_at"])


def _mark(mark: Mark) -> _Moment:
    return _Moment(mark["what"], mark["at"], mark["at"])


def _times(entry: PlanningCall | Attempt) -> tuple[float, float]:
    return entry["started_at"], ended_at(entry)
