"""What a model knows of a run, and what must be true of it whatever was done to it."""

from dataclasses import dataclass, field
from typing import Any

from graph.record.events import Event, events
from graph.state import Approve, RunState, Status
from graph.state.status import SETTLED, SETTLED_OR_WAITING, TRANSITIONS


@dataclass
class Known:
    """A run as far as it was seen; `labels` are those of all gates that it may ever stand at.

    `first` is the step that it began with when it was started, retried or forked last, `floor` how
    many were done before it was forked. `approved`: its plan may be executed.
    """

    run_id: str
    labels: list[str]
    approve: Approve = "never"
    approved: bool = True
    status: Status = "pending"
    events: list[Event] = field(default_factory=list)
    asked: bool = False
    final: RunState | None = None
    first: int = 1
    floor: int = 0
    skipped: set[int] = field(default_factory=set)

    def continues(self, *, first: int, skipped: set[int]) -> None:
        """It was retried."""
        self.status, self.final, self.asked = "pending", None, False
        self.first, self.skipped = first, skipped

    def check(self, state: RunState) -> None:
        """See that the run has come to this state in a way that it may, and remember it."""
        assert state["status"] in reachable(self.status), (self.status, state["status"])
        self._check_events(state)
        if self.final is not None:
            assert state == self.final
        self._check_attempts(state)
        if state["status"] in SETTLED:
            self.final = state
        self.status, self.events = state["status"], events(state)

    def _check_events(self, state: RunState) -> None:
        seen = events(state)
        assert seen[: len(self.events)] == self.events
        ended = [event["type"] for event in seen[-2:]] == [f"run.{state['status']}", "end"]
        assert ended == (state["status"] in SETTLED)
        if state["status"] == "cancelled":
            assert self.asked or any(event["type"] == "run.cancelling" for event in seen)

    def _check_attempts(self, state: RunState) -> None:
        made = attempts_since(state)
        assert not made or self.approved, "executed, and nobody has approved it"
        assert state["status"] != "waiting" or not self.approved, "asked, though it is approved"
        assert [(entry["step"], entry["attempt"]) for entry in made] == sorted(
            {(entry["step"], entry["attempt"]) for entry in made}
        )
        done = [entry["step"] for entry in made if entry["status"] == "ok"]
        due = range(self.first, state["cursor"] + 1)
        assert done == [step for step in due if step not in self.skipped]
        over = 0 < len(state["plan"]["steps"]) <= state["cursor"]
        assert (state["status"] == "completed") == over or (
            state["status"] in {"cancelled", *(set(TRANSITIONS) - SETTLED_OR_WAITING)}
        )


def attempts_since(state: RunState) -> list[Any]:
    """The attempts made since a run was started, retried or forked last."""
    log, fork = state.get("log", []), state.get("forked_from")
    begun = fork["logged"] if fork else 0
    for place, entry in enumerate(log):
        if entry["kind"] == "mark" and entry["what"] == "retry":
            begun = place
    return [entry for entry in log[begun:] if entry["kind"] == "attempt"]


def reachable(status: Status) -> set[Status]:
    """The statuses that a run may take from this one without a retry, which nothing may skip."""
    found: set[Status] = {status}
    if status in SETTLED:
        return found
    while more := {after for one in found - SETTLED for after in TRANSITIONS[one]} - found:
        found |= more
    return found
