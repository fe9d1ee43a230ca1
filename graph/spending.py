"""What owners have spent on calls of models, by day."""

from dataclasses import dataclass
from typing import Protocol

from nodes.planning.model import Cost
from nodes.planning.purse import Call


@dataclass(frozen=True)
class Spent:
    """What the calls of one day cost together; `usd` is None once a price is not known."""

    usd: float | None = 0.0
    tokens: int = 0
    calls: int = 0

    def plus(self, cost: Cost) -> "Spent":
        """The same after one more call."""
        known = self.usd is not None and cost.usd is not None
        usd = self.usd + cost.usd if known else None  # type: ignore[operator]  # both are known
        return Spent(usd, self.tokens + cost.tokens, self.calls + 1)


class Spending(Protocol):
    """What a backend keeps of it: sums by owner and day, which outlast the runs they came from."""

    async def of(self, owner: str, day: str) -> Spent:
        """What an owner has spent on a day, as `2026-11-22`."""

    async def hold(self, call: Call, day: str, cost: Cost) -> None:
        """Set aside, durably, what a call may cost until `add` or `release` comes.

        Where neither does, since the process was killed, it is counted when the storage is opened.
        """

    async def release(self, call: Call) -> None:
        """The call has ended and costs nothing."""

    async def add(self, call: Call, day: str, cost: Cost) -> bool:
        """Count a call, durably; False where it was counted before.

        Of a run that is kept, the call that was counted last is known again by its key.
        """
