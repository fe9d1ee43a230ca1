"""Carrying out what was decided about a plan: the graph is resumed with the decision."""

import logging

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from graph.build import RunGraph
from graph.state import RunState
from graph.state.row import RunRow
from graph.storage.storage import RunIndex
from graph.take_up import is_waiting, state_at

logger = logging.getLogger("runwright.runs")


async def carry_out(
    graph: RunGraph, index: RunIndex, row: RunRow, config: RunnableConfig, state: RunState
) -> RunState:
    """The state of a waiting run after the decision in its row; the same where there is none.

    Nothing is executed yet. Doing it again after a crash does it once.
    """
    if row.decision is None:
        return state
    command: Command[None] = Command(resume=row.decision)
    await graph.ainvoke(command, config, interrupt_before="*", durability="sync")
    decided = await state_at(graph, config)
    if is_waiting(decided):
        # It was stored by a process with other tools, which the plan no longer fits.
        logger.warning("plan cannot be executed as approved", extra={"run_id": row.run_id})
        await index.forget_decision(row.run_id)
    return decided
