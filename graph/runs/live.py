"""How runs stand in this process: one record for each that is executed, queued or watched.

Settled runs of late are kept in memory for who reads them, since nothing of them changes any
more; the code that resumes one, forks it, or removes it, drops it here. At the end is who tells
those that watch.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic_core import to_json

from graph.queue.executor import Job
from graph.runs.watch import (
    AnswerDelta,
    ChangeSubscription,
    RunSubscription,
    change_of,
    progress_of_step,
)
from graph.state import RunState, Step
from graph.state.row import RunRow, state_of
from graph.state.status import SETTLED
from tools.registry import ToolProgress

if TYPE_CHECKING:  # loaded where there are models
    from nodes.answers.writer import Say

#: Why a run is driven: it was accepted, left by an earlier process, retried, decided about by a
#: person, or it is to be cancelled.
Reason = Literal["new", "recovered", "retried", "decided", "cancelling"]


@dataclass(frozen=True, slots=True)
class Cancellation:
    """How a run stood when its cancellation was asked for.

    `begun` says whether an attempt may have been in flight; `since` is its state by then, None
    where that is not known.
    """

    begun: bool
    since: RunState | None = None


@dataclass(slots=True, eq=False)
class LiveRun(Job):
    """One run; each field has one writer, and what the queue writes is in `Job`.

    Orders write `reason`, with the `thread_id`, the `row` of a new run that is soon to begin, the
    `cancellation`, and `carried_out`, which ends the wait for a decision; they hold `lock` while
    they check and store. The runner takes the reason away at the end, and writes `state`, which is
    the one last stored while the run is executed, `trace_id`, for its log lines, and `unsettled`,
    for as long as it has neither settled nor waits. One that may have ended its process is
    `quarantined`. The broadcaster writes `subscription`.
    """

    reason: Reason | None = None
    row: RunRow | None = None
    thread_id: str = ""
    cancellation: Cancellation | None = None
    carried_out: asyncio.Future[None] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    state: RunState | None = None
    trace_id: str | None = None
    unsettled: bool = False
    quarantined: bool = False
    subscription: RunSubscription | None = None

    @property
    def seen(self) -> RunState | None:
        """What is shown of it here; None where only the storage can tell."""
        return self.state or (state_of(self.row) if self.row else None)

    @property
    def idle(self) -> bool:
        """Whether nothing here has to do with it any more."""
        return not (
            self.reason
            or self.task
            or self.queued
            or self.unsettled
            or self.subscription
            or self.lock.locked()
        )


class LiveRuns:
    """The one dictionary of them."""

    def __init__(self) -> None:
        self._runs: dict[str, LiveRun] = {}
        #: Is told the words of answers too, for who watches elsewhere.
        self.overhears: Callable[[RunState, AnswerDelta], None] | None = None

    def __iter__(self) -> Iterator[LiveRun]:
        return iter([*self._runs.values()])

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, run_id: str) -> LiveRun | None:
        """The record of a run that is here."""
        return self._runs.get(run_id)

    def of(self, run_id: str) -> LiveRun:
        """The record of a run, made where there is none; the caller releases it."""
        return self._runs.setdefault(run_id, LiveRun(run_id))

    def release(self, job: Job) -> None:
        """Forget a run with which nothing here has to do any more."""
        live = self._runs.get(job.run_id)
        if live is job and live.idle:
            del self._runs[job.run_id]

    def progressed(self, state: RunState, step: Step, progress: ToolProgress) -> None:
        """Tell who watches a run how far the attempt at a step says that it is."""
        live = self._runs.get(state["run_id"])
        if live and live.subscription:
            live.subscription.progressed(progress_of_step(state, step, progress))

    def waits(self, state: RunState) -> bool:
        """Whether an answer of a run is still wanted: not once it is to be cancelled."""
        live = self._runs.get(state["run_id"])
        return live is None or live.reason != "cancelling"

    @asynccontextmanager
    async def speaking(self, state: RunState) -> "AsyncIterator[Say]":
        """What tells who watches a run the words of its answer as they come."""

        async def say(text: str, offset: int) -> None:
            live, delta = self._runs.get(state["run_id"]), AnswerDelta(text=text, offset=offset)
            if live and live.subscription:
                live.subscription.answered(delta)
            if self.overhears:
                self.overhears(state, delta)

        yield say

    def state(self, run_id: str) -> RunState | None:
        """How a run stands that is here; None where only the storage can tell."""
        live = self._runs.get(run_id)
        return live.seen if live else None


#: What settled runs take together, in bytes as they are counted here: some hundred ordinary ones.
LARGEST = 4 * 2**20


#: What a state takes in memory, in parts of what it is as JSON.
TIMES_JSON = 6


@dataclass(slots=True, eq=False)
class SettledRun:
    """One that is kept: its state until its record was `encoded`, and its size in bytes."""

    run_id: str
    owner: str
    state: RunState | None
    size: int
    encoded: bytes | None = None


class SettledRuns:
    """Those that were settled or read last, up to `largest` bytes; none with 0."""

    def __init__(self, largest: int = 0) -> None:
        self._largest = largest
        self._kept: OrderedDict[str, SettledRun] = OrderedDict()
        self._size = 0
        self._reading: dict[str, object] = {}

    def find(self, run_id: str, owner: str | None) -> SettledRun | None:
        """A run that is kept here, if it is the owner's; without one, of any owner."""
        found = self._kept.get(run_id)
        if found is None or owner not in (found.owner, None):
            return None
        self._kept.move_to_end(run_id)
        return found

    def state(self, run_id: str) -> RunState | None:
        """The state of a run, where it is kept."""
        found = self._kept.get(run_id)
        return found.state if found else None

    def keep(self, state: RunState) -> None:
        """Keep a state that is stored, instead of what was kept of that run; a settled one only."""
        run_id = state["run_id"]
        self.drop(run_id)
        if not self._largest or state["status"] not in SETTLED:
            return
        try:
            size = TIMES_JSON * len(to_json(state, inf_nan_mode="strings"))
        except ValueError:  # it is stored, and cannot be told either
            return
        self._kept[run_id] = SettledRun(run_id, state["owner"], state, size)
        self._grow(size)

    def encode(self, settled: SettledRun, encoded: bytes) -> None:
        """Keep the record of a run as it is told, in the place of its state.

        Does nothing where that was dropped meanwhile.
        """
        if self._kept.get(settled.run_id) is settled and settled.encoded is None:
            grown = len(encoded) - settled.size
            settled.state, settled.encoded, settled.size = None, encoded, len(encoded)
            self._grow(grown)

    def drop(self, run_id: str) -> None:
        """Keep nothing of a run, nor what is being read of it just now."""
        self._reading.pop(run_id, None)
        if dropped := self._kept.pop(run_id, None):
            self._size -= dropped.size

    def begin_reading(self, run_id: str) -> object:
        """The storage is about to be asked for the state of a run: what `keep_read` is given."""
        return self._reading.setdefault(run_id, object())

    def keep_read(self, state: RunState, begun: object) -> None:
        """Keep a state that was read, unless that of the run has changed since it was `begun`."""
        if self._reading.get(state["run_id"]) is begun:
            self.keep(state)

    def end_reading(self, run_id: str, begun: object) -> None:
        """Nothing comes of it any more."""
        if self._reading.get(run_id) is begun:
            del self._reading[run_id]

    def _grow(self, size: int) -> None:
        self._size += size
        while self._size > self._largest:
            _, oldest = self._kept.popitem(last=False)
            self._size -= oldest.size


#: How many subscriptions of ended runs are kept without a watcher: those who come one after
#: another, as a crowd does that has lost its connections, are told from one read too.
KEPT = 16

#: So many bytes of what their attempts keep, beside which there is as much for their watchers.
KEPT_BYTES = 4 * 2**20

#: Reads the state of a run as last stored.
Read = Callable[[str], Awaitable[RunState]]


#: Is shown every state that is stored of a run.
Observe = Callable[[RunState], None]


class Broadcaster:
    """Tells what is stored of the runs to everybody who watches one of them, or all.

    `observe` is shown it first.
    """

    def __init__(
        self, read: Read, runs: LiveRuns, settled: SettledRuns, observe: Observe | None = None
    ) -> None:
        self._observe = observe
        self._read = read
        self._runs = runs
        self._settled = settled
        self._kept: dict[str, LiveRun] = {}  # ended, and watched by nobody
        self._changes: set[ChangeSubscription] = set()
        self._closed = False
        #: Hears what other processes change, where they have to do with the runs, too.
        self.follow: Callable[[], None] | None = None

    def publish(self, state: RunState) -> None:
        """Tell that a state of a run has been stored here."""
        if self._observe:
            self._observe(state)
        self.show(state)

    @property
    def shared(self) -> bool:
        """Whether other processes have to do with the runs, too."""
        return self.follow is not None

    @property
    def followed(self) -> bool:
        """Whether anybody watches all runs."""
        return bool(self._changes)

    def follows(self, run_id: str) -> bool:
        """Whether anybody watches the run, or all."""
        live = self._runs.get(run_id)
        return bool(self._changes or (live and live.subscription))

    def show(self, state: RunState) -> None:
        """Tell that a state of a run has been stored, by whatever process."""
        self._settled.keep(state)
        if state["status"] == "pending" and (fork := state.get("forked_from")):
            self._settled.drop(fork["run_id"])  # its record names its forks
        live = self._runs.get(state["run_id"])
        if live and live.subscription:
            live.subscription.show(state)
            if state["run_id"] in self._kept:  # it continues, and nobody watches
                self._drop(live)
        if self._changes:
            change = change_of(state)
            for changes in self._changes:
                if changes.owner in (state["owner"], None):
                    changes.show(change)

    @property
    def watchers(self) -> int:
        """How many watch a run, or all."""
        watched = (live.subscription for live in self._runs)
        return len(self._changes) + sum(one.watchers for one in watched if one)

    def forget(self, run_id: str) -> None:
        """Tell nobody any more of a run that is removed, who does not watch it already."""
        self._settled.drop(run_id)
        if live := self._runs.get(run_id):
            self._drop(live)

    def close(self) -> None:
        """End every subscription: the process is ending."""
        self._closed = True
        for live in self._runs:
            if live.subscription:
                live.subscription.close()
        for changes in self._changes:
            changes.close()

    @asynccontextmanager
    async def watching(
        self, run_id: str, *, latest: bool = False
    ) -> AsyncIterator[RunSubscription]:
        """The subscription of a run, with what was stored so far; what was stored just now is told
        soon, or at once where the `latest` is asked for. Raises what reading the run raises."""
        # Before the run is read, so that nothing stored meanwhile is missed.
        self._begin_to_follow()
        live = self._runs.of(run_id)
        self._kept.pop(run_id, None)
        subscription = live.subscription = live.subscription or RunSubscription()
        subscription.watchers += 1
        subscription.closed = self._closed
        try:
            async with subscription.reading:
                # What has ended may have been retried elsewhere, which is heard a moment later.
                if latest or subscription.state is None or (self.shared and subscription.ended):
                    subscription.show(await self._read(run_id))
            yield subscription
        finally:
            subscription.watchers -= 1
            if not subscription.watchers and live.subscription is subscription:
                self._leave(live, subscription)

    def _begin_to_follow(self) -> None:
        if self.follow:
            self.follow()

    def _leave(self, live: LiveRun, subscription: RunSubscription) -> None:
        if not subscription.ended:
            self._drop(live)
            return
        self._kept[live.run_id] = live
        size = 0
        for number, last in enumerate(reversed(list(self._kept.values())), start=1):
            size += _size(last)
            if number > KEPT or size > KEPT_BYTES:
                self._drop(last)

    def _drop(self, live: LiveRun) -> None:
        self._kept.pop(live.run_id, None)
        live.subscription = None
        self._runs.release(live)

    @contextmanager
    def changes(self, *, owner: str | None) -> Iterator[ChangeSubscription]:
        """What changes from now on in the owner's runs, without one in any."""
        changes = ChangeSubscription(owner)
        changes.closed = self._closed
        self._begin_to_follow()
        self._changes.add(changes)
        try:
            yield changes
        finally:
            self._changes.discard(changes)


def _size(live: LiveRun) -> int:
    """How many bytes the attempts of a run keep, but for small ones."""
    state = live.subscription.state if live.subscription else None
    return state.get("kept", 0) if state else 0
