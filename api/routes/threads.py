"""Threads: conversations of several runs, as a whole."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import Field

from api.openapi import WITH_BODY, problems
from api.parameters import OwnerDep, RunsDep, StrictRoute, named
from api.routes.search import CURSOR, LIMIT, LONGEST_PAGE, ORDER, PAGE, Name, Order, RunList
from api.schemas import Body, Metadata, ThreadName
from api.views import Run, answered, json_answer, shape
from graph.commands.deletion import ThreadNotSettled
from graph.runs.threads import ThreadNotFound
from graph.service import Runs
from graph.state.wording import doc
from graph.storage.search import InvalidCursor, Search
from graph.storage.storage import StorageUnavailable
from graph.storage.threads import NameTaken, Thread, ThreadChange, ThreadPage


class ThreadAnswer(Thread):
    """A conversation: runs that go on one after the other."""


class ThreadList(ThreadPage):
    """A page of threads."""


class ThreadExport(Thread):
    """A thread with all that is kept of it."""

    records: Annotated[list[Run], doc("The records of its runs, in the order of acceptance.")]


class ThreadUpdate(Body):
    """What a thread is called from now on; what is left out stays as it is."""

    name: ThreadName | None = Field(
        None, description="Its name, which no other thread of the caller has; null takes it away."
    )
    metadata: Metadata | None = Field(
        None, description="Names and values of the caller's own, instead of those before."
    )

    def change(self) -> ThreadChange:
        """The change as threads know it."""
        renamed = "name" in self.model_fields_set
        return ThreadChange(renamed=renamed, name=self.name, metadata=self.metadata)


router = APIRouter(route_class=StrictRoute, tags=["threads"])

PageSize = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description=LIMIT)]
Cursor = Annotated[Name | None, Query(description=CURSOR)]


@router.get(
    "/threads",
    response_class=JSONResponse,
    responses={
        200: answered(ThreadList, "A page of threads."),
        **problems(InvalidCursor, StorageUnavailable),
    },
)
async def list_threads(
    runs: RunsDep,
    owner: OwnerDep,
    name: Annotated[ThreadName | None, Query(description="Only the one of this name.")] = None,
    limit: PageSize = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Threads, those with the newest runs first. A run that names none is one of its own."""
    page = await runs.threads.page(owner, limit=limit, cursor=cursor, name=name)
    return json_answer(page, ThreadList)


@router.get(
    "/threads/{thread_id}",
    response_class=JSONResponse,
    responses={
        200: answered(ThreadAnswer, "The thread."),
        **problems(ThreadNotFound, StorageUnavailable),
    },
)
async def read_thread(thread_id: str, runs: RunsDep, owner: OwnerDep) -> Response:
    """What a thread is called, how many runs it has, and the last of them."""
    return json_answer(await runs.threads.get(thread_id, owner=owner), ThreadAnswer)


@router.patch(
    "/threads/{thread_id}",
    response_class=JSONResponse,
    responses={
        200: answered(ThreadAnswer, "The thread as it is now."),
        **problems(*WITH_BODY, ThreadNotFound, NameTaken, StorageUnavailable),
    },
)
async def update_thread(
    thread_id: str, body: ThreadUpdate, runs: RunsDep, owner: OwnerDep
) -> Response:
    """Name a thread, or say what it is known by. Both go with the last of its runs."""
    changed = await runs.threads.change(thread_id, body.change(), owner=owner)
    return json_answer(changed, ThreadAnswer)


@router.get(
    "/threads/{thread_id}/runs",
    response_class=JSONResponse,
    responses={
        200: answered(RunList, "A page of its runs."),
        **problems(ThreadNotFound, InvalidCursor, StorageUnavailable),
    },
)
async def list_thread_runs(
    thread_id: str,
    runs: RunsDep,
    owner: OwnerDep,
    order: Annotated[Order, Query(description=ORDER)] = "desc",
    limit: PageSize = PAGE,
    cursor: Cursor = None,
) -> Response:
    """The runs of a thread in the order of acceptance, the newest first unless asked otherwise."""
    await runs.threads.check(thread_id, owner=owner)
    search = Search(thread_id=thread_id, descending=order == "desc", limit=limit)
    return json_answer(await runs.search(owner, search, cursor), RunList)


@router.delete(
    "/threads/{thread_id}",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "It is gone, with all of its runs."},
        **problems(*WITH_BODY, ThreadNotFound, ThreadNotSettled, StorageUnavailable),
    },
)
async def remove_thread(thread_id: str, runs: RunsDep, owner: OwnerDep) -> Response:
    """Remove a thread with all of its runs for good, or nothing while one of them is not settled.

    Who did what with its runs is kept at `GET /audit` for a time: ids, times and names, no content.
    """
    await runs.threads.remove(thread_id, owner=owner, by=named(owner))
    return Response(status_code=204)


@router.get(
    "/threads/{thread_id}/export",
    response_class=JSONResponse,
    responses={
        200: answered(ThreadExport, "The thread and the records of its runs."),
        **problems(ThreadNotFound, StorageUnavailable),
    },
)
async def export_thread(thread_id: str, runs: RunsDep, owner: OwnerDep) -> Response:
    """A thread with the whole records of its runs, as one JSON, which is sent as it is read."""
    thread = await runs.threads.get(thread_id, owner=owner)
    return StreamingResponse(_exported(runs, thread, owner), media_type="application/json")


async def _exported(runs: Runs, thread: Thread, owner: str) -> AsyncIterator[bytes]:
    """The pieces of `ThreadExport`; where one cannot be read, the text breaks off."""
    yield shape(ThreadAnswer).json(thread)[:-1] + b',"records":['
    between = b""
    async for record in runs.threads.records(thread["thread_id"], owner=owner):
        yield between + shape(Run).json(record)
        between = b","
    yield b"]}"
