"""What is sent to a database, and who takes it: statements, batches of LangGraph's store.

They are put as SQLite reads them. Where Postgres reads them otherwise they are `translated`: the
marks of values, hints about indexes, and the length of a text in bytes. What a search asks is here
as conditions over the columns of the run index, and what earlier versions have written is brought
to what is written today.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any, Protocol, cast

import orjson
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointTuple,
    PendingWrite,
)
from langgraph.store.base import BaseStore, Op, Result

from graph.state import Status, split
from graph.state.run import DETAILS
from graph.state.status import STATUSES
from graph.storage.search import Search

#: SQL with a `?` for each value.
Statement = tuple[str, Sequence[Any]]

#: The numbers of one owner's runs follow each other, those of the next begin so much further on:
#: a part of the index for words by itself, and no number tells how many runs others have.
NUMBERS = 2**32


class Writer(Protocol):
    """Writes what is submitted, in that order."""

    async def write(self, *statements: Statement, durable: bool = False) -> int:
        """Write the statements in one transaction; how many rows the last one changed.

        The death of the process after this returned loses nothing; a power cut may, unless it was
        `durable`. A caller that is cancelled does not undo its write. Raises the backend's error,
        or `ValueError` for a value that it cannot hold, and then nothing of it was written.
        """


class Reader(Protocol):
    """Reads one statement at a time."""

    async def execute_fetchall(
        self, sql: str, parameters: Iterable[Any] = (), /
    ) -> Iterable[Sequence[Any]]:
        """The rows of a statement."""


class LoopStore(BaseStore):
    """A store whose batches are executed in the event loop that it was made in."""

    supports_ttl = True

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """The same for a tool in a thread of its own.

        Raises `asyncio.InvalidStateError` on the loop's thread, which would wait for itself.
        """
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            raise asyncio.InvalidStateError("call `abatch`, `aget`, … where the event loop runs")
        return asyncio.run_coroutine_threadsafe(self.abatch(ops), self._loop).result()


#: What makes an item of the store, as `item_of` reads it.
ITEM_COLUMNS = "prefix, key, value, created_at, updated_at"

#: The item with a key in a namespace.
ONE_ITEM = f"SELECT {ITEM_COLUMNS} FROM store WHERE prefix = ? AND key = ?"  # noqa: S608 - constants only


def within(ordering: str) -> str:
    """The items in a namespace and in those below it; its values are `bounds_of` that."""
    condition = "prefix = ? OR (prefix > ? AND prefix < ?)"
    return f"SELECT {ITEM_COLUMNS} FROM store WHERE {condition} {ordering}"  # noqa: S608 - constants only


def bounds_of(namespace: Sequence[str]) -> tuple[str, str, str]:
    """The namespace, and between which those below it lie: a `/` comes after the `.` in bytes."""
    path = ".".join(namespace)
    return path, f"{path}.", f"{path}/"


def item_of(kind: type[Any], row: Sequence[Any]) -> Any:
    """An item of the store, or one that a search has found."""
    prefix, key, value, created_at, updated_at = row
    return kind(
        namespace=tuple(prefix.split(".")),
        key=key,
        value=orjson.loads(value),
        created_at=created_at,
        updated_at=updated_at,
    )


@dataclass(frozen=True)
class JsonLists:
    """How a backend reads lists out of JSON text that is given as a value.

    `pairs` is a query for `id` and `generation`, `values` one for texts.
    """

    pairs: str
    values: str


#: The rows of a statement that takes an owner's turn among those who search.
Fetch = Callable[[str, str, Sequence[Any]], Awaitable[Sequence[tuple[Any, ...]]]]


def listed(statuses: Collection[Status]) -> str:
    """Statuses as a list of SQL, in the order that the table of statuses has."""
    return ", ".join(f"'{status}'" for status in STATUSES if status in statuses)


# What a search asks, as SQL over the columns of the run index.


#: What each order sorts by before the number.
KEYS = {"time": "NULL", "duration": "duration", "cost": "usd"}

_FILTERS = (
    ("tool", "instr(tools, ?) > 0"),
    ("planner", "planner = ?"),
    ("model", "model = ?"),
    ("created_from", "created_at >= ?"),
    ("created_before", "created_at < ?"),
    ("min_usd", "usd >= ?"),
    ("max_usd", "usd <= ?"),
    ("min_retries", "retries >= ?"),
    ("max_retries", "retries <= ?"),
    ("min_rounds", "rounds >= ?"),
    ("max_rounds", "rounds <= ?"),
    ("taken_up", "(taken_up > 0) = ?"),
    ("thread_id", "thread_id = ?"),
)

Condition = tuple[str, list[Any]]


def conditions(search: Search) -> Condition:
    """What holds for the runs sought, but for their status and words."""
    given = [(sql, getattr(search, name)) for name, sql in _FILTERS]
    present = [(sql, value) for sql, value in given if value is not None]
    values = [json.dumps(search.tool) if "tools" in sql else value for sql, value in present]
    # In JSON a quote within a key or a value is escaped, so that this is a whole pair.
    pairs = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in search.metadata]
    held = " AND instr(metadata, ?) > 0" * len(pairs)
    return "".join(f" AND {sql}" for sql, _ in present) + held, values + pairs


def of_status(search: Search) -> Condition:
    """That the runs sought have one of these statuses."""
    if not search.statuses:
        return "", []
    return f" AND status IN ({', '.join('?' * len(search.statuses))})", [*search.statuses]


def beginning(search: Search, column: str) -> Condition:
    """What comes after the position that the search goes on from."""
    if search.after is None:
        return "", []
    direction, key, number = (
        "<" if search.descending else ">",
        search.after.key,
        search.after.number,
    )
    if key is None:
        unknown = "" if search.sort == "time" else f" AND {column} IS NULL"
        return f"{unknown} AND number {direction} ?", [number]
    return f" AND ({column} IS NULL OR ({column}, number) {direction} (?, ?))", [key, number]


def ordering(search: Search) -> str:
    """The order of a page."""
    direction = "DESC" if search.descending else "ASC"
    return (
        f"number {direction}"
        if search.sort == "time"
        else f"key {direction} NULLS LAST, number {direction}"
    )


# The same for Postgres.


_HINT = re.compile(r" INDEXED BY \w+")
_LENGTH = re.compile(r"length\(CAST\((\w+) AS BLOB\)\)")


@lru_cache(maxsize=2_000)
def translated(sql: str) -> str:
    """SQL as Postgres reads it: other marks for values, no hints, other names of two functions."""
    sql = _LENGTH.sub(r"octet_length(\1)", _HINT.sub("", sql)).replace("instr(", "strpos(")
    return sql.replace("%", "%%").replace("?", "%s")


#: The types that values have as literals, by which the database chooses functions and operators;
#: those of others follow from where they stand.
_LITERALS = {bool: "boolean", float: "numeric", bytes: "bytea"}


def type_of(value: Any) -> str:
    """The type of a value as Postgres has it."""
    if type(value) is not int:
        return _LITERALS.get(type(value), "unknown")
    if -(2**31) <= value < 2**31:
        return "integer"
    return "bigint" if -(2**63) <= value < 2**63 else "numeric"


def preparing(name: bytes, sql: str, *types: str) -> bytes:
    """What prepares a statement in Postgres, where marks of values have numbers."""
    places = count(1)
    body = re.sub(
        "%[%s]", lambda mark: f"${next(places)}" if mark[0] == "%s" else "%", translated(sql)
    )
    given = f"({', '.join(types)})" if types else ""
    return b"PREPARE %s%s AS %s" % (name, given.encode(), body.encode())


# Checkpoints of earlier versions, which had a channel for every field of a run, as today's:
# LangGraph would read them as empty, without an error, since it knows its channels only.


#: The channel that has what `DETAILS` had.
_RUN = "run"

#: The channel of an input that no node has taken over.
START = "__start__"


def converted(found: CheckpointTuple) -> CheckpointTuple:
    """A checkpoint with what was written after it, over the channels of today."""
    checkpoint, writes = found.checkpoint, found.pending_writes
    if _is_earlier(checkpoint):
        found = found._replace(checkpoint=_as_today(checkpoint))
    if writes and any(channel in DETAILS for _, channel, _ in writes):
        found = found._replace(pending_writes=_writes_of_today(writes))
    return found


def _is_earlier(checkpoint: Checkpoint) -> bool:
    given = checkpoint["channel_values"].get(START)
    return not DETAILS.isdisjoint(checkpoint["channel_versions"]) or (
        isinstance(given, dict) and not DETAILS.isdisjoint(given)
    )


def _as_today(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint over the channels of today."""
    values = checkpoint["channel_values"]
    details = {name: value for name, value in values.items() if name in DETAILS}
    channels = {name: value for name, value in values.items() if name not in DETAILS}
    if details:
        channels[_RUN] = details
    if isinstance(given := channels.get(START), dict):
        channels[START] = split(given)
    return cast(
        "Checkpoint",
        {
            **checkpoint,
            "channel_values": channels,
            "channel_versions": _versions(checkpoint["channel_versions"]),
            "versions_seen": {
                node: _versions(seen) for node, seen in checkpoint["versions_seen"].items()
            },
            "updated_channels": _names(checkpoint.get("updated_channels")),
        },
    )


def _versions(versions: Mapping[str, Any]) -> ChannelVersions:
    """The versions, with that of `run` the latest of those that it stands for."""
    kept: ChannelVersions = {
        name: version for name, version in versions.items() if name not in DETAILS
    }
    if former := [version for name, version in versions.items() if name in DETAILS]:
        kept[_RUN] = max(former)
    return kept


def _names(names: Collection[str] | None) -> list[str] | None:
    if names is None:
        return None
    return sorted({_RUN if name in DETAILS else name for name in names})


def _writes_of_today(writes: Sequence[PendingWrite]) -> list[PendingWrite]:
    """The writes, with one write of `run` where a task has written fields that are in it."""
    joined: list[PendingWrite] = []
    details: dict[str, dict[str, Any]] = {}
    for task, channel, value in writes:
        if channel not in DETAILS:
            joined.append((task, channel, value))
            continue
        if task not in details:
            details[task] = {}
            joined.append((task, _RUN, details[task]))
        details[task][channel] = value
    return joined
