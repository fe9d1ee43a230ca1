"""Removing runs that have ended, one or many at a time."""

import asyncio
import logging
from collections.abc import Sequence

from graph.runs.reader import RunNotFound, RunReader, StorageUnavailable
from graph.runs.recovery import is_due
from graph.runs.watch import Broadcaster
from graph.state import RunState
from graph.state.row import RunArtifacts, facts_of
from graph.state.status import SETTLED, WrongStatus
from graph.storage.storage import Storage
from nodes.contract.steps import step_key
from tools.receipts import namespace

logger = logging.getLogger("runwright.runs")


class NotSettled(WrongStatus):
    """The run has not ended and cannot be removed."""

    rule = "only one that has ended can be removed"


class Deletion:
    """Removes what is settled, with everything that is kept of it, and nothing else."""

    def __init__(self, storage: Storage, reader: RunReader, broadcaster: Broadcaster) -> None:
        self._storage = storage
        self._reader = reader
        self._subscriptions = broadcaster

    async def remove(self, run_id: str, *, owner: str | None) -> None:
        """As `Runs.remove`."""
        state = await self._reader.admitted(run_id, owner)
        if state["status"] not in SETTLED:
            raise NotSettled(run_id, state["status"])
        # The checkpoint wins, and what its projection lacks must not keep it.
        with self._reader.available():
            row = await self._storage.index.find(run_id)
            if row is not None and is_due(row.retry, state):
                raise NotSettled(run_id, row.status)
            await self._storage.index.project(
                run_id,
                state["status"],
                started_at=state["started_at"],
                completed_at=state["completed_at"],
                facts=facts_of(state),
                generation=state["generation"],
            )
        if await self.remove_settled([run_id]):
            return
        with self._reader.available():
            row = await self._storage.index.find(run_id)  # gone, or told to go on meanwhile
        if row is None:
            raise RunNotFound(run_id)
        raise NotSettled(run_id, row.status)

    async def remove_settled(self, run_ids: Sequence[str]) -> int:
        """Remove those of these runs that are settled, together; how many that were.

        A run whose state cannot be read stays. Raises `StorageUnavailable`.
        """
        found: list[RunArtifacts] = []
        for run_id in run_ids:
            try:
                state = await self._reader.state(run_id)
                if state["status"] in SETTLED:
                    found.append(artifacts_of(state))
            except RunNotFound:
                continue
            except StorageUnavailable:
                raise
            except Exception:
                logger.exception("run cannot be read, and stays", extra={"run_id": run_id})
        if not found:
            return 0
        with self._reader.available():
            removed = await asyncio.shield(self._storage.remove(found))
        for one in found:
            self._subscriptions.forget(one.run_id)
        return removed


def artifacts_of(state: RunState) -> RunArtifacts:
    """What is kept of a run. The keys are those of every attempt that it can have made."""
    edited, proposed = state["plan"], state.get("plan_proposed")
    steps = max(
        len(edited["steps"]),
        len(proposed["steps"]) if proposed else 0,
        *(entry["step"] for entry in state.get("log", []) if entry["kind"] == "attempt"),
        0,
    )
    return RunArtifacts(
        run_id=state["run_id"],
        generation=state["generation"],
        receipts=namespace("receipts", state["owner"]),
        step_keys=[
            step_key({**state, "generation": generation}, step)
            for generation in range(state["generation"] + 1)
            for step in range(1, steps + 1)
        ],
    )
