"""Following a run in the terminal to its end, or until its watcher has had enough."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

from api.cli.lines import pretty
from api.cli.local_run import Detached, NotCancelled, RunSource
from api.cli.streams import say
from api.cli.view import View, open_view

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
