"""Watching: what is stored of a run is told once to everybody who watches it."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Annotated

from typing_extensions import TypedDict

from graph.record.events import Event, events
from graph.record.record import Progress, progress_of
from graph.state import RunState, Status, Step
from graph.state.status import SETTLED, SETTLED_OR_WAITING
from graph.state.wording import doc
from graph.storage.fleet import AnswerPart, Fleet
from tools.registry import ToolProgress


class StepProgress(TypedDict):
    """How far the attempt at a step says that it is."""

    step: Annotated[int, doc("The step of the plan.")]
    attempt: Annotated[int, doc("Which attempt at the step, counted from 1.")]
    tool: Annotated[str, doc("The tool that says so.")]
    done: Annotated[float, doc("How much is done.")]
    total: Annotated[float | None, doc("How much there is to be done; null where nobody knows.")]
    message: Annotated[str | None, doc("The same in words, where the tool has some.")]


class AnswerDelta(TypedDict):
    """The next words of an answer, while it is given."""

    text: Annotated[str, doc("The words.")]
    offset: Annotated[
        int,
        doc(
            "At which character of the answer they stand: more than was read by then, where "
            "something was missed; 0, where the answer begins anew."
        ),
    ]


#: So many parts of an answer are kept for watchers that are slow; older ones they miss.
KEPT_DELTAS = 256

#: The longest words of a tool about its progress, in characters.
MAX_WORDS = 300

#: The shortest time between two tellings of progress, in seconds: those in between are dropped.
PROGRESS_PAUSE = 0.1


def progress_of_step(state: RunState, step: Step, progress: ToolProgress) -> StepProgress:
    """What a tool says, as it is told."""
    words = progress.message and "".join(filter(str.isprintable, progress.message))[:MAX_WORDS]
    return StepProgress(
        step=step["step"],
        attempt=state["attempt"] + 1,
        tool=step["tool"],
        done=progress.done,
        total=progress.total,
        message=words,
    )


class RunSubscription:
    """The events of one run for its watchers, however many.

    `progress` is what was told last of the attempt that is being made, as so manieth of `tellings`.
    `deltas` are the latest parts of the answer that is being given, the last of `spoken` in all;
    before it there were `spoken_at` events. `states` are those that were stored since somebody has
    begun to `keep_states`, each with its number of events, which is higher than that before it.
    """

    def __init__(self) -> None:
        self.state: RunState | None = None
        self._events: list[Event] = []
        self._told: RunState | None = None  # the state that they are those of
        self.closed = False
        self.watchers = 0
        self.progress: StepProgress | None = None
        self.tellings = 0
        self.deltas: deque[AnswerDelta] = deque(maxlen=KEPT_DELTAS)
        self.spoken = 0
        self.spoken_at = 0
        self.states: list[tuple[int, RunState]] | None = None
        self._next_telling = 0.0
        self.reading = asyncio.Lock()
        self._notifier = Notifier(deferred=True)
        self._settlement = Notifier()

    @property
    def events(self) -> list[Event]:
        """What has happened so far. It is put together here: who waits for an end asks for none."""
        if self.state is not self._told and self.state is not None:
            self._events += events(self.state)[len(self._events) :]
            self._told = self.state
        return self._events

    @property
    def ended(self) -> bool:
        """Whether nothing will follow."""
        return self.state is not None and self.state["status"] in SETTLED

    @property
    def settled_or_waiting(self) -> bool:
        """Whether nothing happens without a person."""
        return self.state is not None and self.state["status"] in SETTLED_OR_WAITING

    def keep_states(self) -> list[tuple[int, RunState]]:
        """Keep each state from now on, not only the last, for as long as somebody watches."""
        if self.states is None:
            self.states = [(len(self.events), self.state)] if self.state is not None else []
        return self.states

    def show(self, state: RunState) -> None:
        """Take over a stored state, if it is no older one."""
        if self.states is not None or (self.state and not _is_later(state, self.state)):
            happened = len(events(state))
            if happened < len(self.events):
                return
            if self.states is not None and happened > len(self.events):
                self.states.append((happened, state))
        self.state, self.progress = state, None
        self._notifier.notify()
        if self.settled_or_waiting:
            self._settlement.notify()

    def progressed(self, progress: StepProgress) -> None:
        """Tell how far an attempt is, unless that was told just now."""
        now = asyncio.get_running_loop().time()
        if now >= self._next_telling:
            self._next_telling = now + PROGRESS_PAUSE
            self.progress, self.tellings = progress, self.tellings + 1
            self._notifier.notify()

    def answered(self, delta: AnswerDelta) -> None:
        """Tell the next part of the answer; a slow watcher misses what is kept no more."""
        self.spoken_at = len(self.events)
        self.deltas.append(delta)
        self.spoken += 1
        self._notifier.notify()

    def deltas_after(self, spoken: int) -> list[AnswerDelta]:
        """What is kept of the parts after the first so many."""
        due = min(self.spoken - spoken, len(self.deltas))
        return [*islice(self.deltas, len(self.deltas) - due, None)]

    def close(self) -> None:
        """Let nobody wait any more: the process is ending."""
        self.closed = True
        self._notifier.notify()
        self._settlement.notify()

    async def after(
        self, number: int, tellings: int | None = None, spoken: int | None = None
    ) -> None:
        """Wait until there is an event after this one, or nothing more to wait for.

        Or another progress than the last of so many `tellings`, or more of the answer than `spoken`
        parts.
        """
        while len(self.events) <= number and not self.ended and not self.closed:
            if tellings not in (None, self.tellings) or spoken not in (None, self.spoken):
                return
            await self._notifier.wait()

    async def until_settled(self) -> None:
        """Wait until the run is settled or waits, or there is nothing more to wait for."""
        while not self.settled_or_waiting and not self.closed:
            await self._settlement.wait()


def _is_later(state: RunState, before: RunState) -> bool:
    """Whether a state is seen to be later than another; else what has happened is to be counted."""
    grown = [after - then for after, then in zip(_course(state), _course(before), strict=True)]
    return min(grown) >= 0 and any(grown)


def _course(state: RunState) -> tuple[int, ...]:
    """What never becomes less in the course of a run, unless it is retried."""
    begun, settled = state["started_at"] is not None, state["status"] in SETTLED
    return len(state.get("log", ())), len(state["planning_log"]), begun, settled


class RunChanged(TypedDict):
    """A run that has changed, and where it stands by now."""

    run_id: Annotated[str, doc("The id of the run.")]
    status: Annotated[Status, doc("Where the run stands.")]
    last_event_id: Annotated[int, doc("The number of its last event so far.")]
    progress: Annotated[Progress, doc("How far it is.")]


def change_of(state: RunState) -> RunChanged:
    """What of a stored state is told to those who follow all runs."""
    return RunChanged(
        run_id=state["run_id"],
        status=state["status"],
        last_event_id=len(events(state)),
        progress=progress_of(state),
    )


class ChangeSubscription:
    """Which runs have changed since it was last asked; several changes of one run are one."""

    def __init__(self, owner: str | None) -> None:
        self.owner = owner
        self.closed = False
        self._changed: dict[str, RunChanged] = {}
        self._notifier = Notifier()

    def show(self, change: RunChanged) -> None:
        """Take over how a run stands now."""
        self._changed[change["run_id"]] = change
        self._notifier.notify()

    def close(self) -> None:
        """Let nobody wait any more: the process is ending."""
        self.closed = True
        self._notifier.notify()

    async def next(self) -> list[RunChanged]:
        """How the runs stand that have changed, once there are any; none when it is over."""
        while not self._changed and not self.closed:
            await self._notifier.wait()
        changed, self._changed = self._changed, {}
        return list(changed.values())


#: How many are woken at once, and how long everybody else then gets to work, in seconds: telling
#: takes a twentieth of the process, however many are told. Waking 500 at once would hold up the run
#: that they watch; so the last of them hears of it a third of a second later.
BATCH, PAUSE = 8, 0.005


class Notifier:
    """Notified when something has changed; all who wait by then are woken, first those who came
    first.

    A waiter that wakes looks for itself what there is: changes in between are one to it. A
    `deferred` notifier wakes nobody before what notified it has had a `PAUSE` to go on.
    """

    def __init__(self, *, deferred: bool = False) -> None:
        self._deferred = deferred
        # Dictionaries for their order, and since one who goes away is found in them at once.
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._due: dict[asyncio.Future[None], None] = {}
        self._notifying: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return after the next notification."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[woken] = None
        try:
            await woken
        finally:
            self._waiting.pop(woken, None)
            self._due.pop(woken, None)

    def notify(self) -> None:
        """Wake everybody who waits."""
        self._due |= self._waiting
        self._waiting.clear()
        if self._notifying is None:
            if not self._deferred:
                self._wake()
            if self._due:
                self._notifying = asyncio.get_running_loop().create_task(self._wake_the_rest())

    def _wake(self) -> None:
        for woken in list(self._due)[:BATCH]:
            del self._due[woken]
            if not woken.done():  # its waiter was cancelled, and has not noticed yet
                woken.set_result(None)

    async def _wake_the_rest(self) -> None:
        try:
            while self._due:
                await asyncio.sleep(PAUSE)
                self._wake()
        finally:
            self._notifying = None


#: So often are they stored, in seconds.
SPOKEN = 0.1


class Speech:
    """Stores the words of answers for who watches elsewhere, together every so often."""

    def __init__(self, fleet: Fleet, errors: tuple[type[Exception], ...]) -> None:
        self._fleet = fleet
        self._errors = errors
        self._parts: dict[str, list[AnswerPart]] = {}
        self._number = 0
        self._wake = asyncio.Event()

    def hear(self, state: RunState, delta: AnswerDelta) -> None:
        """Words of an answer that is given here."""
        # Later than those of a process that had the run before, and than the last one here.
        self._number = max(self._number + 1, int(time.time() * 1000))
        parts = self._parts.setdefault(state["run_id"], [])
        parts.append(AnswerPart(self._number, delta["text"], delta["offset"]))
        self._wake.set()

    async def store(self) -> None:
        """Store what was heard, until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(SPOKEN)
            self._wake.clear()
            heard, self._parts = self._parts, {}
            for run_id, parts in heard.items():
                with suppress(*self._errors):  # they are live only
                    await self._fleet.jobs.speak(run_id, _joined(parts))
                    self._fleet.notices.tell(run_id)


def _joined(parts: Sequence[AnswerPart]) -> list[AnswerPart]:
    """The parts with those that follow each other as one."""
    joined: list[AnswerPart] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last and part.offset == last.offset + len(last.text):
            joined[-1] = AnswerPart(part.number, last.text + part.text, last.offset)
        else:
            joined.append(part)
    return joined
