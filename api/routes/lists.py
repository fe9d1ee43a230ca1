"""Lists, a page at a time: runs that are looked for, conversations of them, and who did what.

A conversation is also read, named, exported and removed as a whole.
"""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.operations import WITH_BODY, OwnerDep, RunsDep, StrictRoute, named, problems
from api.schemas import LONGEST_NAME, Body, Metadata, Text, ThreadName, whole
from api.views import Run, answered, json_answer, shape
from graph.commands.threads import ThreadNotSettled
from graph.runs.accept import LONGEST_VALUE, METADATA_KEY, MOST_PAIRS
from graph.runs.threads import ThreadNotFound
from graph.service import Runs
from graph.state import Status
from graph.state.run import Planner
from graph.state.wording import doc
from graph.storage.records import (
    Act,
    AuditPage,
    AuditQuery,
    NameTaken,
    Thread,
    ThreadChange,
    ThreadPage,
)
from graph.storage.search import LARGEST_BOUND, InvalidCursor, Page, Search, Sort, terms
from graph.storage.storage import StorageUnavailable

#: Runs of a page, at most and unless fewer are asked for; most US dollars.
LONGEST_PAGE, PAGE, MOST_USD = 200, 50, 10**6

#: Longest text to look for, in characters.
LONGEST_TEXT = 1000

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _epoch(given: Any) -> float:
    try:
        if isinstance(given, str) and _RFC3339.fullmatch(given):
            return datetime.fromisoformat(given.upper()).timestamp()
    except (ValueError, OverflowError):
        pass  # the 30th of February
    raise PydanticCustomError(
        "no_moment", "must be a time as RFC 3339 writes it, such as 2026-11-22T12:00:00Z"
    )


def _with_words(text: str) -> str:
    if not terms(text):
        raise PydanticCustomError("no_words", "must hold a word, of letters or digits")
    return text


Moment = Annotated[
    float, BeforeValidator(_epoch), WithJsonSchema({"type": "string", "format": "date-time"})
]
Words = Annotated[
    Text,
    Field(min_length=1, max_length=LONGEST_TEXT),
    AfterValidator(_with_words),
]
Name = Annotated[Text, Field(min_length=1, max_length=LONGEST_NAME)]
Usd = Annotated[float, Field(ge=0, le=MOST_USD)]
Bound = Annotated[int, Field(ge=0, le=LARGEST_BOUND), BeforeValidator(whole)]
PageSize = Annotated[int, Field(ge=1, le=LONGEST_PAGE), BeforeValidator(whole)]
Pair = Annotated[
    Text, Field(max_length=65 + LONGEST_VALUE, pattern=f"{METADATA_KEY.removesuffix('$')}:")
]
Order = Literal["desc", "asc"]

STATUS = "With one of these; any when there are none."
TEXT = (
    "With all of these words, of letters or digits, in the prompt, whatever their case, width and "
    "accents; of a script that writes no blanks, with these characters in a row."
)
TOOL = "That called this tool or, while they are not settled, plan to."
PLANNER = "Planned by a model, by the pattern planner, or by who called a tool by itself."
MODEL = "Planned by this model."
FROM = "Accepted at this time or later."
BEFORE = "Accepted before this time."
USD = "US dollars that its planning cost; only where that is known."
RETRIES = "Attempts after the first one, of all its steps."
ROUNDS = "Rounds that its plan was made in; 0 where it has none."
METADATA = "With all of these pairs among its metadata."
TAKEN_UP = "Whether it was gone on with after its server had ended."
THREAD = "Of this thread."
SORT = "`time` is the order of acceptance; where duration or cost is not known, it comes last."
ORDER = "Newest, longest or dearest first, or last."
LIMIT = "Most runs of the answer."
CURSOR = "The `next_cursor` of the page before, with the same filters and order."


class RunFilters(Body):
    """What a body and an address say alike."""

    status: list[Status] = Field(default_factory=list, description=STATUS)
    text: Words | None = Field(None, description=TEXT)
    tool: Name | None = Field(None, description=TOOL)
    planner: Planner | None = Field(None, description=PLANNER)
    model: Name | None = Field(None, description=MODEL)
    created_from: Moment | None = Field(None, description=FROM)
    created_before: Moment | None = Field(None, description=BEFORE)
    min_usd: Usd | None = Field(None, description=f"At least: {USD}")
    max_usd: Usd | None = Field(None, description=f"At most: {USD}")
    min_retries: Bound | None = Field(None, description=f"At least: {RETRIES}")
    max_retries: Bound | None = Field(None, description=f"At most: {RETRIES}")
    min_rounds: Bound | None = Field(None, description=f"At least: {ROUNDS}")
    max_rounds: Bound | None = Field(None, description=f"At most: {ROUNDS}")
    taken_up: bool | None = Field(None, description=TAKEN_UP)
    thread_id: Name | None = Field(None, description=THREAD)
    sort: Sort = Field("time", description=SORT)
    order: Order = Field("desc", description=ORDER)
    limit: PageSize = Field(PAGE, description=LIMIT)
    cursor: Name | None = Field(None, description=CURSOR)

    @property
    def pairs(self) -> Mapping[str, str]:
        """The metadata sought."""
        return {}

    def plain_search(self) -> Search:
        """The search as the index knows it; its cursor is still to be read."""
        asked = self.model_dump(exclude={"status", "order", "cursor", "metadata"})
        # In an order of their own, so that a cursor does not depend on how they were given.
        statuses, pairs = tuple(sorted(set(self.status))), tuple(sorted(self.pairs.items()))
        return Search(statuses=statuses, metadata=pairs, descending=self.order == "desc", **asked)


class RunSearch(RunFilters):
    """Which runs, and in which order; what is left out does not matter."""

    metadata: Metadata = Field(default_factory=dict, description=METADATA)

    @property
    def pairs(self) -> Mapping[str, str]:
        """The metadata sought."""
        return self.metadata


class RunQuery(RunFilters):
    """The same in an address, where everything is text."""

    model_config = ConfigDict(strict=False)

    metadata: list[Pair] = Field(
        default_factory=list, max_length=MOST_PAIRS, description=f"{METADATA} Each as `key:value`."
    )

    @property
    def pairs(self) -> Mapping[str, str]:
        """The metadata sought; of two values of a key the last."""
        return {key: value for key, _, value in (pair.partition(":") for pair in self.metadata)}


class RunList(Page):
    """A page of runs."""


# Who did what with the caller's runs.


class AuditList(AuditPage):
    """A page of what was done with runs."""


class AuditFilters(Body):
    """Which entries; what is left out does not matter."""

    model_config = ConfigDict(strict=False)

    kind: list[Act] = Field(
        default_factory=list, description="Of one of these; any when there are none."
    )
    run_id: Name | None = Field(None, description="About this run, removed or not.")
    since: Moment | None = Field(None, description="At this time or later.")
    before: Moment | None = Field(None, description="Before this time.")
    limit: PageSize = Field(PAGE, description="Most entries of the answer.")
    cursor: Name | None = Field(None, description=CURSOR)

    def query(self) -> AuditQuery:
        """As the storage knows it."""
        kinds = tuple(sorted(set(self.kind)))
        return AuditQuery(kinds=kinds, run_id=self.run_id, since=self.since, before=self.before)


audit_router = APIRouter(route_class=StrictRoute, tags=["server"])


@audit_router.get(
    "/audit",
    response_class=JSONResponse,
    responses={
        200: answered(AuditList, "A page of entries."),
        **problems(InvalidCursor, StorageUnavailable),
    },
)
async def list_audit(
    asked: Annotated[AuditFilters, Query()], runs: RunsDep, owner: OwnerDep
) -> Response:
    """Who did what with runs, the latest first: ids, times and names, and nothing of the content.

    It is kept for as long as the run is, and after its removal for RUNWRIGHT_AUDIT_RETENTION days.
    """
    page = await runs.audit.page(asked.query(), owner=owner, limit=asked.limit, cursor=asked.cursor)
    return json_answer(page, AuditList)


# Threads: conversations of several runs, as a whole.


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

ThreadPageSize = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description=LIMIT)]
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
    limit: ThreadPageSize = PAGE,
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
    limit: ThreadPageSize = PAGE,
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
