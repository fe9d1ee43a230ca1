"""Telling the index, the watchers and the log how a run stands by its checkpoint."""

import logging
from collections.abc import Callable

from graph.live import Live
from graph.state import RunState
from graph.state.row import facts_of
from graph.state.status import RESTING, SETTLED
from graph.storage.storage import Storage

logger = logging.getLogger("runwright.runs")


class Projection:
    """Writes to the index what a stored state says, and then shows that state."""

    def __init__(self, storage: Storage, live: Live, publish: Callable[[RunState], None]) -> None:
        self._storage = storage
        self._live = live
        self.publish = publish

    async def write(self, state: RunState) -> None:
        """Raises what the storage raises."""
        status = state["status"]
        if (approval := state.get("approval")) and status == "waiting":
            # Before it is seen to wait, so that none waits for ever.
            await self._storage.index.note_expiry(state["run_id"], approval["expires_at"])
        changed = await self._storage.index.project(
            state["run_id"],
            status,
            started_at=state["started_at"],
            completed_at=state["completed_at"],
            facts=facts_of(state),
            generation=state["generation"],
        )
        if status in RESTING:
            self._live.begun.discard(state["run_id"])
        self.publish(state)
        if changed:
            error = state["error"] if status in SETTLED else None
            logger.info(
                "run %s",
                status,
                extra={"run_id": state["run_id"], "error": error and error["type"]},
            )
