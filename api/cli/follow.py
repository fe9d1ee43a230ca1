"""A run that is followed in the terminal: where its events come from, and what may be asked of it.

It is followed to its end, or until its watcher has had enough, and shown by a view.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from types import TracebackType
from typing import Any, Protocol, Self, TextIO
from uuid import UUID

import httpx

from api.cli.text import EventLines, line, pretty, resolving, say
from api.views import Run, shape
from graph.record.events import Event
from graph.runs.cancellation import AlreadySettled
from graph.runs.watch import AnswerDelta
from graph.service import Runs
from graph.settings import Settings
from graph.settings.configured import DEFAULT_OWNER, KeyRing
from graph.state import question_of
from graph.state.wording import printable
from graph.storage.open import kept_in
from graph.storage.storage import StorageUnavailable
from graph.telemetry.server import configure_logging

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
    """One of this process, of any owner. `kept` says whether it outlasts the process."""

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


# Where a command looks for runs, and for whose.


def quiet_logging(settings: Settings) -> None:
    """Log warnings only, where nobody asked for another level: the events tell the rest."""
    level = settings.log_level if settings.log_level != "info" else "warning"
    configure_logging(settings.log, level)


def is_id(thread: str) -> bool:
    """Whether it is the id of a thread, and not a name."""
    try:
        return str(UUID(thread)) == thread
    except ValueError:
        return False


def owner_here(settings: Settings) -> str:
    """Whose a run of this process is. Raises `NotStarted` where there are keys but not this one."""
    if not settings.api_keys:
        return DEFAULT_OWNER
    if settings.api_key is None:
        raise NotStarted("runs have owners here; set RUNWRIGHT_API_KEY to your key")
    owner = KeyRing(settings.api_keys).owner(settings.api_key.get_secret_value())
    if owner is None:
        raise NotStarted("the key in RUNWRIGHT_API_KEY is none of RUNWRIGHT_API_KEYS")
    return owner


def checked_url(url: str) -> str:
    """The address as it is given. Raises `NotWatched` where it is none."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise NotWatched(f"--url={url}: no address of a server; it has the form http://host:port")
    return url


def check_kept(database_url: str) -> None:
    """Raises `NotWatched` where there can be no run, and nothing is to be created for that."""
    if database_url == "memory://":
        raise NotWatched("memory:// keeps runs inside their process; name its server with --url")
    path = kept_in(database_url)
    if path is not None and not path.exists():
        raise NotWatched(f"there is no database {path}; RUNWRIGHT_DATABASE_URL names another one")


# How it is shown: as lines, live on a terminal, or not at all beside what a program reads.


class View(Protocol):
    """Shows one run to a person for as long as its context lasts."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, event: Event) -> None:
        """Show the next event."""

    def hear(self, delta: AnswerDelta) -> None:
        """Show the next words of the answer, while it is given."""

    def note(self, text: str) -> None:
        """Say something about the watching itself, in one line."""


class PlainView:
    """Lines for a file, a pipe or a terminal that cannot move its cursor."""

    def __init__(self, run_id: str, out: TextIO, notes: TextIO) -> None:
        self._lines = EventLines(run_id)
        self._out = out
        self._notes = notes
        self._heard = False  # words that are behind nothing but each other, on a line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to be done: every line is out."""

    def show(self, event: Event) -> None:
        """Write the event's line, if it has one, below all of the answer."""
        unheard, words = self._lines.unheard(event), self._lines.words(event)
        if unheard or (self._heard and words is not None):
            say(printable(unheard, keep="\n\t"), self._out)
            self._heard = False
        if words is not None:
            say(words, self._out)

    def hear(self, delta: AnswerDelta) -> None:
        """Write the words behind those before; what was missed in between is written at the end."""
        if words := self._lines.hear(delta):
            say(printable(words, keep="\n\t"), self._out, end="")
            self._heard = True

    def note(self, text: str) -> None:
        """Write a line beside the output, so that the output is the run's alone."""
        with suppress(OSError):  # the output continues without it
            self._notes.write(line(f"runwright: {text}") + "\n")
            self._notes.flush()


class NoView(PlainView):
    """Notes only: the output is for a program."""

    def show(self, event: Event) -> None:
        """Keep it."""

    def hear(self, delta: AnswerDelta) -> None:
        """Keep it."""


def open_view(run_id: str, *, as_json: bool) -> View:
    """What suits the standard output: a live view on a terminal, plain lines elsewhere."""
    if as_json:
        return NoView(run_id, sys.stdout, sys.stderr)
    from api.cli.terminal_view import TerminalView, new_console

    console = new_console()
    # Rich can be told to take a pipe for a terminal, for colours; a pipe still has no cursor.
    if console.is_interactive and sys.stdout.isatty():
        return TerminalView(run_id, console)
    return PlainView(run_id, sys.stdout, sys.stderr)


# Following it to its end.


CANCELLING = "cancelling; press Ctrl-C again not to wait for its end"


class Interrupted(Exception):
    """The watcher has left the run to itself; the message says what becomes of it."""


async def follow(run: RunSource, *, as_json: bool) -> bool:
    """Show a run until it is settled, with `as_json` its record then; whether it completed.

    Raises `Interrupted` after two Ctrl-C, `Detached`, and `NotWatched` where there is no such run.
    """
    with open_view(run.run_id, as_json=as_json) as view:
        status = await _watched(run, view)
    if as_json:
        say(pretty(await run.record()))
    return status == "completed"


async def _watched(run: RunSource, view: View) -> str:
    with _interrupts() as presses:
        ending = asyncio.create_task(_shown(run, view))
        leaving = asyncio.create_task(_interrupted(run, view, presses))
        try:
            await asyncio.wait([ending, leaving], return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                return ending.result()
            raise Interrupted(await run.leave())
        finally:
            for task in (ending, leaving):
                task.cancel()
            await asyncio.gather(ending, leaving, return_exceptions=True)


async def _shown(run: RunSource, view: View) -> str:
    """Show the events; the status that the run ended with at last."""
    ended: str | None = None
    async with aclosing(run.events(view.note, view.hear)) as events:
        async for event in events:
            view.show(event)
            ended = str(event["data"]["status"]) if event["type"] == "end" else None
    if ended is None:
        raise Detached(run.run_id)
    return ended


async def _interrupted(run: RunSource, view: View, presses: asyncio.Semaphore) -> None:
    """The first Ctrl-C asks for the cancellation; return at the second."""
    await presses.acquire()
    view.note(CANCELLING)
    asking = asyncio.create_task(_cancel(run, view))
    try:
        await presses.acquire()
    finally:
        asking.cancel()


async def _cancel(run: RunSource, view: View) -> None:
    try:
        await run.cancel()
    except NotCancelled as error:
        view.note(f"not cancelled: {error}")


@contextmanager
def _interrupts() -> Iterator[asyncio.Semaphore]:
    """Ctrl-C is counted instead of ending the process."""
    loop = asyncio.get_running_loop()
    presses = asyncio.Semaphore(0)

    def press(*_: object) -> None:
        loop.call_soon_threadsafe(presses.release)

    former = signal.signal(signal.SIGINT, press)
    try:
        yield presses
    finally:
        signal.signal(signal.SIGINT, former)
