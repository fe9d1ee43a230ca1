"""Following a thread: what its runs tell, one after the other, for as long as the client stays."""

from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response

from api.errors.protocol import unprocessable
from api.lg.history import ThreadHistory, opened
from api.lg.messages import SettledMessages
from api.lg.requests import Caller, canonical, id_of, queried
from api.lg.runs import mode_names
from api.lg.stream_parts import BEGINNING, END, Position, Teller
from api.lg.streams import HEARTBEAT, EventStream, Reading, within
from graph.state.status import SETTLED

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
