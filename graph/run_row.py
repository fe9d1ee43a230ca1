"""A run as a row: the request until there is a first checkpoint, then what a list shows."""

from dataclasses import dataclass

from graph.decision import Decision
from graph.facts import NO_FACTS, Facts
from graph.retrying import RetryOrder
from graph.state import Approve, Budget, Limits, RunState, Status


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run in the index; times in epoch seconds.

    `cancel_at` and `cancel_by` say that somebody asked for its cancellation, whatever came of it.
    `starts` counts how often in a row it was started with `checkpoint_id` as its latest
    checkpoint, so that a run which kills its process is not started for ever. `decision` is what
    was decided about its plan, `expires_at` until when that may be done. `generation` counts how
    often it was retried, and `retry` is the last order to do so. A fork has the id of its origin in
    `forked_from`, and until it is begun the state that it begins with in `seed`.
    """

    run_id: str
    owner: str
    prompt: str
    limits: Limits
    created_at: float
    budget: Budget | None = None
    status: Status = "pending"
    started_at: float | None = None
    completed_at: float | None = None
    starts: int = 1
    checkpoint_id: str | None = None
    cancel_at: float | None = None
    cancel_by: str | None = None
    approve: Approve = "never"
    expires_at: float | None = None
    decision: Decision | None = None
    generation: int = 0
    retry: RetryOrder | None = None
    forked_from: str | None = None
    seed: RunState | None = None
    facts: Facts = NO_FACTS
