"""Steps of which nobody knows whether they acted, and what was said of them, read from the log."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict

from graph.state.log import Attempt, Learned, Mark, ended_at


class Question(TypedDict):
    """What a person is asked about the latest attempt at a step; times in epoch seconds.

    `number` tells the questions of a run apart: a later one has a higher number.
    """

    number: int
    attempt: Attempt
    asked_at: float
    expires_at: float


def in_doubt(state: Mapping[str, Any], step: int) -> Attempt | None:
    """The attempt at a step that may have acted, as long as nobody said whether it did; else None.

    That the run was to fail by it, or nobody answered, does not say so.
    """
    for entry in reversed(state.get("log", ())):
        if entry.get("step") != step:
            continue
        if entry["kind"] == "attempt":
            return entry if entry["status"] == "in_doubt" else None
        if entry["what"] == "resolved" and entry["as"] != "fail":
            return None
    return None


def question_of(state: Mapping[str, Any]) -> Question | None:
    """What a waiting run asks about a step in doubt; None where it asks about its plan, or nothing.

    Nothing is logged while a run waits, so that the last entry tells.
    """
    log = state.get("log", ())
    if state["status"] != "waiting" or state.get("error") or not log:
        return None
    last: Any = log[-1]
    if last.get("what") != "in_doubt" and last.get("status") != "in_doubt":
        return None
    attempt = in_doubt(state, last["step"])
    expires_at = last.get("expires_at")
    if attempt is None or expires_at is None:
        return None
    asked_at = last["at"] if last["kind"] == "mark" else ended_at(last)
    return Question(number=len(log), attempt=attempt, asked_at=asked_at, expires_at=expires_at)


def outputs(state: Mapping[str, Any]) -> dict[int, Any]:
    """The output of each step that is done: of its latest attempt, or as a person said."""
    found: dict[int, Any] = {}
    for entry in state.get("log", ()):
        if entry.get("status") == "ok" or is_said_done(entry):
            found[entry["step"]] = entry.get("output")
    return found


def last_done(state: Mapping[str, Any]) -> tuple[Any, str] | None:
    """The output and the tool of the step that was done last; None where all were left out."""
    skipped = state.get("skipped", ())
    for entry in reversed(state.get("log", ())):
        done = entry.get("status") == "ok" or is_said_done(entry)
        if done and entry["step"] not in skipped:
            tool = entry.get("tool") or state["plan"]["steps"][entry["step"] - 1]["tool"]
            return entry.get("output"), tool
    return None


def is_said_done(entry: Attempt | Mark) -> bool:
    """Whether an entry of the log says that a step in doubt was done."""
    said: Any = entry
    return bool(said.get("what") == "resolved" and said["as"] == "done")


def learned_of(question: Question, learned: Learned | None) -> Learned | None:
    """What was learned, where it is about the attempt in question."""
    names = ("generation", "step", "attempt")
    attempt: Any = question["attempt"]
    about: Any = learned
    if about is None or any(about[name] != attempt[name] for name in names):
        return None
    return learned
