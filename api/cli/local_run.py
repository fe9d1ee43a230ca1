"""A run that is watched: where its events come from, and what may be asked of it."""

from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

from api.cli.lines import resolving
from api.views import Run, shape
from graph.record.events import Event
from graph.runs.cancellation import AlreadySettled
from graph.runs.watch import AnswerDelta
from graph.service import Runs
from graph.state import question_of
from graph.storage.storage import StorageUnavailable

#: Says something about the watching to the watcher.
Note = Callable[[str], None]

#: Hears the next words of the answer, while it is given.
Hear = Callable[[AnswerDelta], None]


NO_WORKER = "no worker executes runs just now; start one with `runwright worker`"


def unheard(_delta: AnswerDelta) -> None:
    """Nobody listens."""


class NotStarted(Exception):
    """The task was not accepted; the message says why."""


class NotWatched(Exception):
    """The run cannot be watched; the message says why."""


class Detached(Exception):
    """The run was accepted but cannot be read any more; the message says where to look."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run {run_id} was accepted and goes on when its server does; read it at"
            f" GET /runs/{run_id} or with `runwright watch {run_id}`, and do not post it again"
        )


class AwaitingApproval(Detached):
    """The run waits for a person, and this process does not outlast the wait.

    `in_doubt`: it asks about a step, not about its plan.
    """

    def __init__(self, run_id: str, *, in_doubt: bool = False) -> None:
        if in_doubt:
            waits, how = "with a step in doubt", resolving(run_id)
        else:
            waits = "for approval"
            how = f"`runwright approve {run_id}` or `runwright reject {run_id}`"
        Exception.__init__(
            self, f"run {run_id} waits {waits}: start `runwright serve`, then decide with {how}"
        )


class NotDecided(Exception):
    """What was decided about a plan is not known to be carried out; the message says why."""


class NotCancelled(Exception):
    """The run is not cancelled; the message says why."""


class RunSource(Protocol):
    """One run, wherever it is executed."""

    run_id: str

    def events(self, note: Note, hear: Hear = unheard) -> AsyncGenerator[Event, None]:
        """Its events from the first one on, as they happen, up to `end`; beside them its answer.

        Raises `Detached` and `NotWatched`.
        """

    async def cancel(self) -> None:
        """Ask for its cancellation, again until it was heard. Raises `NotCancelled`.

        A run that has ended meanwhile is left as it is.
        """

    async def record(self) -> dict[str, Any]:
        """Its record as JSON data. Raises `Detached` and `NotWatched`."""

    async def leave(self) -> str:
        """Leave it while it is being cancelled; what becomes of it, in one line."""


class LocalRun:
    """A run of this process, of any owner. `kept` says whether it outlasts the process."""

    def __init__(self, runs: Runs, run_id: str, *, kept: bool) -> None:
        self.run_id = run_id
        self._runs = runs
        self._kept = kept

    async def events(self, note: Note, hear: Hear = unheard) -> AsyncGenerator[Event, None]:
        """Its events from the first one on, as they are stored, wherever it is executed.

        Raises `Detached` and `AwaitingApproval`.
        """
        seen = 0
        try:
            async with self._runs.watching(self.run_id, owner=None) as subscription:
                spoken = subscription.spoken
                if not subscription.ended and await self._runs.health.workers() == 0:
                    note(NO_WORKER)
                while not (subscription.closed or subscription.ended) or seen < len(
                    subscription.events
                ):
                    if (
                        subscription.settled_or_waiting
                        and not subscription.ended
                        and seen == len(subscription.events)
                    ):
                        state = subscription.state
                        asked = question_of(state) if state else None
                        raise AwaitingApproval(self.run_id, in_doubt=asked is not None)
                    await subscription.after(seen, spoken=spoken)
                    for delta in subscription.deltas_after(spoken):
                        hear(delta)
                    spoken = subscription.spoken
                    for event in subscription.events[seen:]:
                        seen = event["id"]
                        yield event
        except StorageUnavailable:
            raise Detached(self.run_id) from None

    async def cancel(self) -> None:
        """Cancel it. Raises `NotCancelled`."""
        try:
            await self._runs.cancel(self.run_id, by="the command line", owner=None)
        except AlreadySettled:
            pass  # its events tell
        except StorageUnavailable:
            raise NotCancelled(
                "the database does not answer; the run is cancelled when it does, if it took that"
            ) from None

    async def record(self) -> dict[str, Any]:
        """Its record. Raises `Detached`."""
        try:
            record: dict[str, Any] = shape(Run).plain(await self._runs.get(self.run_id, owner=None))
            return record
        except StorageUnavailable:
            raise Detached(self.run_id) from None

    async def leave(self) -> str:
        """End its execution here, with no time for what is in flight."""
        await self._runs.close(0)
        if not self._kept:
            return f"run {self.run_id} ends with this process: memory:// keeps nothing"
        return f"run {self.run_id} is cancelled by the next `runwright serve` at the latest"
