"""LangGraph's store on Postgres, in batches that are written all or not at all.

LangGraph's own one keeps values as `jsonb`, which makes another number of 1e22 and refuses a text
with a NUL: here they are kept as they are written. What is found by meaning is in none of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg
from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)

from graph.storage.sql.statements import (
    ITEM_COLUMNS,
    ONE_ITEM,
    LoopStore,
    Reader,
    Statement,
    Writer,
    bounds_of,
    item_of,
    within,
)
from tools.receipts import waits_for_disk

_PUT = """
    INSERT INTO store (prefix, key, value, expires_at, ttl_minutes) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (prefix, key) DO UPDATE SET value = excluded.value,
        updated_at = clock_timestamp(), expires_at = excluded.expires_at,
        ttl_minutes = excluded.ttl_minutes
"""

_FORGET = "DELETE FROM store WHERE prefix = ? AND key = ?"

_ALL = f"SELECT {ITEM_COLUMNS} FROM store ORDER BY updated_at DESC, prefix, key"  # noqa: S608 - constants only

_BELOW = within("ORDER BY updated_at DESC, prefix, key")


class StoreUnreachable(psycopg.OperationalError, ConnectionError):
    """The database did not answer; to a tool it is what any lost connection is."""


class PostgresStore(LoopStore):
    """Reads on any connection, and writes on the one of this process."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        super().__init__()
        self._reader = reader
        self._writer = writer

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Read what is asked for as it was before this batch, then write what is to be written."""
        ops = list(ops)
        try:
            results = [await self._read(op) for op in ops]
            # Of several writes to one place the last one counts.
            puts = {(op.namespace, op.key): op for op in ops if isinstance(op, PutOp)}
            if puts:
                durable = any(map(waits_for_disk, puts.values()))
                await self._writer.write(*self._written([*puts.values()]), durable=durable)
        except psycopg.OperationalError as error:
            raise StoreUnreachable(*error.args) from error
        return results

    def _written(self, puts: Sequence[PutOp]) -> Sequence[Statement]:
        return [_written(one) for one in puts]

    async def _read(self, op: Op) -> Result:
        match op:
            case GetOp():
                place = text_of(op.namespace), op.key
                rows = await self._reader.execute_fetchall(ONE_ITEM, place)
                return next((item_of(Item, row) for row in rows), None)
            case SearchOp():
                return await self._search(op)
            case ListNamespacesOp():
                return await self._namespaces(op)
        return None

    async def _search(self, op: SearchOp) -> list[SearchItem]:
        among, bounds = "", list[int]()
        if not op.filter:
            among, bounds = " LIMIT ? OFFSET ?", [op.limit, op.offset]
        if op.namespace_prefix:
            values: list[Any] = [*bounds_of(op.namespace_prefix), *bounds]
            rows = await self._reader.execute_fetchall(_BELOW + among, values)
        else:
            rows = await self._reader.execute_fetchall(_ALL + among, bounds)
        found = [item_of(SearchItem, row) for row in rows]
        if op.filter:
            wanted = op.filter
            found = [item for item in found if _matches(item.value, wanted)]
            found = found[op.offset : op.offset + op.limit]
        return found

    async def _namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        rows = await self._reader.execute_fetchall("SELECT DISTINCT prefix FROM store")
        paths = {tuple(str(prefix).split(".")) for (prefix,) in rows}
        for condition in op.match_conditions or ():
            paths = {path for path in paths if _is_of(path, condition)}
        cut = sorted({path[: op.max_depth] for path in paths})
        return cut[op.offset : op.offset + op.limit]


def _written(op: PutOp) -> Statement:
    place = text_of(op.namespace), op.key
    if op.value is None:
        return _FORGET, place
    expires = None if op.ttl is None else datetime.now(UTC) + timedelta(minutes=op.ttl)
    return _PUT, (*place, orjson.dumps(dict(op.value)).decode(), expires, op.ttl)


def text_of(namespace: Sequence[str]) -> str:
    """A namespace as a row has it."""
    return ".".join(namespace)


_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda value, other: value == other,
    "$ne": lambda value, other: value != other,
    "$gt": lambda value, other: value is not None and value > other,
    "$gte": lambda value, other: value is not None and value >= other,
    "$lt": lambda value, other: value is not None and value < other,
    "$lte": lambda value, other: value is not None and value <= other,
}


def _matches(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a value has all that a filter names. Raises `ValueError` for an unknown operator."""
    for path, other in wanted.items():
        found: Any = value
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        if not isinstance(other, dict):
            other = {"$eq": other}
        for operator, bound in other.items():
            if operator not in _COMPARED:
                raise ValueError(f"Unsupported operator: {operator}")
            if not _COMPARED[operator](found, bound):
                return False
    return True


def _is_of(path: tuple[str, ...], condition: MatchCondition) -> bool:
    """Whether a namespace begins, or ends, as a condition says; a `*` stands for any one part."""
    wanted = tuple(condition.path)
    part = path[: len(wanted)] if condition.match_type == "prefix" else path[-len(wanted) :]
    if not wanted:
        return True
    return len(part) == len(wanted) and all(
        one in ("*", given) for one, given in zip(wanted, part, strict=True)
    )
