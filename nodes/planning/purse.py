"""Who pays for calls of models: what the planner needs of an owner's daily budget."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from graph.state import RunState
from nodes.planning.model import Completion, Cost


@dataclass(frozen=True)
class Call:
    """One call of a model for an owner's run.

    `key` tells it from the other calls of the run. It is the same when the call is made again,
    since its process ended before the answer was stored.
    """

    owner: str
    run_id: str
    key: str
    model: str


def call_of(state: RunState, model: str) -> Call:
    """The next planning call of a run: every one before it has left its entry in the log."""
    return Call(
        owner=state["owner"],
        run_id=state["run_id"],
        key=f"{state['generation']}:{len(state['planning_log'])}",
        model=model,
    )


class NotPaid(Exception):
    """The call is not made; `reason` says why, `passes` whether that ends with the day."""

    def __init__(self, reason: str, *, passes: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passes = passes


class Purse(Protocol):
    """Pays for calls as long as the owner's budget of the day allows them."""

    async def pay(
        self,
        call: Call,
        cost: Cost,
        ask: Callable[[float], Awaitable[Completion]],
        *,
        timeout: float,
    ) -> Completion:
        """What `ask` brings within the time that it is given; `cost` is the most it can cost.

        All of it takes `timeout` seconds at most. What it cost is stored when this returns. Raises
        `NotPaid`, what `ask` raises, and the storage's errors.
        """
