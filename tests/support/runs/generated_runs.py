"""Runs as they may have gone, by chance: with waits, approvals, attempts, crashes and retries."""

import random
from typing import Any, cast

from graph.record.events import next_event
from graph.record.generations import retried
from graph.state import AttemptError, Mark, RunState, run_error
from graph.state.row import RetryCommand
from tests.support.runs.run_states import CREATED_AT, attempted, planned, queued

REFUSED = AttemptError(type="ConnectionError", message="refused", retryable=True)


class GeneratedRun:
    """One run, made by going along its time; `state` is where it stands in the end."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._steps = self._chance.randint(1, 6)
        self._at = CREATED_AT + self._pause()
        call: Any = planned(queued(f"run {seed}"), self._steps)["planning_log"][0]
        state = planned(queued(f"run {seed}"), self._steps)
        call = {**call, "started_at": self._at, "duration_ms": self._length()}
        self.state: RunState = {**state, "started_at": self._at, "planning_log": [call]}
        self._at += call["duration_ms"] / 1000 + self._pause()
        if self._happens(0.3):
            self._mark("approved", self._chance.uniform(0, 7200))
        self._go_on()
        while self.state["status"] == "failed" and self._happens(0.6):
            self._retry()
            self._go_on()

    def _happens(self, probability: float) -> bool:
        return self._chance.random() < probability

    def _pause(self) -> float:
        return self._chance.choice((0.0, 0.0004, self._chance.uniform(0, 2)))

    def _length(self) -> float:
        return round(self._chance.choice((0.05, 3.0, self._chance.uniform(0, 9000))), 3)

    def _mark(self, what: str, after: float) -> None:
        self._at += after
        mark = Mark(kind="mark", what=cast("Any", what), at=self._at, by="client", detail=None)
        self.state = {**self.state, "log": [*self.state["log"], mark]}
        self._at += self._pause()

    def _go_on(self) -> None:
        """Make attempts until the plan is done, one fails for good, or the test looks."""
        while self.state["cursor"] < self._steps:
            if self._happens(0.15):  # its process is killed, in an attempt or between two
                self._mark("taken_up", self._chance.uniform(0, 60))
            if self._happens(0.03):
                return
            again = self._happens(0.5)
            self._attempt(fails=again, last=self.state["attempt"] >= 2)
            if again and self.state["status"] == "failed":
                return
        self._end("completed", None)

    def _attempt(self, *, fails: bool, last: bool) -> None:
        length = self._length()
        times: dict[str, Any] = {"started_at": self._at, "duration_ms": length}
        self._at += length / 1000
        if fails:
            due = None if last else self._at + self._chance.uniform(0, 4)
            times |= {"status": "error", "output": None, "error": REFUSED, "retry_at": due}
            self.state = attempted(self.state, generation=self.state["generation"], **times)
            if last:
                self._end("failed", run_error("step_failed", "refused", step=1))
            else:
                self._at = max(self._at, due or 0.0) + self._pause()
            return
        self.state = attempted(self.state, generation=self.state["generation"], **times)
        self._at += self._pause()

    def _end(self, status: str, error: Any) -> None:
        ended: Any = {"status": status, "error": error, "completed_at": self._at}
        self.state = {**self.state, **ended, "not_before": None}

    def _retry(self) -> None:
        """Somebody lets it go on where it stopped, later."""
        self._at += self._chance.uniform(0, 3600)
        command = RetryCommand(
            from_step=self.state["cursor"] + 1,
            input=None,
            skip=[],
            generation=self.state["generation"] + 1,
            by="client",
            at=self._at,
        )
        update = retried(self.state, command, next_event(self.state))
        log = [*self.state["log"], *update["log"]]
        self._at += self._pause()
        went_on: Any = {**self.state, **update, "log": log, "started_at": self._at}
        self.state = {**went_on, "status": "running"}
        self._at += self._pause()

    @property
    def now(self) -> float:
        """A moment after all that has happened, in epoch seconds."""
        return self._at + 1.5
