"""The planning calls that count for a run as it was last started."""

from collections.abc import Sequence

from graph.state import PlanningCall, RunState


def of_this_start(state: RunState, log: Sequence[PlanningCall]) -> list[PlanningCall]:
    """The entries of `log` since the run was started: what came before a retry is spent."""
    started_at = state.get("started_at")
    if not state.get("generation") or started_at is None:
        return list(log)
    return [entry for entry in log if entry["started_at"] >= started_at]
