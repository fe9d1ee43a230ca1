"""What is left of an owner's day."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.answers import json_answer
from api.dependencies import OwnerDep, RunsDep
from api.openapi import problems
from api.strict_json import StrictRoute
from api.times import Time, rfc3339
from graph.models.daily_budget import Account
from graph.runs.reader import StorageUnavailable

router = APIRouter(route_class=StrictRoute, tags=["server"])


class DailyLimits(BaseModel):
    """The most that a day may cost; null is no limit."""

    usd: float | None = Field(description="US dollars.")
    tokens: int | None = Field(description="Tokens, read and written.")


class DaySpent(BaseModel):
    """What the day has cost so far."""

    usd: float | None = Field(description="US dollars; null when a price is not known.")
    tokens: int = Field(description="Tokens, read and written.")
    calls: int = Field(description="Calls of models that were paid for.")


class BudgetAnswer(BaseModel):
    """The caller's budget of the day, which every owner has alone."""

    limit: DailyLimits = Field(description="The limits of a day.")
    spent: DaySpent | None = Field(
        description="What calls of models have cost today; null without a limit, since nothing is "
        "counted then."
    )
    renewed_at: Time = Field(description="When the next day begins: midnight, UTC.")


@router.get(
    "/budget",
    response_class=JSONResponse,
    responses={
        200: {"model": BudgetAnswer, "description": "The budget."},
        **problems(StorageUnavailable),
    },
)
async def read_budget(runs: RunsDep, owner: OwnerDep) -> Response:
    """What the caller may spend on planning by models today, and has spent.

    Where the next call does not fit into what is left, the pattern planner plans until the day
    ends.
    """
    return json_answer(present_account(await runs.account(owner)))


def present_account(account: Account) -> dict[str, object]:
    """An account as `BudgetAnswer` documents it."""
    limit, spent = account.limit, account.spent
    return {
        "limit": {"usd": limit.usd, "tokens": limit.tokens},
        "spent": spent and {"usd": spent.usd, "tokens": spent.tokens, "calls": spent.calls},
        "renewed_at": rfc3339(account.renewed_at),
    }
