"""Following a run in the terminal to its end, or until its watcher has had enough, and its views.

These are lines, a live one on a terminal, or nothing beside what a program reads.
"""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from types import TracebackType
from typing import Protocol, Self, TextIO

from api.cli.lines import EventLines, line, pretty
from api.cli.local_run import Detached, NotCancelled, RunSource
from api.cli.streams import say
from graph.record.events import Event
from graph.runs.watch import AnswerDelta
from graph.state.wording import printable


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


# Following one.


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
