"""Lists, a page at a time: which runs are looked for, and who did what with the caller's."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.openapi import problems
from api.parameters import OwnerDep, RunsDep, StrictRoute
from api.schemas import LONGEST_NAME, Body, Metadata, Text, whole
from api.views import answered, json_answer
from graph.runs.accept import LONGEST_VALUE, METADATA_KEY, MOST_PAIRS
from graph.state import Status
from graph.state.row import Planner
from graph.storage.changes import Act, AuditPage, AuditQuery
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


router = APIRouter(route_class=StrictRoute, tags=["server"])


@router.get(
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
