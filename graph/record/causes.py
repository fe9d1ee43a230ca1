"""Why a run did not complete: the effect first, then what led to it, each from the record."""

from collections.abc import Iterator
from typing import Annotated, Literal

from typing_extensions import TypedDict

from graph.record.generations import generations
from graph.state import Attempt, Mark, RunError, RunState, attempts, marks
from graph.state.rounds import round_of, rounds_of
from graph.state.wording import Time, counted, doc, shortened

#: Characters of a message that are told.
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
            yield from _attempts(state, error["step"])
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


def _attempts(state: RunState, step: int | None) -> Iterator[Cause]:
    """Those of the step that failed since it was last told to run, the latest first."""
    made = [
        entry
        for entry in attempts(state)
        if entry["step"] == step and entry["generation"] == state["generation"]
    ]
    for entry in reversed(made):
        if entry["error"] is None:
            return
        yield _attempt(entry, f"; {_no_more(entry)}" if entry is made[-1] else "")


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


def _attempt(entry: Attempt, text: str = "") -> Cause:
    assert entry["error"] is not None
    error = f"{entry['error']['type']}: {entry['error']['message']}"
    message = f"attempt {entry['attempt']} at step {entry['step']} ({entry['tool']}): {error}"
    link = cause("attempt", message[:MOST] + text, entry["started_at"])
    return {**link, "step": entry["step"], "attempt": entry["attempt"]}


def _cut_off(state: RunState) -> Iterator[Cause]:
    for last in attempts(state)[-1:]:
        if last["status"] in ("cancelled", "in_doubt"):
            yield _attempt(last)


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
