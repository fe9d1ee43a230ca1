"""Under which conditions a new run is written: there is room for it, and its key is free."""

from collections.abc import Callable, Sequence
from typing import Any

from graph.state.row import KEPT, IdempotencyKey, Quota, RunRow
from graph.storage.sql.statements import Statement
from graph.storage.sql.threads import THREAD_HAS_ENDED, THREAD_IS_KEPT

#: What is kept of a run, in bytes. Of what is large, only the length is read.
BYTES = """
    length(CAST(prompt AS BLOB))
    + (SELECT coalesce(sum(length(checkpoint) + length(metadata)), 0) FROM checkpoints
        WHERE thread_id = run_id)
    + (SELECT coalesce(sum(length(value)), 0) FROM writes WHERE thread_id = run_id)
"""

KEPT_OF = "SELECT runs, bytes FROM owners WHERE owner = ?"

#: Holds where another run, and another fork, may be kept.
_ROOM = """
    NOT EXISTS (SELECT 1 FROM owners WHERE owner = ?
        AND (runs >= coalesce(nullif(?, 0), 1e18) OR bytes >= coalesce(nullif(?, 0), 1e18)))
"""

_FORK_ROOM = " AND (SELECT count(*) FROM runs WHERE forked_from = ?) < ?"


def room_for(row: RunRow, quota: Quota) -> tuple[str, tuple[Any, ...]]:
    """The condition that a run may be kept beside what there is, and its values."""
    room = _ROOM
    bounds: tuple[Any, ...] = (row.owner, quota.runs, quota.bytes)
    if row.forked_from is not None and quota.forks:
        room, bounds = room + _FORK_ROOM, (*bounds, row.forked_from, quota.forks)
    if row.thread_id is not None:
        room, bounds = room + THREAD_IS_KEPT, (*bounds, row.thread_id, row.owner)
    if row.alone:
        room, bounds = room + THREAD_HAS_ENDED, (*bounds, row.thread)
    return room, bounds


# Idempotency keys: a run and its key are written in one transaction, or neither is.


#: How many keys whose time is over are removed whenever one is added, so that they do not pile up.
_SWEPT = 100

FIND_KEY = (
    "SELECT run_id, fingerprint FROM request_keys WHERE owner = ? AND name = ? AND created_at > ?"
)

_FREE_KEY = "DELETE FROM request_keys WHERE owner = ? AND name = ? AND created_at <= ?"

_SWEEP_KEYS = """
    DELETE FROM request_keys WHERE (owner, name) IN
    (SELECT owner, name FROM request_keys WHERE created_at <= ? ORDER BY created_at LIMIT ?)
"""

_TAKE_KEY = "INSERT INTO request_keys SELECT ?, ?, ?, ?, ? WHERE {} ON CONFLICT DO NOTHING"


#: What writes a run where a condition with these values holds; the last statement does, or not.
Inserting = Callable[[str, Sequence[Any]], Sequence[Statement]]


def taking(
    row: RunRow, key: IdempotencyKey, inserting: Inserting, room: tuple[str, tuple[Any, ...]]
) -> tuple[Statement, ...]:
    """What writes a run together with its key, or nothing where the key is taken or no `room`.

    The last statement changes a row if it was free.
    """
    over = row.created_at - KEPT
    named = (row.owner, key.name)
    return (
        (_FREE_KEY, (*named, over)),
        (_SWEEP_KEYS, (over, _SWEPT)),
        (
            _TAKE_KEY.format(room[0]),
            (*named, key.fingerprint, row.run_id, row.created_at, *room[1]),
        ),
        *inserting(_HAS_KEY, (*named, row.run_id)),
    )


_HAS_KEY = "EXISTS (SELECT 1 FROM request_keys WHERE owner = ? AND name = ? AND run_id = ?)"
