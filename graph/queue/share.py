"""The event loop's time, by who takes it: whoever takes most of it waits while others are there.

One loop serves everybody. A queue for each kind of work is fair within that kind only, so what
counts is the time that the tasks of a request or a run have computed on the loop.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

#: The part of the loop's time that is for those who take most of it, while others are there, and
#: what each of them may take at once, in seconds.
SHARE, BURST = 0.5, 0.01

#: How long the loop idles, in seconds, until an owner for whom it has worked counts as gone: longer
#: than between two steps of a request. Whose step is late since the loop is busy is still there.
PRESENT = 0.02

#: What may be owed at most, in seconds: a long computation is not paid back to the end.
OWED = 0.1

#: How long the first of an owner waits at most, in seconds, whatever else is done for him.
LONGEST = 1.0

#: So many accounts of strangers are kept.
STRANGERS = 1024

T = TypeVar("T")


class Account:
    """What one owner, or the strangers of one address, have had of the loop."""

    __slots__ = ("at", "known", "requests", "seen", "steps", "used", "waiting")

    def __init__(self, *, known: bool) -> None:
        self.known = known
        self.used = 0.0  # and not given back, in seconds
        self.at = 0.0  # when that was so
        self.seen = -PRESENT  # by how long the loop had idled
        # Each kind in order: an order that he gives is not behind a thousand runs of his.
        self.requests, self.steps = asyncio.Lock(), asyncio.Lock()
        self.waiting = 0  # of those, whose turn it would be


def _lock(account: Account, *, step: bool) -> asyncio.Lock:
    return account.steps if step else account.requests


class Meter:
    """Counts what the tasks of one request or run take, whose account may be found out later."""

    __slots__ = ("_pending", "_share", "account", "clock", "ended")

    def __init__(self, share: "LoopShare", account: Account | None = None) -> None:
        self._share = share
        self._pending = 0.0
        self.account = account
        self.clock = share.clock
        self.ended = False

    def add(self, began: float, ended: float) -> None:
        """So long has the loop worked for it."""
        if self.ended:
            return
        if self.account is None:
            self._pending += ended - began
        else:
            self._share.charge(self.account, ended - began, ended)

    def assign(self, account: Account) -> None:
        """Whose it is, with what was counted so far."""
        self.account = account
        self._share.charge(account, self._pending, self._share.clock())
        self._pending = 0.0

    def end(self) -> None:
        """What outlives the request or the run is for everybody, as a connection that is kept."""
        self.ended, self.account = True, None


#: That of the request or the run for which something is computed.
METER: ContextVar[Meter | None] = ContextVar("meter", default=None)


def _account() -> Account | None:
    meter = METER.get()
    return None if meter is None else meter.account


class LoopShare:
    """Who has had how much of the loop.

    Whoever is alone never waits. Strangers wait for owners, but owners not for strangers. `clock`
    in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self._owners: dict[str, Account] = {}
        self._strangers: OrderedDict[str, Account] = OrderedDict()
        self._there: dict[Account, None] = {}  # the owners who are, in the order of `seen`
        self._last: Account | None = None  # of those
        self._idled = 0.0  # seconds, until it had last worked, `_worked`
        self._worked = clock()
        self._waiting = {True: 0, False: 0}  # accounts whose turn is waited for, if known

    def of(self, owner: str) -> Account:
        """The account of an owner."""
        if (account := self._owners.get(owner)) is None:
            account = self._owners[owner] = Account(known=True)
        return account

    def of_stranger(self, address: str) -> Account:
        """The account of those who come from an address without a key."""
        if (account := self._strangers.get(address)) is None:
            account = self._strangers[address] = Account(known=False)
            if len(self._strangers) > STRANGERS:
                self._strangers.popitem(last=False)
        return account

    def charge(self, account: Account, seconds: float, now: float) -> None:
        """The loop has worked so long for somebody, until now."""
        if (idled := now - seconds - self._worked) > 0:
            self._idled += idled
        self._worked = now
        left = account.used - (now - account.at) * self._rate(account)
        # What he took from nobody is not owed.
        most = BURST if self._is_alone(account, now) else BURST + OWED
        account.used = min((left if left > 0 else 0.0) + seconds, most)
        account.at, account.seen = now, self._idled
        if account is not self._last and account.known:
            self._there.pop(account, None)
            self._there[account] = None
            self._last = account

    def wait_of(self, account: Account) -> float:
        """How long somebody has to wait now, in seconds; not at all where nobody else is there."""
        if account.used <= BURST:
            return 0.0
        now = self.clock()
        if self._is_alone(account, now):
            return 0.0
        return (account.used - BURST) / self._rate(account) - (now - account.at)

    def _is_alone(self, account: Account, now: float) -> bool:
        """Whether no other owner is there."""
        idled = self._idled + now - self._worked
        while self._there and idled - (first := next(iter(self._there))).seen > PRESENT:
            del self._there[first]
            if first is self._last:
                self._last = None
        return len(self._there) == (account in self._there)

    def _rate(self, account: Account) -> float:
        """The part of the loop's time that each of those has who wait; strangers take nothing of
        that of owners.
        """
        there, waiting = len(self._there), self._waiting[True]
        if not account.known:
            return SHARE / max(waiting + self._waiting[False], 1)
        # Where everybody waits but for one, whose turn it is, nothing is kept for others.
        return 1 / there if 1 < there <= waiting + 1 else SHARE / max(waiting, 1)

    def must_wait(self, *, step: bool = False) -> bool:
        """Whether it is not the turn of the request this is done for, or of the `step` of a run."""
        account = _account()
        if account is None:
            return False
        return _lock(account, step=step).locked() or self.wait_of(account) > 0

    async def turn(self, *, step: bool = False) -> None:
        """Wait until the request this is done for may have the loop, or the `step` of a run."""
        account = _account()
        if account is None or not self.must_wait(step=step):
            return
        async with _lock(account, step=step):  # the next one counts what this one takes
            with self._counted(account):
                latest = self.clock() + LONGEST
                while (left := min(self.wait_of(account), latest - self.clock())) > 0:  # noqa: ASYNC110 - for the clock
                    await asyncio.sleep(min(left, PRESENT))

    @contextmanager
    def _counted(self, account: Account) -> Iterator[None]:
        """Count the account among those whose turn is waited for."""
        account.waiting += 1
        self._waiting[account.known] += account.waiting == 1
        try:
            yield
        finally:
            account.waiting -= 1
            self._waiting[account.known] -= account.waiting == 0

    def make_task(
        self, loop: asyncio.AbstractEventLoop, coro: Any, /, **given: Any
    ) -> asyncio.Task[Any]:
        """The task factory of the loop: what is begun for somebody is counted as his."""
        context = given.get("context")
        meter = METER.get() if context is None else context.get(METER)
        if meter is not None and not meter.ended:
            coro = Metered(coro, meter)
        return asyncio.Task(coro, loop=loop, **given)


class Metered(Coroutine[Any, Any, T]):
    """A coroutine whose steps are counted."""

    __slots__ = ("_clock", "_coro", "_meter")

    def __init__(self, coro: Coroutine[Any, Any, T], meter: Meter) -> None:
        self._coro = coro
        self._meter = meter
        self._clock = meter.clock

    def send(self, value: Any) -> Any:
        """One step."""
        began = self._clock()
        try:
            return self._coro.send(value)
        finally:
            self._meter.add(began, self._clock())

    def throw(self, *raised: Any) -> Any:
        """One step that begins with an error."""
        began = self._clock()
        try:
            return self._coro.throw(*raised)
        finally:
            self._meter.add(began, self._clock())

    def close(self) -> None:
        """No more steps."""
        self._coro.close()

    def __getattr__(self, name: str) -> Any:
        # By which others look at coroutines: how they are called, and whether they have begun.
        return getattr(self._coro, name)

    def __await__(self) -> Generator[Any, Any, T]:
        return self._steps()

    def _steps(self) -> Generator[Any, Any, T]:
        raised: BaseException | None = None
        while True:
            try:
                waits = self.send(None) if raised is None else self.throw(raised)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            finally:
                raised = None  # which knows this frame
            try:
                yield waits
            except GeneratorExit:
                self.close()
                raise
            except BaseException as error:
                raised = error
