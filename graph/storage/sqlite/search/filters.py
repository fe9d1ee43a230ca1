"""A page of runs on SQLite, walked to in its order while it is near.

Most pages are full after a few steps. Where hardly any of the runs that come first are sought, a
walk would go through all of them, each looked up by itself: it ends early, and the page is looked
for otherwise.
"""

from typing import Any

from graph.storage.search import Position, Search
from graph.storage.sql.filters import KEYS, Condition, conditions, of_status
from graph.storage.sqlite.search.searcher import Searcher

_INDEXES = {"duration": "runs_by_duration", "cost": "runs_by_cost"}

#: Steps after which it is seen whether the page is near, and the most that are taken to it.
FIRST, STEPS = 30, 300


#: What is asked about, without the prompt: that may be long.
_ASKED = (
    "number, status, created_at, planner, model, tools, usd, retries, taken_up, duration, metadata,"
    " rounds, thread_id"
)


async def walk(searcher: Searcher, owner: str, search: Search) -> list[Position] | None:
    """The places of one page and one more; None when they are not near, or not to be walked to."""
    if search.sort == "time" or (search.after is not None and search.after.key is None):
        return None
    for steps in (FIRST, STEPS):
        rows = await searcher.fetch(owner, *_path(owner, search, steps))
        places = [Position(key=key, number=number) for key, number in rows]
        if len(places) > search.limit:
            return places
        if len(places) * STEPS < search.limit * steps:  # too far, at this rate
            break
    return None


def _path(owner: str, search: Search, steps: int) -> Condition:
    """So many steps from where the page begins, and of these the runs that are sought."""
    key = KEYS[search.sort]
    direction, beyond = ("DESC", "<") if search.descending else ("ASC", ">")
    begin, begun = "", list[Any]()
    if search.after is not None:
        begin = f" AND ({key}, number) {beyond} (?, ?)"
        begun = [search.after.key, search.after.number]
    condition, values = conditions(search)
    status, statuses = of_status(search)
    path = (
        f"SELECT {key}, number FROM"  # noqa: S608 - constants only
        f" (SELECT {_ASKED} FROM runs INDEXED BY {_INDEXES[search.sort]}"
        f" WHERE owner = ? AND {key} IS NOT NULL{begin}"
        f" ORDER BY {key} {direction}, number {direction} LIMIT ?)"
        f" WHERE 1{condition}{status} LIMIT ?"
    )
    return path, [owner, *begun, steps, *values, *statuses, search.limit + 1]
