"""Cancelling a run: the mark is stored, then the runner is told."""

import asyncio
import time

from graph.record.record import Record
from graph.runs.accept import Acceptance
from graph.runs.context import RunContext
from graph.runs.fleet import Orders
from graph.state.status import SETTLED, WrongStatus, may_become
from graph.storage.storage import StorageUnavailable


class AlreadySettled(WrongStatus):
    """The run has ended, so that there is nothing to cancel."""

    rule = "only one that has not ended can be cancelled"


class Canceller:
    """Cancels runs: a run whose mark is stored is cancelled, whatever happens."""

    def __init__(self, context: RunContext, runner: Orders, acceptance: Acceptance) -> None:
        self._storage, self._reader = context.storage, context.reader
        self._runner = runner
        self._acceptance = acceptance

    async def cancel(self, run_id: str, *, by: str, owner: str | None) -> Record:
        """As `Runs.cancel`."""
        state = await self._reader.admitted(run_id, owner)
        if may_become(state["status"], "cancelled"):
            self._acceptance.check()
            # Shielded from a caller who goes away: once the mark is stored, the act follows.
            await asyncio.shield(self._stop(run_id, by))
            state = await self._reader.state(run_id)
        if state["status"] not in SETTLED:
            raise StorageUnavailable
        if state["status"] != "cancelled":
            raise AlreadySettled(run_id, state["status"])
        return await self._reader.record(state)

    async def _stop(self, run_id: str, by: str) -> None:
        with self._storage.available():
            await self._storage.index.request_cancel(run_id, at=time.time(), by=by)
        await self._runner.cancel(run_id)
