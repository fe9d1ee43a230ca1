"""What runs share beside the slots: the event loop's time, and the models.

One loop serves everybody. A queue for each kind of work is fair within that kind only, so what
counts is the time that the tasks of a request or a run have computed on the loop: whoever takes
most of it waits while others are there. Of each model there are so many calls at once, and owners
who wait for one take turns.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

from graph.queue.fair import Entry, FairQueue

#: The part of the loop's time that is given back to those who owe, and by how much more than the
#: one of them who has had least each may be ahead, in seconds.
SHARE, BURST = 0.5, 0.01

#: The part that anonymous callers have, while owners are there.
ANONYMOUS_SHARE = 0.2

#: How long the loop idles, in seconds, until an owner for whom it has worked counts as gone: longer
#: than between two steps of a request. Whose step is late since the loop is busy is still there.
PRESENT = 0.02

#: What may be owed at most, in seconds: a long computation is not paid back to the end.
OWED = 0.1

#: How long the first of an owner waits at most, in seconds, whatever else is done for him.
LONGEST = 1.0

#: How often it is looked who is there, and of all together whether a turn has come, in seconds.
TICK = 0.005

#: So many accounts of anonymous callers are kept.
ADDRESSES = 1024

T = TypeVar("T")


class Accounts:
    """Those of owners, or of anonymous callers, who are given back what they owe at the same rate.

    This is the fluid model of fair queueing: `level` rises by what each of those who owe is given
    back, and an account owes by how much it stands above it.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.level = 0.0  # seconds
        self.most = BURST  # above it that any may stand
        self._at = 0.0
        self.owing: dict[Account, None] = {}

    def settle(self, now: float) -> None:
        """Give back until now."""
        given = (now - self._at) * self.share
        self._at = now
        for account in sorted(self.owing, key=_STAND):
            rise = min(given / len(self.owing), max(account.stand - self.level, 0))
            self.level += rise
            given -= rise * len(self.owing)
            if account.stand > self.level:
                break
            del self.owing[account]


class Account:
    """What one owner, or the anonymous callers of one address, have had of the loop."""

    __slots__ = ("among", "requests", "seen", "stand", "steps")

    def __init__(self, among: Accounts) -> None:
        self.among = among
        self.stand = 0.0  # by what it was charged, in seconds
        self.seen = -PRESENT  # by how long the loop had idled
        # Each kind in order: an order that he gives is not behind a thousand runs of his.
        self.requests, self.steps = asyncio.Lock(), asyncio.Lock()

    @property
    def used(self) -> float:
        """And not given back, in seconds."""
        return max(0.0, self.stand - self.among.level)


_STAND = attrgetter("stand")


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

    An owner who is alone never waits, and of several never the one who has had least. Anonymous
    callers wait for owners, but owners not for them. `clock` in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self._owners: dict[str, Account] = {}
        self._anonymous: OrderedDict[str, Account] = OrderedDict()
        self._of_owners, self._of_anonymous = Accounts(SHARE), Accounts(ANONYMOUS_SHARE)
        self._there: dict[Account, None] = {}  # the owners who are
        self._idled = 0.0  # seconds, until it had last worked, `_worked`
        self._worked = clock()
        self._settled = -TICK
        self._waiting = 0  # accounts whose turn is waited for

    def of(self, owner: str) -> Account:
        """The account of an owner."""
        if (account := self._owners.get(owner)) is None:
            account = self._owners[owner] = Account(self._of_owners)
        return account

    def of_anonymous(self, address: str) -> Account:
        """The account of those who come from an address without a key."""
        if (account := self._anonymous.get(address)) is None:
            account = self._anonymous[address] = Account(self._of_anonymous)
            if len(self._anonymous) > ADDRESSES:
                self._anonymous.popitem(last=False)
        return account

    def charge(self, account: Account, seconds: float, now: float) -> None:
        """The loop has worked so long for somebody, until now."""
        if (idled := now - seconds - self._worked) > 0:
            self._idled += idled
        self._worked = now
        among = account.among
        if now - self._settled >= TICK:
            self._settle(now)
        if account not in self._there and among is self._of_owners:
            self._there[account] = None
            self._bound()
        account.seen = self._idled
        stand, level = account.stand, among.level
        stand = (stand if stand > level else level) + seconds
        account.stand = stand if stand < level + among.most else level + among.most
        among.owing[account] = None

    def wait_of(self, account: Account) -> float:
        """How long somebody has to wait now at most, in seconds; not at all where nobody else is
        there.
        """
        among = account.among
        if account.stand - BURST <= among.level:
            return 0.0
        self._settle(self.clock())
        if not self._there:
            return 0.0
        if among is self._of_owners and min(map(_STAND, self._there)) >= account.stand - BURST:
            return 0.0
        over = account.stand - BURST - among.level
        return over * len(among.owing) / among.share if over > 0 else 0.0

    def _settle(self, now: float) -> None:
        """Look who is there, and give back what they owe until now."""
        idled = self._idled + now - self._worked
        for account in [one for one in self._there if idled - one.seen > PRESENT]:
            del self._there[account]
        self._of_owners.settle(now)
        self._of_anonymous.settle(now)
        self._settled = now
        self._bound()

    def _bound(self) -> None:
        """What somebody takes from nobody is not owed."""
        self._of_owners.most = BURST if len(self._there) < 2 else BURST + OWED
        self._of_anonymous.most = BURST if not self._there else BURST + OWED

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
            self._waiting += 1
            try:
                latest = self.clock() + LONGEST
                while (left := min(self.wait_of(account), latest - self.clock())) > 0:  # noqa: ASYNC110 - for the clock
                    await asyncio.sleep(min(left, TICK * self._waiting))
            finally:
                self._waiting -= 1

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


# Calls of models: so many of each at once.


#: Notes that nothing of the run is under way.
Suspended = Callable[[], AbstractContextManager[None]]


@dataclass(slots=True, eq=False)
class _Waiting(Entry):
    """A call that waits for a slot."""

    admitted: asyncio.Future[None]


class _Line:
    """The calls of one model."""

    def __init__(self, limit: int) -> None:
        self.free = limit
        self.calls: Counter[str] = Counter()  # under way, by owner
        self.queue: FairQueue[_Waiting] = FairQueue(alternating=True)

    def let_in(self) -> None:
        """Let in the next ones, as long as there is room."""
        while self.free and self.queue:
            self.free -= 1
            self.queue.popleft().admitted.set_result(None)


class ModelCalls:
    """At most `limit` calls of each model at once; who waits for a slot is `suspended`.

    Owners take turns. Of one owner's calls, the first ones of runs and later ones (repairs, further
    tries, further models) take turns as well, so that neither keeps the other waiting.
    """

    def __init__(self, limit: int, suspended: Suspended = nullcontext) -> None:
        self._limit = limit
        self._suspended = suspended
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def slot(self, model: str, owner: str, *, later: bool) -> AsyncIterator[float]:
        """The slot of a call, for as long as the call takes; how long it was waited for, seconds.

        `later`: the run has made a call before.
        """
        line = self._lines.setdefault(model, _Line(self._limit))
        waited = await self._wait(line, owner, later=later)
        line.calls[owner] += 1
        try:
            yield waited
        finally:
            line.calls -= Counter((owner,))
            line.free += 1
            line.let_in()

    async def _wait(self, line: _Line, owner: str, *, later: bool) -> float:
        if line.free:  # nobody waits then
            line.free -= 1
            return 0.0
        waiting, due = _Waiting(asyncio.get_running_loop().create_future()), time.monotonic()
        line.queue.append(waiting, owner, begun=later)
        with self._suspended():
            try:
                await waiting.admitted
            except asyncio.CancelledError:
                if not line.queue.remove(waiting):  # it was admitted just now
                    line.free += 1
                    line.let_in()
                raise
        return time.monotonic() - due

    def load(self, model: str, owner: str | None = None) -> tuple[int, int]:
        """How many calls of a model are under way, and how many wait for a slot.

        Those of an owner, or of all.
        """
        if (line := self._lines.get(model)) is None:
            return 0, 0
        if owner is None:
            return self._limit - line.free, len(line.queue)
        return line.calls[owner], line.queue.length_of(owner)
