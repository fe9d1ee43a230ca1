"""How long the models of one run may keep it waiting, and how they share that."""

from collections.abc import Sequence
from dataclasses import dataclass

from graph.state import Planning, PlanningCall, RunState
from nodes.planning.budget import seconds_left
from nodes.planning.calls import of_this_start

_SHORTEST = 20  # parts of the longest call; in less nobody answers


def most(longest: float) -> float:
    """How long all models together may keep a run waiting, where one call may take `longest`."""
    return 2 * longest


@dataclass(frozen=True)
class Patience:
    """What a run has left for the `models` that it may still ask; all times in seconds.

    `left` is what they may take together, `longest` what one call may, `budget` what the run's own
    budget of seconds has left (None: no such limit).
    """

    longest: float
    left: float
    models: int
    budget: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether no model can be asked any more."""
        return self.left < self._shortest

    @property
    def deadline(self) -> float:
        """How long the next call may take.

        The first one may take the longest time; what it leaves is shared by all in the queue, so
        that one that hangs does not take the turn of the others.
        """
        return self._share if self.budget is None else max(0.0, min(self._share, self.budget))

    @property
    def is_cut_short(self) -> bool:
        """Whether the run's budget, and no reason of the models', sets the deadline."""
        return self.budget is not None and self.budget < self._share

    def outlasts(self, wait: float) -> bool:
        """Whether a model can be asked again after so long."""
        return self.left - wait >= self._shortest

    def affords(self, wait: float) -> bool:
        """Whether the run's budget is not over by then."""
        return self.budget is None or wait < self.budget

    @property
    def _shortest(self) -> float:
        return self.longest / _SHORTEST

    @property
    def _share(self) -> float:
        if self.is_over:
            return 0.0
        fair = max(self.left - self.longest, self.left / self.models, self._shortest)
        return min(self.longest, fair)


def patience_of(
    state: RunState, planning: Planning, log: Sequence[PlanningCall], longest: float
) -> Patience:
    """The patience of a run after the calls in `log` and the waits that it was told."""
    calls = of_this_start(state, log)
    called = sum(entry["duration_ms"] for entry in calls if entry["planner"] == "llm") / 1000
    return Patience(
        longest=longest,
        left=most(longest) - called - planning.get("waited", 0.0),
        models=len(planning["queue"]),
        budget=seconds_left(state),
    )
