"""What calls of models cost, and the daily budget: what they may cost each owner.

A day is between two midnights, UTC.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from graph.storage.storage import Spending, Spent
from nodes.planning.model import BudgetExceeded, Call, Completion, Cost, ModelFailure

_MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """USD per million tokens; `cached` where what is read from a cache has a price of its own."""

    input: float
    output: float
    cached: float | None = None

    def of(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """The price of one call, USD; `cached_tokens` are those of its input."""
        cached = self.input if self.cached is None else self.cached
        read = (input_tokens - cached_tokens) * self.input + cached_tokens * cached
        return (read + output_tokens * self.output) / _MILLION


def price_in_map(litellm: Any, name: str) -> Price | None:
    """The price in LiteLLM's own map, which is loaded with it; None where it has none."""
    # Not `get_model_info`: for an Ollama model it asks the server, and says that it costs nothing.
    provider, _, bare = name.partition("/")
    entry = litellm.model_cost.get(name) or litellm.model_cost.get(bare) or {}
    # The same name may be another provider's, at another price.
    if bare and entry.get("litellm_provider") != provider:
        return None
    try:
        per_token = entry["input_cost_per_token"], entry["output_cost_per_token"]
    except KeyError:
        return None
    return Price(per_token[0] * _MILLION, per_token[1] * _MILLION)


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


class DailyBudget:
    """Pays for calls while their worst case fits into what is left of the owner's day.

    The worst case of a call under way is set aside, in the storage, so that calls at once of all
    processes exceed nothing together, and what a killed process was asking for is counted: it may
    be charged.
    """

    def __init__(
        self, limit: DailyLimit, spending: Spending, clock: Callable[[], float] = time.time
    ) -> None:
        self._limit = limit
        self._spending = spending
        self._clock = clock

    async def account(self, owner: str) -> Account:
        """How an owner's budget stands now. Raises the storage's errors."""
        now = self._clock()
        return Account(self._limit, await self._spending.of(owner, _day(now)), renewal(now))

    async def charge(
        self, call: Call, cost: Cost, ask: Callable[[], Awaitable[Completion]]
    ) -> Completion:
        """What `ask` brings; see `BudgetGuard`. An answer counts for the day on which it was asked
        for.

        What is not told of an answer, and all of a call that was cut off after it was sent, counts
        as its worst case, also where it was the process that was killed. A call that failed
        otherwise costs nothing.
        """
        now = self._clock()
        day = _day(now)
        try:
            await self._set_aside(call, day, cost, now)
        except asyncio.CancelledError:  # nothing was asked, but it may be set aside by now
            with suppress(Exception):
                await self._spending.release(call)
            raise
        try:
            completion = await ask()
        except ModelFailure as failure:
            if failure.error_class == "timeout":  # it was sent
                await self._spending.add(call, day, cost)
            else:
                await self._spending.release(call)
            raise
        except BaseException:
            with suppress(Exception):  # who is told to stop, stops, also where the storage fails
                await self._spending.add(call, day, cost)
            raise
        await self._spending.add(call, day, _price(completion, cost))
        return completion

    async def _set_aside(self, call: Call, day: str, cost: Cost, now: float) -> None:
        limit = self._limit
        while not await self._spending.hold(call, day, cost, usd=limit.usd, tokens=limit.tokens):
            spent = await self._spending.of(call.owner, day)
            held = await self._spending.held(call.owner, day)
            if refusal := self._refusal(spent, held, call, cost, now):
                raise refusal
            # Another call has ended since, and has left room.

    def _refusal(
        self, spent: Spent, held: Spent, call: Call, cost: Cost, now: float
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

    def _over_price(self, spent: Spent, held: Spent, call: Call, cost: Cost) -> str | None:
        limit = self._limit.usd
        if limit is None:
            return None
        if spent.usd is None:
            return "a call of today had no known price, so a budget in USD cannot be kept"
        left = limit - spent.usd
        asked = held.usd or 0.0
        if (cost.usd or 0.0) <= left - asked:
            return None
        needed = f"a call of {call.model} may cost {cost.usd:.6f} USD, {max(0.0, left):.6f} of"
        return f"{needed} {limit:g} are left{_of_which(f'{asked:.6f}' if held.calls else '')}"

    def _over_tokens(self, spent: Spent, held: Spent, call: Call, cost: Cost) -> str | None:
        limit = self._limit.tokens
        if limit is None:
            return None
        left = limit - spent.tokens
        if cost.tokens <= left - held.tokens:
            return None
        needed = f"a call of {call.model} may take {cost.tokens} tokens, {max(0, left)} of {limit}"
        return f"{needed} are left{_of_which(f'{held.tokens}' if held.calls else '')}"


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
