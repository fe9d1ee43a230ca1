"""The books about runs: who did what, what is to be posted, who has room, and what is removed.

Triggers on the table of runs write down who did what and what is to be posted, in the transaction
of the change. What is no change of a run's row writes its own entry, in its transaction.

A new run needs room, and its key has to be free. Of those that are removed nothing is left, or all.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from graph.settings.configured import site_of
from graph.state import Status
from graph.state.row import KEPT, IdempotencyKey, Quota, RunArtifacts, RunRow
from graph.state.status import SETTLED
from graph.storage.records import AuditEntry, AuditQuery, Delivery, Undelivered
from graph.storage.sql.owners import THREAD_HAS_ENDED, THREAD_IS_KEPT
from graph.storage.sql.statements import Fetch, JsonLists, Reader, Statement, Writer, listed

#: An endpoint was told, which is named, of the message with this number.
DELIVERED = """
    INSERT INTO audit (at, owner, run_id, kind, actor)
    SELECT ?, owner, run_id, 'webhook', ? FROM outbox JOIN runs USING (run_id)
    WHERE outbox.number = ?
"""

#: Runs of a list are removed; a condition follows.
REMOVED = """
    INSERT INTO audit (at, owner, run_id, kind, actor)
    SELECT ?, owner, run_id, 'delete', ? FROM runs WHERE run_id IN
"""

_OF_REMOVED = """
    DELETE FROM audit WHERE run_id IN
    (SELECT run_id FROM audit WHERE kind = 'delete' AND at < ? ORDER BY at LIMIT ?)
"""

#: The kind of a run's first entry, and that of an answer by what it says.
FIRST_ENTRY = "CASE WHEN {0}forked_from IS NULL THEN 'post' ELSE 'fork' END"
ANSWER = """
    CASE {0} WHEN 'approved' THEN 'approve' WHEN 'rejected' THEN 'reject'
    WHEN 'expired' THEN 'expire' ELSE 'resolve' END
"""


class SqlAudit:
    """Reads as searches do, by `fetch`, and writes through the process's one writer."""

    def __init__(self, fetch: Fetch, writer: Writer) -> None:
        self._fetch = fetch
        self._writer = writer

    async def page(
        self, owner: str | None, query: AuditQuery, *, limit: int, before: int | None
    ) -> tuple[Sequence[AuditEntry], int | None]:
        asked = {
            "owner = ?": owner,
            "number < ?": before,
            "run_id = ?": query.run_id,
            "at >= ?": query.since,
            "at < ?": query.before,
        }
        given = {condition: value for condition, value in asked.items() if value is not None}
        kinds = f"kind IN ({', '.join('?' * len(query.kinds))})"
        where = " AND ".join([*given, *([kinds] if query.kinds else [])]) or "TRUE"
        rows = await self._fetch(
            owner or "",
            f"SELECT number, at, owner, run_id, kind, actor FROM audit WHERE {where}"  # noqa: S608 - constants only
            " ORDER BY number DESC LIMIT ?",
            (*given.values(), *query.kinds, limit + 1),
        )
        entries = [
            AuditEntry(at=at, kind=kind, by=actor, owner=of, run_id=run_id)
            for _, at, of, run_id, kind, actor in rows[:limit]
        ]
        return entries, rows[limit - 1][0] if len(rows) > limit else None

    async def prune(self, moment: float, *, limit: int) -> int:
        return await self._writer.write((_OF_REMOVED, (moment, limit)))


#: One that stands behind an earlier one of its run and endpoint is not due, whenever that is.
_IS_FIRST = """
    NOT given_up AND NOT EXISTS (
        SELECT 1 FROM outbox AS earlier WHERE earlier.run_id = one.run_id
        AND earlier.endpoint = one.endpoint AND earlier.number < one.number
        AND NOT earlier.given_up
    )
"""

_DUE = f"""
    SELECT number, run_id, endpoint, status, at, attempts FROM outbox AS one
    WHERE due <= ? AND {_IS_FIRST} AND NOT EXISTS (
        SELECT 1 FROM ({{values}}) AS resting
        WHERE substr(endpoint || '/', 1, length(resting.value)) = resting.value
    ) ORDER BY number LIMIT ?
"""  # noqa: S608 - constants only

_NEXT_DUE = f"""
    SELECT due FROM outbox AS one WHERE due > ? AND {_IS_FIRST} ORDER BY due LIMIT 1
"""  # noqa: S608 - constants only

_UNDELIVERED = """
    SELECT endpoint, status, at, attempts, failure, given_up FROM outbox
    WHERE run_id = ? AND failure IS NOT NULL ORDER BY number
"""


_ANY_FAILED = "SELECT 1 FROM outbox WHERE failure IS NOT NULL LIMIT 1"


class SqlOutbox:
    """Reads as the index does, and writes through the process's one writer."""

    def __init__(self, reader: Reader, writer: Writer, lists: JsonLists) -> None:
        self._reader = reader
        self._writer = writer
        self._due = _DUE.format(values=lists.values)
        self.may_have_failed = True

    async def open(self) -> None:
        """Find out whether an earlier process has left anything that it tried without success."""
        rows = await self._reader.execute_fetchall(_ANY_FAILED)
        self.may_have_failed = bool([*rows])

    async def subscribe(self, endpoints: Mapping[str, Sequence[Status]]) -> None:
        known = await self._reader.execute_fetchall("SELECT endpoint, statuses FROM webhooks")
        wanted = {url: json.dumps(statuses) for url, statuses in endpoints.items()}
        if dict(map(tuple, known)) != wanted:
            await self._writer.write(
                ("DELETE FROM webhooks", ()),
                *(("INSERT INTO webhooks VALUES (?, ?)", pair) for pair in wanted.items()),
                durable=True,
            )

    async def due(
        self, now: float, *, limit: int, without: Collection[str] = ()
    ) -> Sequence[Delivery]:
        values = (now, json.dumps([*without]), limit)
        rows = await self._reader.execute_fetchall(self._due, values)
        return [Delivery(*row) for row in rows]

    async def take(self, number: int, now: float) -> bool:
        return True  # nobody else posts

    async def next_due(self, *, after: float) -> float | None:
        rows = await self._reader.execute_fetchall(_NEXT_DUE, (after,))
        return next((float(moment) for (moment,) in rows), None)

    async def delivered(self, one: Delivery) -> None:
        values = (time.time(), site_of(one.endpoint), one.number)
        delete = "DELETE FROM outbox WHERE number = ?"
        await self._writer.write((DELIVERED, values), (delete, (one.number,)))

    async def postpone(self, number: int, *, until: float, failure: str) -> None:
        self.may_have_failed = True
        await self._writer.write(
            (
                "UPDATE outbox SET due = ?, failure = ?, attempts = attempts + 1 WHERE number = ?",
                (until, failure, number),
            )
        )

    async def give_up(self, number: int, *, failure: str) -> None:
        self.may_have_failed = True
        await self._writer.write(
            (
                "UPDATE outbox SET given_up = TRUE, failure = ?, attempts = attempts + 1"
                " WHERE number = ?",
                (failure, number),
            )
        )

    async def undelivered(self, run_id: str) -> Sequence[Undelivered]:
        rows = await self._reader.execute_fetchall(_UNDELIVERED, (run_id,))
        return [Undelivered(*row) for row in rows]


# Room for runs, and their removal.


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
