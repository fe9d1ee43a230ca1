"""Streams of runs, and of threads: what the record tells from where a reader is, then what comes.

A thread is followed for as long as its client stays: one run after the other tells what it does.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.errors.kinds import unprocessable
from api.lg.history import SettledMessages, ThreadHistory, opened
from api.lg.requests import Caller, canonical, id_of, mode_names, queried
from api.lg.stream_parts import (
    BEGINNING,
    END,
    PARTS,
    Position,
    StreamPart,
    Teller,
    View,
    accepted,
    ending,
    is_seed,
    told_of,
)
from api.middleware.guards import unless_gone
from api.streams import HEADERS
from graph.record.events import events
from graph.runs.watch import RunSubscription
from graph.service import Runs
from graph.state import RunState, whole
from graph.state.status import SETTLED

T = TypeVar("T")

#: What says that a stream is alive; clients do not take it for an event.
HEARTBEAT = b": heartbeat\n\n"


class Reading:
    """One reader of a run, from a position on; None is the beginning.

    It is told the run's id first unless it `knows` that, since it comes again. What it is told has
    ids that begin with `of`. Who looks into it does so by the `thread`.
    """

    def __init__(
        self,
        runs: Runs,
        teller: Teller,
        run_id: str,
        after: Position | None,
        *,
        knows: bool = False,
        of: str = "",
        thread: ThreadHistory | None = None,
    ) -> None:
        self._runs = runs
        self._thread = thread
        self._views: dict[int, tuple[View | None, View]] = {}
        self._of = of
        self._knows = knows
        self._teller = teller
        self._run_id = run_id
        self._place = after or BEGINNING
        self._last: RunState | None = None
        self._number = 0

    async def encoded(
        self, subscription: RunSubscription, heartbeat: float
    ) -> AsyncGenerator[bytes, None]:
        """What is told until the run has ended, or waits; nothing at a heartbeat's time is one.

        It breaks off without an end where the process is ending.
        """
        if not self._knows:
            metadata = {"run_id": self._run_id, "attempt": 1}
            yield StreamPart("metadata", metadata, self._place).encoded(self._of)
        if self._place.place >= PARTS:
            self._teller.answering.known = self._place.place - PARTS
        states = subscription.keep_states()
        due = await self._past(subscription)
        seen = spoken = 0
        while True:
            due = await self._with_those_between(due, len(subscription.events))
            await self._look(due)
            for number, state in due:
                yield self._step(number, state, subscription)
            due, seen = states[seen:], len(states)
            if due:
                continue
            if self._last is not None and self._is_over(subscription):
                yield self._encoded(ending(self._last, self._number))
                return
            # Before it is told, since more may be said meanwhile.
            words, spoken = self._parts(subscription, spoken), subscription.spoken
            yield words
            if subscription.closed:
                return
            happening = subscription.after(self._number, None, spoken)
            if not await within(happening, heartbeat):
                yield HEARTBEAT

    @property
    def place(self) -> Position:
        """Where the reader is at the end of what it was told."""
        return Position(self._number, END) if self._number else self._place

    async def _past(self, subscription: RunSubscription) -> Sequence[tuple[int, RunState]]:
        """The states that were stored before it was watched, as far as they are to be told."""
        state = subscription.state
        assert state is not None
        if len(subscription.events) == 1:
            return []
        snapshots = await self._runs.threads.snapshots(self._run_id)
        found = [whole(snapshot.values) for snapshot in reversed(snapshots)]
        found = [one for one in found if one.get("status")]
        if not is_seed(state):
            found.insert(0, accepted(state))
        return [(len(events(one)), one) for one in found]

    async def _with_those_between(
        self, due: Sequence[tuple[int, RunState]], last: int
    ) -> Sequence[tuple[int, RunState]]:
        """The states, and those before them that another process has stored meanwhile.

        Of what is executed elsewhere only that it has changed is heard here, now and then.
        """
        if not due or not self._runs.broadcaster.shared or due[-1][0] <= self._number:
            return due
        between: dict[int, RunState] = {}
        for limit in (len(due) + 4, None):
            snapshots = await self._runs.threads.snapshots(self._run_id, limit=limit)
            found = [whole(snapshot.values) for snapshot in snapshots]
            between = {len(events(one)): one for one in found if one.get("status")}
            if min(between, default=0) <= self._number:
                break
        known = {number: one for number, one in between.items() if number <= last}
        return sorted({**known, **dict(due)}.items(), key=itemgetter(0))

    def _step(self, number: int, state: RunState, subscription: RunSubscription) -> bytes:
        """What is to be told of a state, if it is a later one."""
        if number <= self._number:
            return b""
        if number == 1 and not is_seed(state):
            state = accepted(state)  # what went before it is added when it begins
        before, since = self._last, self._number
        self._last, self._number = state, number
        if number < self._place.events:
            return b""
        if self._place.events < number and self._place.place >= PARTS:
            self._teller.answering.known = self._place.place - PARTS
        # What is read may have been stored just now, and not shown yet.
        shown = subscription.events
        happened = (shown if len(shown) >= number else events(state))[since:number]
        parts = self._teller.step(before, state, number, happened)
        if self._thread is not None:
            parts = chain(parts, self._looked(number, state))
        return self._encoded(parts)

    async def _look(self, due: Sequence[tuple[int, RunState]]) -> None:
        """Read the checkpoints of the states that are to be told, for who looks into them."""
        wanted = {number for number, _ in due if number > 1 and number >= self._place.events}
        if self._thread is None or not wanted - self._views.keys():
            return
        for limit in (len(due) + 1, None):  # they are the last ones, unless it has gone on since
            older = None
            self._views.clear()
            for number, view in await self._thread.of_run(self._run_id, limit=limit):
                self._views[number], older = (older, view), view
            first = min(self._views, default=0)
            if not {number for number in wanted if number <= first}:
                return

    def _looked(self, number: int, state: RunState) -> Iterator[StreamPart]:
        if number in self._views:
            yield from told_of(self._teller.modes, number, state, *self._views[number])
        elif number == 1:
            yield from told_of(self._teller.modes, number, state, None, None)

    def _encoded(self, due: Iterable[StreamPart]) -> bytes:
        """Those that the reader has not been told."""
        unread = (one for one in due if one.at is None or one.at > self._place)
        return b"".join(one.encoded(self._of) for one in unread)

    def _parts(self, subscription: RunSubscription, spoken: int) -> bytes:
        if subscription.spoken == spoken or self._last is None:
            return b""
        due: list[StreamPart] = []
        for delta in subscription.deltas_after(spoken):
            due += self._teller.part(self._last, delta["text"], delta["offset"], self._number)
        return self._encoded(due)

    def _is_over(self, subscription: RunSubscription) -> bool:
        """Whether the end was told of all that there is."""
        return subscription.settled_or_waiting and self._number >= len(subscription.events)


async def within(happening: Awaitable[Any], seconds: float) -> bool:
    """Whether it happened in so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await happening
    except TimeoutError:
        return False
    return True


class EventStream(Response):
    """Answers with a stream for as long as its client stays.

    `left` is called where the client goes before the end. What `open` raises ahead of the first
    event is answered as any other error.
    """

    def __init__(
        self,
        messages: AsyncGenerator[bytes, None],
        headers: dict[str, str],
        left: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__()
        self._messages = messages
        self._places = headers
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        try:
            if not await unless_gone(receive, self._stream(send)) and self._left:
                await asyncio.shield(self._left())
        finally:
            await self._messages.aclose()

    async def _stream(self, send: Send) -> bool:
        first = await anext(self._messages, b"")
        named = [(name.encode(), value.encode()) for name, value in self._places.items()]
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *named]})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        async for part in self._messages:
            if part:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return True


#: What a thread's streams tell of its runs, by the mode of the thread's stream.
THREAD_MODES = {
    "run_modes": ("values", "updates", "messages-tuple", "custom"),
    "lifecycle": ("lifecycle",),
}


class Follower:
    """What is asked of threads as streams."""

    def __init__(self, settled: SettledMessages) -> None:
        self._settled = settled

    async def stream(self, request: Request) -> Response:
        """What the runs of a thread tell from now on, or from an id on; `-1` is from the first."""
        caller, thread_id = Caller.of(request), id_of(request, "thread_id")
        given = queried(request, "stream_mode")
        asked = [mode for value in given.get("stream_mode", ()) for mode in mode_names(value)]
        for mode in asked:
            if mode not in THREAD_MODES:
                words = f"{mode[:60]!r} is none of {', '.join(THREAD_MODES)}"
                raise unprocessable("stream_mode", words)
        modes = [one for mode in asked or ["run_modes"] for one in THREAD_MODES[mode]]
        last = request.headers.get("last-event-id", "")
        run_id, _, place = last.partition(":")
        if last not in ("", "-1") and canonical(run_id) is None:
            raise unprocessable("last-event-id", "is the id of an event of this thread, or -1")
        at = (run_id, Position.read(place) or BEGINNING) if last not in ("", "-1") else None
        thread = await opened(caller.runs, thread_id, self._settled, owner=caller.owner)
        read = _read_before(thread, at, everything=last == "-1")
        return EventStream(self._messages(caller, thread_id, modes, read), {})

    async def _messages(
        self, caller: Caller, thread_id: str, modes: list[str], read: dict[str, Position]
    ) -> AsyncGenerator[bytes, None]:
        runs, owner = caller.runs, caller.owner
        yield HEARTBEAT
        with runs.broadcaster.changes(owner=owner) as changes:
            while True:
                thread = await opened(runs, thread_id, self._settled, owner=owner)
                for run_id, _ in thread.members:
                    if read.get(run_id) == _OVER:
                        continue
                    async for part in self._of_run(caller, thread, run_id, modes, read):
                        yield part
                while not await within(changes.next(), caller.heartbeat):
                    yield HEARTBEAT
                if changes.closed:
                    return

    async def _of_run(
        self,
        caller: Caller,
        thread: ThreadHistory,
        run_id: str,
        modes: list[str],
        read: dict[str, Position],
    ) -> AsyncGenerator[bytes, None]:
        """What a run tells until it has ended, or waits, from where it was read up to."""
        runs, after = caller.runs, read.get(run_id)
        async with runs.watching(run_id, owner=caller.owner, latest=True) as subscription:
            state = subscription.state
            assert state is not None
            if after is None or len(subscription.events) > after.events:
                earlier = await thread.before(state) if "values" in modes else []
                teller = Teller(modes, runs.tools, thread.thread_id, earlier)
                reading = Reading(
                    runs, teller, run_id, after, knows=after is not None, of=f"{run_id}:"
                )
                async for part in reading.encoded(subscription, caller.heartbeat):
                    yield part
                read[run_id] = reading.place
            if subscription.ended:
                read[run_id] = _OVER


#: Where a reader is who needs no more of a run, unless it is retried.
_OVER = Position(2**31, END)


def _read_before(
    thread: ThreadHistory, at: tuple[str, Position] | None, *, everything: bool
) -> dict[str, Position]:
    """Up to where each run counts as read."""
    if everything:
        return {}
    if at is None:
        return {run_id: _OVER for run_id, status in thread.members if status in SETTLED}
    order = [run_id for run_id, _ in thread.members]
    if at[0] not in order:
        raise unprocessable("last-event-id", "is the id of no event of this thread")
    return dict.fromkeys(order[: order.index(at[0])], _OVER) | dict([at])
