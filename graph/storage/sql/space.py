"""Room for runs: under which conditions a new one is written, and how settled ones are removed.

A new one needs room, and its key has to be free. Of those that are removed nothing is left, or all.
"""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from graph.state.row import KEPT, IdempotencyKey, Quota, RunArtifacts, RunRow
from graph.state.status import SETTLED
from graph.storage.sql.changes import REMOVED
from graph.storage.sql.statements import JsonLists, Statement, Writer, listed
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


#: Every table that has rows of runs besides `runs`, and the column that names the run.
TABLES = {"checkpoints": "thread_id", "writes": "thread_id"}


class SqlDeletion:
    """Removes runs through the process's one writer; the room that becomes free is used again."""

    def __init__(self, writer: Writer, lists: JsonLists) -> None:
        self._writer = writer
        # Those that are still settled when it comes to it: a run may have been told to go on
        # meanwhile, and have come to another end, of which its receipts are not known.
        self._settled = f"""
            SELECT run_id FROM ({lists.pairs}) AS artifact JOIN runs
            ON run_id = artifact.id AND runs.generation = artifact.generation
            WHERE status IN ({listed(SETTLED)})
        """  # noqa: S608 - constants only
        # Receipts of these step keys.
        self._receipts = (
            f"DELETE FROM store WHERE prefix IN ({lists.values}) AND key IN ({lists.values})"  # noqa: S608 - constants only
        )
        # Holds where a thread has no other runs than these, and all of them are settled.
        self._whole = f"""
            (SELECT count(*) FROM runs WHERE thread_id = ?)
            = (SELECT count(*) FROM ({self._settled}) AS ended)
        """  # noqa: S608 - constants only

    async def __call__(
        self, runs: Sequence[RunArtifacts], thread_id: str | None = None, *, by: str = "server"
    ) -> int:
        """Remove these runs, those of them that are settled; how many that were.

        With a thread all of them, or none unless that has no others.
        """
        ids, noted = _named(*runs), (time.time(), by)
        if thread_id is not None:
            return await self._remove_thread(thread_id, runs, ids, noted)
        return await self._writer.write(
            (f"{REMOVED} ({self._settled})", (*noted, ids)),
            *(self._receipts_of(run) for run in runs if run.step_keys),
            *(
                (f"DELETE FROM {table} WHERE {column} IN ({self._settled})", (ids,))  # noqa: S608 - constants only
                for table, column in TABLES.items()
            ),
            (f"DELETE FROM runs WHERE run_id IN ({self._settled})", (ids,)),  # noqa: S608 - constants only
        )

    async def _remove_thread(
        self, thread_id: str, runs: Sequence[RunArtifacts], ids: str, noted: tuple[float, str]
    ) -> int:
        # Each condition is looked at once, before its statement removes anything; the runs that it
        # counts are the last to go.
        keys = json.dumps([key for run in runs for key in run.step_keys])
        prefixes = json.dumps(sorted({".".join(one) for run in runs for one in run.receipts}))
        whole = (thread_id, ids)
        return await self._writer.write(
            (f"{REMOVED} ({self._settled}) AND {self._whole}", (*noted, ids, *whole)),
            (f"{self._receipts} AND {self._whole}", (prefixes, keys, *whole)),
            *(
                (
                    f"DELETE FROM {table} WHERE {column} IN ({self._settled}) AND {self._whole}",  # noqa: S608 - constants only
                    (ids, *whole),
                )
                for table, column in (TABLES | {"runs": "run_id"}).items()
            ),
            durable=True,
        )

    def _receipts_of(self, run: RunArtifacts) -> Statement:
        keys = json.dumps(run.step_keys)
        prefixes = json.dumps([".".join(one) for one in run.receipts])
        return f"{self._receipts} AND EXISTS ({self._settled})", (prefixes, keys, _named(run))


def _named(*runs: RunArtifacts) -> str:
    return json.dumps([[run.run_id, run.generation] for run in runs])
