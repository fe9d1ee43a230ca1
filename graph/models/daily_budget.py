"""The daily budget: what the calls of models may cost each owner between two midnights, UTC."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from graph.storage.storage import Spending, Spent
from nodes.planning.model import BudgetExceeded, Call, Completion, Cost, ModelFailure

DAY = 86_400


@dataclass(frozen=True)
class DailyLimit:
    """The most that an owner may spend in a day; None is no limit."""

    usd: float | None = None
    tokens: int | None = None

    def __bool__(self) -> bool:
        return self.usd is not None or self.tokens is not None


@dataclass(frozen=True)
class Account:
    """How an owner's budget stands; `spent` is None where nothing is counted, without a limit.

    `renewed_at`: when the next day begins, in epoch seconds.
    """

    limit: DailyLimit
    spent: Spent | None
    renewed_at: float


@dataclass
class _Ledger:
    """One owner's day: what is spent, and what is set aside for calls under way."""

    spent: Spent
    held: list[Cost] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def hold(self, cost: Cost) -> None:
        self.held.append(cost)

    def release(self, cost: Cost, paid: Cost | None) -> None:
        """The call has ended; it has cost `paid`, or nothing that is to be counted."""
        self.held.remove(cost)
        if paid is not None:
            self.spent = self.spent.plus(paid)
        self.changed.set()
        self.changed = asyncio.Event()


class DailyBudget:
    """Pays for calls while their worst case fits into what is left of the owner's day.

    The worst case of a call under way is set aside, so that calls at once exceed nothing together;
    one that only they leave no room for waits for them to end. The ledgers are in memory, since one
    process owns the storage; they begin with what is stored, and every change is stored. So is the
    worst case of a call before it is made: what a killed process was asking for may be charged.
    """

    def __init__(
        self, limit: DailyLimit, spending: Spending, clock: Callable[[], float] = time.time
    ) -> None:
        self._limit = limit
        self._spending = spending
        self._clock = clock
        self._ledgers: dict[tuple[str, str], _Ledger] = {}

    async def account(self, owner: str) -> Account:
        """How an owner's budget stands now. Raises the storage's errors."""
        now = self._clock()
        ledger = await self._ledger(owner, _day(now))
        return Account(self._limit, ledger.spent, renewal(now))

    async def charge(
        self,
        call: Call,
        cost: Cost,
        ask: Callable[[float], Awaitable[Completion]],
        *,
        timeout: float,
    ) -> Completion:
        """What `ask` brings; see `BudgetGuard`. An answer counts for the day on which it was asked
        for.

        What is not told of an answer, and all of a call that was cut off after it was sent, counts
        as its worst case, also where it was the process that was killed. A call that failed
        otherwise costs nothing.
        """
        began = time.monotonic()
        day, ledger = await self._room(call, cost, timeout / 2)
        await self._hold(ledger, call, day, cost)
        left = max(0.0, timeout - (time.monotonic() - began))
        try:
            completion = await ask(left)
        except ModelFailure as failure:
            sent = failure.error_class == "timeout"
            await self._settle(ledger, call, day, cost, cost if sent else None)
            raise
        except BaseException:
            with suppress(Exception):  # who is told to stop, stops, also where the storage fails
                await self._settle(ledger, call, day, cost, cost)
            raise
        await self._settle(ledger, call, day, cost, _price(completion, cost))
        return completion

    async def _hold(self, ledger: _Ledger, call: Call, day: str, cost: Cost) -> None:
        """Let the storage know of the call, so that it is counted if this process is killed."""
        try:
            await self._spending.hold(call, day, cost)
        except Exception:  # nothing of it was written
            ledger.release(cost, None)
            raise
        except BaseException:
            with suppress(Exception):
                await self._settle(ledger, call, day, cost, None)
            raise

    async def _settle(
        self, ledger: _Ledger, call: Call, day: str, cost: Cost, paid: Cost | None
    ) -> None:
        counted = True  # also where the storage cannot tell
        try:
            if paid is None:
                await self._spending.release(call)
            else:
                counted = await self._spending.add(call, day, paid)
        finally:
            ledger.release(cost, paid if counted else None)

    async def _room(self, call: Call, cost: Cost, seconds: float) -> tuple[str, _Ledger]:
        """Set aside what the call may cost; the day and the ledger. Raises `BudgetExceeded`."""
        deadline = time.monotonic() + seconds
        while True:
            now = self._clock()
            day = _day(now)
            ledger = await self._ledger(call.owner, day)
            refusal = self._refusal(ledger.spent, ledger.held, call, cost, now)
            if refusal is None:
                ledger.hold(cost)
                return day, ledger
            left = deadline - time.monotonic()
            if left <= 0 or self._refusal(ledger.spent, [], call, cost, now):
                raise refusal
            try:
                async with asyncio.timeout(left):
                    await ledger.changed.wait()
            except TimeoutError:
                raise refusal from None

    async def _ledger(self, owner: str, day: str) -> _Ledger:
        ledger = self._ledgers.get((owner, day))
        if ledger is None:
            spent = await self._spending.of(owner, day)
            for past in [key for key in self._ledgers if key[1] < day]:
                del self._ledgers[past]
            # Another call may have been first, and have spent something since.
            ledger = self._ledgers.setdefault((owner, day), _Ledger(spent))
        return ledger

    def _refusal(
        self, spent: Spent, held: list[Cost], call: Call, cost: Cost, now: float
    ) -> BudgetExceeded | None:
        """Why there is no room for a call, beside those under way."""
        if self._limit.usd is not None and cost.usd is None:
            reason = f"is in USD, and the price of {call.model} is not known"
            return BudgetExceeded(
                f"the daily budget {reason} (RUNWRIGHT_MODEL_PRICES)", passes=False
            )
        why = self._over_price(spent, held, call, cost) or self._over_tokens(
            spent, held, call, cost
        )
        if why is None:
            return None
        until = datetime.fromtimestamp(renewal(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        reason = f"the daily budget of this owner is used up: {why}; it is renewed at {until}"
        return BudgetExceeded(reason, passes=True)

    def _over_price(self, spent: Spent, held: list[Cost], call: Call, cost: Cost) -> str | None:
        limit = self._limit.usd
        if limit is None:
            return None
        if spent.usd is None:
            return "a call of today had no known price, so a budget in USD cannot be kept"
        left = limit - spent.usd
        asked = sum(one.usd or 0.0 for one in held)
        if (cost.usd or 0.0) <= left - asked:
            return None
        needed = f"a call of {call.model} may cost {cost.usd:.6f} USD, {max(0.0, left):.6f} of"
        return f"{needed} {limit:g} are left{_of_which(f'{asked:.6f}' if held else '')}"

    def _over_tokens(self, spent: Spent, held: list[Cost], call: Call, cost: Cost) -> str | None:
        limit = self._limit.tokens
        if limit is None:
            return None
        left = limit - spent.tokens
        asked = sum(one.tokens for one in held)
        if cost.tokens <= left - asked:
            return None
        needed = f"a call of {call.model} may take {cost.tokens} tokens, {max(0, left)} of {limit}"
        return f"{needed} are left{_of_which(f'{asked}' if held else '')}"


def _of_which(held: str) -> str:
    return f", {held} set aside for calls under way" if held else ""


def _price(completion: Completion, worst: Cost) -> Cost:
    """What an answer cost, as far as it was told."""
    needed = completion.input_tokens, completion.output_tokens
    tokens = worst.tokens if None in needed else sum(needed)  # type: ignore[arg-type]  # all are known
    return Cost(tokens=tokens, usd=worst.usd if completion.usd is None else completion.usd)


def renewal(now: float) -> float:
    """When the day after that of an epoch second begins, UTC."""
    return (now // DAY + 1) * DAY


def _day(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()
