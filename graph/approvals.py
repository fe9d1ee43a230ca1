"""Approving and rejecting plans that wait for a person, and ending those that nobody decides on."""

import asyncio
import logging
import time
from collections.abc import Mapping

from graph.decision import Decision
from graph.driver import Driver
from graph.state import Plan, RunState, Status
from graph.status import actions
from graph.storage import Storage
from nodes.approving.edited_plan import PlanUnfit, check_editable, read_plan
from nodes.contract.plan_check import check_plan
from nodes.planning.budget import limits_of
from tools.registry import Tool

logger = logging.getLogger("runwright.runs")

#: How often it is looked for plans that nobody has decided on, in seconds; sooner where they may
#: wait for minutes only.
SWEEP = 60.0

#: So many of them are ended at a time.
BATCH = 100


class NotWaiting(Exception):
    """There is nothing to be decided about the run's plan, or somebody else has decided."""

    def __init__(self, run_id: str, status: Status) -> None:
        super().__init__(f"run {run_id} is {status}")
        self.run_id = run_id
        self.status = status


class Approvals:
    """Decisions about plans: each stored first, exactly one for a plan, and then carried out."""

    def __init__(self, storage: Storage, driver: Driver, tools: Mapping[str, Tool]) -> None:
        self._storage = storage
        self._driver = driver
        self._tools = tools

    def edited(self, state: RunState, plan: object) -> Plan:
        """A plan to be executed instead of the proposed one.

        Raises `PlanUnfit` with what is wrong with it.
        """
        check_editable(state)
        return read_plan(plan, self._tools, limits_of(state))

    def check_waiting(self, state: RunState) -> None:
        """Raise `NotWaiting` unless the run rests until somebody decides about its plan."""
        if "approve" not in actions(state["status"]):
            raise NotWaiting(state["run_id"], state["status"])

    async def decide(self, state: RunState, decision: Decision) -> None:
        """Store a decision about the plan of a run and carry it out.

        Raises `NotWaiting`, and `PlanUnfit` where the proposed plan fits the tools no longer.
        """
        run_id, now = state["run_id"], time.time()
        approval = state.get("approval")
        self.check_waiting(state)
        if approval and now >= approval["expires_at"] and await self._expire(run_id):
            raise NotWaiting(run_id, "cancelled")
        if decision["what"] == "approved" and decision["plan"] is None:
            steps = state["plan"]["steps"]
            if reasons := check_plan(steps, self._tools, limits_of(state)):
                raise PlanUnfit(reasons)
        if not await self._storage.index.decide(run_id, decision):
            raise NotWaiting(run_id, state["status"])
        await self._driver.decide(run_id)

    async def sweep(self, every: float = SWEEP) -> None:
        """End the runs about whose plans nobody decides in time, at once and every so many seconds.

        Goes on until it is cancelled.
        """
        while True:
            try:
                while expired := await self._storage.index.expired(time.time(), BATCH):
                    for run_id in expired:
                        await self._expire(run_id)
            except self._storage.errors:
                logger.warning("storage does not answer", exc_info=True)
            await asyncio.sleep(every)

    async def _expire(self, run_id: str) -> bool:
        """End a run about whose plan nobody has decided; whether that is so."""
        decision = Decision(what="expired", at=time.time(), by="server", reason=None, plan=None)
        won = await self._storage.index.decide(run_id, decision)
        if won:
            await self._driver.decide(run_id)
        return won
