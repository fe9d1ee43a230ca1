"""Runs of the protocol: begun, listed, followed, waited for, cancelled."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.errors.kinds import unprocessable
from api.lg.begin import Beginner, Begun
from api.lg.history import opened
from api.lg.requests import (
    Caller,
    RunBody,
    check_modes,
    count,
    flag,
    id_of,
    json_response,
    mode_names,
    one_of,
    queried,
    read,
)
from api.lg.stream_parts import LOOKING, Position, Teller
from api.lg.streams import EventStream, Reading
from api.lg.views import RUN_STATUS, cancel_reason_of, error_of, run_of, selected
from api.middleware.guards import unless_gone
from graph.record.record import Record
from graph.runs.cancellation import AlreadySettled
from graph.runs.context import RunNotFound
from graph.state import Status
from graph.state.status import SETTLED, SETTLED_OR_WAITING
from graph.storage.search import Search

#: How long one that waits for a person is left alone before it is looked whether it is cancelled by
#: now, in seconds.
CANCELLING = 0.05

#: What of the statuses of the protocol stands for which of ours.
_STATUSES: dict[str, tuple[Status, ...]] = {
    theirs: tuple(ours for ours, one in RUN_STATUS.items() if one == theirs)
    for theirs in {*RUN_STATUS.values(), "timeout"}
}


class RunCalls:
    """What is asked of runs."""

    def __init__(self, beginner: Beginner) -> None:
        self._beginner = beginner

    async def create(self, request: Request) -> Response:
        """Begin a run and answer at once."""
        _, _, begun = await self._begin(request)
        headers = _places(begun, "stream")
        return json_response(_view(begun.record), 200, headers)

    async def create_and_stream(self, request: Request) -> Response:
        """Begin a run and stream it."""
        caller, body, begun = await self._begin(request)
        modes = check_modes(body.stream_mode)
        return self._stream(
            caller, begun.record, modes, begun.after, cancels=body.on_disconnect == "cancel"
        )

    async def create_and_wait(self, request: Request) -> Response:
        """Begin a run and answer with the thread's values once it has ended or waits."""
        caller, body, begun = await self._begin(request)
        cancels = body.on_disconnect == "cancel"
        return await self._wait(caller, begun.record, cancels=cancels)

    async def of_thread(self, request: Request) -> Response:
        """The runs of a thread, the newest first."""
        caller, thread_id = Caller.of(request), id_of(request, "thread_id")
        given = queried(request, "limit", "offset", "status", "select")
        limit = count(given, "limit", 10, least=1, most=1_000)
        offset = count(given, "offset", 0, least=0, most=100_000)
        status = one_of(given, "status", sorted(_STATUSES))
        await caller.runs.threads.check(thread_id, owner=caller.owner)
        search = Search(
            thread_id=thread_id, limit=200, statuses=_STATUSES[status] if status else ()
        )
        found: list[Any] = []
        cursor = None
        if status != "timeout":  # no run here ends so
            while len(found) < offset + limit:
                page = await caller.runs.search(caller.owner, search, cursor)
                found += page["runs"]
                if (cursor := page["next_cursor"]) is None:
                    break
        shown = [run_of(row) for row in found[offset : offset + limit]]
        return json_response([selected(one, given.get("select")) for one in shown])

    async def get(self, request: Request) -> Response:
        """One run."""
        caller = Caller.of(request)
        queried(request)
        return json_response(_view(await _found(caller, request)))

    async def delete(self, request: Request) -> Response:
        """Remove a run that has ended."""
        caller = Caller.of(request)
        queried(request)
        record = await _found(caller, request)
        await caller.runs.remove(record["run_id"], owner=caller.owner, by=caller.by)
        return Response(status_code=204)

    async def join(self, request: Request) -> Response:
        """The thread's values once a run has ended or waits."""
        caller = Caller.of(request)
        given = queried(request, "cancel_on_disconnect")
        record = await _found(caller, request)
        return await self._wait(caller, record, cancels=flag(given, "cancel_on_disconnect"))

    async def stream(self, request: Request) -> Response:
        """A run's stream from where the reader is."""
        caller = Caller.of(request)
        given = queried(request, "cancel_on_disconnect", "stream_mode")
        modes = check_modes(
            [mode for value in given.get("stream_mode", ()) for mode in mode_names(value)]
        )
        after = Position.read(request.headers.get("last-event-id", ""))
        record = await _found(caller, request)
        return self._stream(
            caller,
            record,
            modes,
            after,
            cancels=flag(given, "cancel_on_disconnect"),
            knows=after is not None,
        )

    async def cancel(self, request: Request) -> Response:
        """Cancel a run; with `wait` the answer comes once nothing of it is under way."""
        caller = Caller.of(request)
        given = queried(request, "wait", "action")
        waits = flag(given, "wait")
        if given.get("action", ["interrupt"])[-1] != "interrupt":
            words = "is interrupt: what a run has done stays done; DELETE removes one"
            raise unprocessable("action", words)
        record = await _found(caller, request)
        # What an already settled run is told, its canceller need not know.
        if record["status"] in SETTLED and record["status"] != "cancelled":
            raise AlreadySettled(record["run_id"], record["status"])
        try:
            record = await caller.runs.cancel(record["run_id"], by=caller.by, owner=caller.owner)
        except AlreadySettled:
            # As one does whose steps are all done and whose answer is not waited for any more:
            # nothing of it is under way, which is what was asked for.
            record = await _found(caller, request)
        # It may be executed elsewhere, or the storage may not answer just now.
        while waits and record["status"] not in SETTLED:
            await asyncio.sleep(CANCELLING)
            record = await caller.runs.wait(record["run_id"], caller.heartbeat, owner=caller.owner)
        return Response(status_code=204 if waits else 202)

    async def _begin(self, request: Request) -> tuple[Caller, RunBody, Begun]:
        caller = Caller.of(request)
        queried(request)
        thread_id = id_of(request, "thread_id") if "thread_id" in request.path_params else None
        body = await read(request, RunBody)
        begun = await self._beginner.begin(
            caller.runs, body, thread_id, owner=caller.owner, by=caller.by
        )
        return caller, body, begun

    def _stream(
        self,
        caller: Caller,
        record: Record,
        modes: list[str],
        after: Position | None,
        *,
        cancels: bool,
        knows: bool = False,
    ) -> Response:
        run_id, thread_id = record["run_id"], record["thread_id"]
        headers = _places(Begun(record), "stream", modes)
        messages = self._messages(caller, run_id, thread_id, modes, after, knows=knows)

        async def left() -> None:
            try:
                await caller.runs.cancel(run_id, by=caller.by, owner=caller.owner)
            except (AlreadySettled, RunNotFound):
                return

        return EventStream(messages, headers, left if cancels else None)

    async def _messages(
        self,
        caller: Caller,
        run_id: str,
        thread_id: str,
        modes: list[str],
        after: Position | None,
        *,
        knows: bool,
    ) -> AsyncGenerator[bytes, None]:
        runs, owner = caller.runs, caller.owner
        async with runs.watching(run_id, owner=owner, latest=after is not None) as subscription:
            assert subscription.state is not None
            teller, thread = Teller(modes, runs.tools, thread_id), None
            if LOOKING & {*modes} or ("values" in modes and run_id != thread_id):
                thread = await opened(runs, thread_id, self._beginner.settled, owner=owner)
                teller.earlier = await thread.before(subscription.state)
            looking = thread if LOOKING & {*modes} else None
            reading = Reading(runs, teller, run_id, after, knows=knows, thread=looking)
            async for part in reading.encoded(subscription, caller.heartbeat):
                yield part

    async def _wait(self, caller: Caller, record: Record, *, cancels: bool) -> Response:
        """The values at the end; while they are waited for, blank lines keep the connection."""
        request, run_id = caller.request, record["run_id"]
        headers = _places(Begun(record), "join")
        waiting = caller.runs.wait(run_id, caller.heartbeat, owner=caller.owner)
        found = await unless_gone(request.receive, waiting)
        if found is None:
            if cancels:
                await _cancel_quietly(caller, run_id)
            return Response()  # to nobody
        if found["status"] in SETTLED_OR_WAITING:
            return Response(await self._values(caller, found), 200, headers, "application/json")
        return StreamingResponse(
            self._late(caller, found, cancels=cancels), 200, headers, "application/json"
        )

    async def _late(self, caller: Caller, record: Record, *, cancels: bool) -> AsyncIterator[bytes]:
        run_id = record["run_id"]
        try:
            while record["status"] not in SETTLED_OR_WAITING:
                yield b"\n"
                record = await caller.runs.wait(run_id, caller.heartbeat, owner=caller.owner)
        except (asyncio.CancelledError, GeneratorExit):
            if cancels:
                await asyncio.shield(_cancel_quietly(caller, run_id))
            raise
        yield await self._values(caller, record)

    async def _values(self, caller: Caller, record: Record) -> bytes:
        thread_id = record["thread_id"]
        thread = await opened(caller.runs, thread_id, self._beginner.settled, owner=caller.owner)
        state = await thread.state(record["run_id"])
        if error := error_of(state):
            return to_json({"__error__": error})
        return to_json(await thread.values(state, interrupts=True))


def _view(record: Record) -> dict[str, Any]:
    return run_of(record, cancel_reason=cancel_reason_of(record))


def _places(begun: Begun, end: str, modes: list[str] | None = None) -> dict[str, str]:
    """Where a run is, and where to come again: without where we are mounted, as clients add it."""
    place = f"/threads/{begun.thread_id}/runs/{begun.run_id}"
    asked = "&".join(f"stream_mode={mode}" for mode in modes or ())
    return {
        "Location": f"{place}/{end}?{asked}" if asked else f"{place}/{end}",
        "Content-Location": place,
    }


async def _found(caller: Caller, request: Request) -> Record:
    """The run of a path. Raises `RunNotFound`, also for one of another thread."""
    run_id = id_of(request, "run_id")
    record = await caller.runs.get(run_id, owner=caller.owner)
    if "thread_id" in request.path_params and record["thread_id"] != id_of(request, "thread_id"):
        raise RunNotFound(run_id)
    return record


async def _cancel_quietly(caller: Caller, run_id: str) -> None:
    try:
        await caller.runs.cancel(run_id, by=caller.by, owner=caller.owner)
    except (AlreadySettled, RunNotFound):
        return
