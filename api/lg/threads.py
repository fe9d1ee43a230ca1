"""Threads of the protocol: opened, sought, read, changed, removed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_DNS, uuid4, uuid5

from starlette.requests import Request
from starlette.responses import Response

from api.errors.kinds import ThreadExists, unprocessable
from api.lg.history import SettledMessages, ThreadHistory, checkpoint_view, head_of, opened
from api.lg.requests import (
    Caller,
    CheckpointPlace,
    HistoryBody,
    StateBody,
    ThreadBody,
    ThreadChangeBody,
    ThreadSearchBody,
    UpdateBody,
    as_text,
    checked,
    flag,
    id_of,
    json_response,
    kept,
    queried,
    read,
)
from api.lg.views import OURS, Message, error_of, messages_of, question, selected, values_of
from api.routes.commands import StepEdit
from graph.commands.seeded import Edits
from graph.runs.accept import RunOptions
from graph.runs.threads import ThreadBusy, ThreadNotFound
from graph.state import RunState, Status
from graph.state.status import SETTLED
from graph.state.wording import rfc3339
from graph.storage.records import OpenedThread, Thread
from tools.toolbox import Tool

#: So many threads are looked through for those that are sought.
MOST_SOUGHT = 5_000

#: How long a forked run may take to come to rest before it is told of, in seconds.
REST = 60.0

#: So many are read at a time.
PAGE = 200


#: How a thread stands whose last, or unsettled, run stands so.
THREAD_STATUS: Mapping[Status, str] = {
    "pending": "busy",
    "running": "busy",
    "waiting": "interrupted",
    "completed": "idle",
    "failed": "error",
    "cancelled": "idle",
}


class ThreadCalls:
    """What is asked of threads."""

    def __init__(self, settled: SettledMessages) -> None:
        self._settled = settled

    async def create(self, request: Request) -> Response:
        """Open a thread ahead of its first run."""
        caller = Caller.of(request)
        queried(request)
        body = await read(request, ThreadBody)
        thread_id = body.thread_id or str(uuid4())
        metadata = _checked({**body.metadata})
        kept = await caller.runs.threads.open(thread_id, metadata, owner=caller.owner)
        if kept is not None:
            return json_response(_opened_view(kept))
        if body.if_exists == "do_nothing":
            try:
                return json_response(await self._view(caller, thread_id))
            except ThreadNotFound:
                pass  # it is another's
        raise ThreadExists(thread_id)

    async def get(self, request: Request) -> Response:
        """One thread with its values."""
        caller = Caller.of(request)
        queried(request)
        return json_response(await self._view(caller, id_of(request, "thread_id")))

    async def change(self, request: Request) -> Response:
        """Say what a thread is known by, beside what it was before."""
        caller, thread_id = Caller.of(request), id_of(request, "thread_id")
        queried(request)
        body = await read(request, ThreadChangeBody)
        _, before = await self._found(caller, thread_id)
        metadata = _checked({**before["metadata"], **body.metadata})
        await caller.runs.threads.remark(thread_id, metadata, owner=caller.owner)
        return json_response(await self._view(caller, thread_id))

    async def delete(self, request: Request) -> Response:
        """Remove a thread with its runs, or nothing while one of them is under way."""
        caller, thread_id = Caller.of(request), id_of(request, "thread_id")
        queried(request)
        await caller.runs.threads.check(thread_id, owner=caller.owner)
        if not await caller.runs.threads.close(thread_id, owner=caller.owner):
            await caller.runs.threads.remove(thread_id, owner=caller.owner, by=caller.by)
        return Response(status_code=204)

    async def search(self, request: Request) -> Response:
        """Threads by metadata, ids and status."""
        caller = Caller.of(request)
        queried(request)
        body = await read(request, ThreadSearchBody)
        known = await self._sought(caller, body)
        key = "created_at" if body.sort_by == "created_at" else "updated_at"
        known.sort(key=lambda one: float(one[key]), reverse=body.sort_order != "asc")
        page = known[body.offset : body.offset + body.limit]
        views = []
        for one in page:
            view = await self._view(caller, one["thread_id"])
            views.append(selected(view, body.select))
        headers = {"X-Pagination-Total": str(len(known))}
        if body.offset + body.limit < len(known):
            headers["X-Pagination-Next"] = str(body.offset + body.limit)
        return json_response(views, 200, headers)

    async def _sought(self, caller: Caller, body: ThreadSearchBody) -> list[dict[str, Any]]:
        wanted = as_text(body.metadata)
        found = []
        for one in await self._all(caller):
            known = {**one["metadata"], **(OURS if one["status"] else {})}
            fits = wanted.items() <= known.items()
            fits = fits and (body.ids is None or one["thread_id"] in body.ids)
            if fits and body.status in (None, await self._status(caller, one, body.status)):
                found.append(one)
        return found

    async def _status(self, caller: Caller, known: dict[str, Any], sought: str | None) -> str:
        """How a thread stands where that is sought: as its last run, if it has no other."""
        head = known["status"] and (known["thread_id"], known["status"])
        if sought is not None and known["runs"] > 1:
            head = head_of(
                await caller.runs.threads.members(known["thread_id"], owner=caller.owner)
            )
        return THREAD_STATUS[head[1]] if head else "idle"

    async def _all(self, caller: Caller) -> list[dict[str, Any]]:
        """The owner's threads, those with the newest runs, and those without any."""
        found = [_of_opened(one) for one in await caller.runs.threads.opened(caller.owner)]
        cursor = None
        while len(found) < MOST_SOUGHT:
            page = await caller.runs.threads.page(caller.owner, limit=PAGE, cursor=cursor)
            found += [_of_thread(one) for one in page["threads"]]
            if (cursor := page["next_cursor"]) is None:
                break
        return found

    async def state(self, request: Request) -> Response:
        """The state of a thread as it stands, or at a checkpoint of the path."""
        caller = Caller.of(request)
        given = queried(request, "subgraphs", "select")
        flag(given, "subgraphs")
        return await self._state(
            request, caller, request.path_params.get("checkpoint_id"), given.get("select")
        )

    async def state_at(self, request: Request) -> Response:
        """The state of a thread at a checkpoint of the body."""
        caller = Caller.of(request)
        queried(request)
        body = await read(request, StateBody)
        checkpoint_id = _named(body.checkpoint, id_of(request, "thread_id"))
        return await self._state(request, caller, checkpoint_id, body.select)

    async def _state(
        self,
        request: Request,
        caller: Caller,
        checkpoint_id: str | None,
        select: Sequence[str] | None,
    ) -> Response:
        thread = await self._thread(caller, request)
        view = await (thread.latest() if checkpoint_id is None else thread.at(checkpoint_id))
        return json_response(selected(view, select))

    async def update(self, request: Request) -> Response:
        """Make another state of a checkpoint: a run that is forked there, and waits to go on.

        A run without an input lets it.
        """
        caller = Caller.of(request)
        queried(request)
        body = await read(request, UpdateBody)
        thread = await self._thread(caller, request)
        edits = _edits(body.values)
        at = body.checkpoint_id
        if body.checkpoint and (named := _named(body.checkpoint, thread.thread_id)):
            if at not in (None, named):
                raise unprocessable("checkpoint_id", "is another than that of the checkpoint")
            at = named
        if thread.head and thread.head[1] not in SETTLED:
            raise ThreadBusy(*thread.head)
        if at is None:
            at = (await thread.latest())["checkpoint_id"]
            if at is None:
                raise unprocessable("checkpoint", "the thread has no state as yet")
        origin, given = await thread.find(at), replace(edits, alone=True)
        runs, owner, within = caller.runs, caller.owner, thread.thread_id
        record = await runs.fork(origin, at, given, owner=owner, thread_id=within, by=caller.by)
        await runs.wait(record["run_id"], REST, owner=owner)
        newest = await runs.threads.snapshots(record["run_id"], limit=1)
        checkpoint = newest[0].config["configurable"]["checkpoint_id"] if newest else None
        place_view = checkpoint_view(thread.thread_id, checkpoint)
        forked = {"checkpoint": place_view, "configurable": place_view, "checkpoint_id": checkpoint}
        return json_response(forked)

    async def history(self, request: Request) -> Response:
        """States of a thread, the newest first."""
        caller = Caller.of(request)
        given = queried(request, "limit", "before")
        body = await read(request, HistoryBody)
        thread = await self._thread(caller, request)
        if request.method == "GET":
            limit = given.get("limit", ["10"])[-1]
            if not limit.isdigit() or not 1 <= int(limit[:6]) <= 1_000:
                raise unprocessable("limit", "is a number from 1 to 1000")
            body = body.model_copy(
                update={"limit": int(limit), "before": given.get("before", [None])[-1]}
            )
        before = body.before
        if isinstance(before, CheckpointPlace):
            before = _named(before, thread.thread_id)
        at = _named(body.checkpoint, thread.thread_id) if body.checkpoint else None
        if at is not None and before is not None:
            raise unprocessable("before", "goes without a checkpoint, which says where to begin")
        found = await thread.page(
            limit=body.limit,
            before=before or at,
            metadata=body.metadata,
            including=at is not None,
        )
        return json_response([selected(one, body.select) for one in found])

    async def _thread(self, caller: Caller, request: Request) -> ThreadHistory:
        thread_id = id_of(request, "thread_id")
        return await opened(caller.runs, thread_id, self._settled, owner=caller.owner)

    async def _found(
        self, caller: Caller, thread_id: str
    ) -> tuple[ThreadHistory | None, dict[str, Any]]:
        if new := await caller.runs.threads.opened(caller.owner, thread_id):
            return None, _of_opened(new[0])
        found = _of_thread(await caller.runs.threads.get(thread_id, owner=caller.owner))
        return await opened(caller.runs, thread_id, self._settled, owner=caller.owner), found

    async def _view(self, caller: Caller, thread_id: str) -> dict[str, Any]:
        thread, known = await self._found(caller, thread_id)
        head = thread.head if thread else None
        if thread is None or head is None:
            return thread_view(
                thread_id,
                known["metadata"],
                created_at=known["created_at"],
                updated_at=known["updated_at"],
                status=None,
                state=None,
            )
        state = await thread.state(head[0])
        return thread_view(
            thread_id,
            known["metadata"],
            created_at=known["created_at"],
            updated_at=state["completed_at"] or state["started_at"] or state["created_at"],
            status=state["status"],
            state=state,
            messages=[*await thread.before(state), *messages_of(state)],
            tools=caller.runs.tools,
        )


def _checked(metadata: dict[str, Any]) -> dict[str, str]:
    """Metadata as threads keep it. Raises what runs do."""
    return RunOptions(metadata=kept(metadata)).checked_metadata() or {}


def _edits(values: Any) -> Edits:
    """What of a state is to be another. Raises `Unprocessable`."""
    if values is None:
        return Edits(asks=True)
    if not isinstance(values, dict):
        raise unprocessable("values", 'is {"plan": {"steps": […]}, "run": {"cursor": …}}')
    if unknown := [name for name in values if name not in ("plan", "run")]:
        words = "cannot be edited: plan, and run.cursor, can; another task is an input"
        raise unprocessable(f"values.{unknown[0][:60]}", words)
    plan, run = values.get("plan"), values.get("run", {})
    if not isinstance(run, dict) or {*run} - {"cursor"}:
        raise unprocessable("values.run", "of it only the cursor can be edited")
    cursor = run.get("cursor")
    if cursor is not None and type(cursor) is not int:
        raise unprocessable("values.run.cursor", "is a number of steps")
    if plan is not None and not (isinstance(plan, dict) and isinstance(plan.get("steps"), list)):
        raise unprocessable("values.plan", 'is {"steps": […]}')
    steps = None if plan is None else [checked(StepEdit, one).model_dump() for one in plan["steps"]]
    return Edits(steps=steps, cursor=cursor, asks=True)


def _named(place: CheckpointPlace, thread_id: str) -> str | None:
    if place.thread_id not in (None, thread_id):
        raise unprocessable("checkpoint.thread_id", "is not the thread of this call")
    return place.checkpoint_id


def _opened_view(thread: OpenedThread) -> dict[str, Any]:
    return thread_view(
        thread.thread_id,
        thread.metadata,
        created_at=thread.created_at,
        updated_at=thread.created_at,
        status=None,
        state=None,
    )


def _of_opened(thread: OpenedThread) -> dict[str, Any]:
    return {
        "thread_id": thread.thread_id,
        "metadata": thread.metadata,
        "created_at": thread.created_at,
        "updated_at": thread.created_at,
        "status": None,
        "runs": 0,
    }


def _of_thread(thread: Thread) -> dict[str, Any]:
    return {
        "thread_id": thread["thread_id"],
        "metadata": thread["metadata"],
        "created_at": thread["created_at"],
        "updated_at": thread["last_run"]["created_at"],
        "status": thread["last_run"]["status"],
        "runs": thread["runs"],
    }


def thread_view(
    thread_id: str,
    metadata: Mapping[str, str],
    *,
    created_at: float,
    updated_at: float,
    status: Status | None,
    state: RunState | None,
    messages: Sequence[Message] = (),
    tools: Mapping[str, Tool] | None = None,
) -> dict[str, Any]:
    """A thread; `state` is that of the run that it is at, None where it has none."""
    asked = question(state, tools) if state and tools is not None else None
    task = str(uuid5(NAMESPACE_DNS, f"{thread_id} {asked['id']}")) if asked else ""
    return {
        "thread_id": thread_id,
        "created_at": rfc3339(created_at),
        "updated_at": rfc3339(updated_at),
        "state_updated_at": rfc3339(updated_at),
        "metadata": {**metadata, **(OURS if status else {})},
        "status": THREAD_STATUS[status] if status else "idle",
        "config": {},
        "values": values_of(state, messages) if state else None,
        "interrupts": {task: [asked]} if asked else {},
        "error": error_of(state) if state else None,
    }
