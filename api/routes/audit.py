"""Who did what with the caller's runs."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field

from api.openapi import problems
from api.parameters import OwnerDep, RunsDep, StrictRoute
from api.routes.search import CURSOR, PAGE, Moment, Name, PageSize
from api.schemas import Body
from api.views import answered, json_answer
from graph.storage.audit import Act, AuditPage, AuditQuery
from graph.storage.pages import InvalidCursor
from graph.storage.storage import StorageUnavailable


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
