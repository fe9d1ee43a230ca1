"""LangGraph's saver and store on Postgres, over the tables that its SQLite ones have.

Checkpoints are read as LangGraph's SQLite saver does. Batches of the store are written all or not
at all. LangGraph's own one keeps values as `jsonb`, which makes another number of 1e22 and refuses
a text with a NUL: here they are kept as they are written. What is found by meaning is in none of
them.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson
import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_checkpoint_id,
    writes_sort_key,
)
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

from graph.storage.sql.checkpoints import FoldingSaver
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
from graph.storage.storage import strict_serializer
from tools.receipts import waits_for_disk

_PLACE = "thread_id, checkpoint_ns, checkpoint_id"

#: A checkpoint, and whether something was written after it, which is seldom so.
_CHECKPOINTS = f"""
    SELECT {_PLACE}, parent_checkpoint_id, type, checkpoint, metadata, EXISTS (
        SELECT 1 FROM writes WHERE writes.thread_id = checkpoints.thread_id
        AND writes.checkpoint_ns = checkpoints.checkpoint_ns
        AND writes.checkpoint_id = checkpoints.checkpoint_id
    ) FROM checkpoints
"""  # noqa: S608 - constants only

_WRITES = """
    SELECT checkpoint_id, task_id, channel, type, value, task_path, idx FROM writes
    WHERE thread_id = ? AND checkpoint_ns = ?
"""

#: So many ancestors are read at once, and the next ones where those do not suffice.
_AT_ONCE = 50

#: The ancestors of a checkpoint, the nearest first, itself included.
_ANCESTORS = f"""
    WITH RECURSIVE line (place, id, parent) AS (
        SELECT 0, checkpoint_id, parent_checkpoint_id FROM checkpoints
        WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?
        UNION ALL
        SELECT place + 1, checkpoint_id, parent_checkpoint_id FROM line JOIN checkpoints
        ON thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = parent
        WHERE place < {_AT_ONCE}
    )
    SELECT id, type, checkpoint FROM line JOIN checkpoints
    ON thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = id ORDER BY place
"""  # noqa: S608 - constants only


class _ReadingSaver(BaseCheckpointSaver[str]):
    """What a checkpointer reads."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(serde=strict_serializer())
        self._reader = reader

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        place = config["configurable"]
        values = [str(place["thread_id"]), place.get("checkpoint_ns", "")]
        which = "ORDER BY checkpoint_id DESC LIMIT 1"
        if checkpoint_id := get_checkpoint_id(config):
            which = "AND checkpoint_id = ?"
            values.append(checkpoint_id)
        sql = f"{_CHECKPOINTS} WHERE thread_id = ? AND checkpoint_ns = ? {which}"
        for row in await self._reader.execute_fetchall(sql, values):
            return await self._tuple(row, config if checkpoint_id else None)
        return None

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - its name there
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        given = {} if config is None else config["configurable"]
        values = {name: given.get(name) for name in _PLACE.split(", ")}
        held = [f"{name} = ?" for name, value in values.items() if value is not None]
        bounds = [str(value) for value in values.values() if value is not None]
        if before is not None:
            held.append("checkpoint_id < ?")
            bounds.append(str(get_checkpoint_id(before)))
        where = f" WHERE {' AND '.join(held)}" if held else ""
        among = f" LIMIT {int(limit)}" if limit is not None and not filter else ""
        sql = f"{_CHECKPOINTS}{where} ORDER BY checkpoint_id DESC{among}"
        count = 0
        for row in await self._reader.execute_fetchall(sql, bounds):
            found = await self._tuple(row, None)
            described = cast("dict[str, Any]", found.metadata)
            if all(described.get(name) == value for name, value in (filter or {}).items()):
                yield found
                count += 1
            if count == limit:
                return

    async def _tuple(self, row: Sequence[Any], config: RunnableConfig | None) -> CheckpointTuple:
        thread_id, namespace, checkpoint_id, parent, kind, packed, described, written = row
        writes: Iterable[Sequence[Any]] = ()
        if written:
            of_it = (thread_id, namespace, checkpoint_id)
            writes = await self._reader.execute_fetchall(f"{_WRITES} AND checkpoint_id = ?", of_it)
        return CheckpointTuple(
            config or _at(thread_id, namespace, checkpoint_id),
            self.serde.loads_typed((kind, packed)),
            cast("CheckpointMetadata", json.loads(described) if described is not None else {}),
            _at(thread_id, namespace, parent) if parent else None,
            [write for _, write in self._loaded(writes)],
        )

    def _loaded(self, rows: Iterable[Sequence[Any]]) -> Iterable[tuple[str, PendingWrite]]:
        """What was written after each checkpoint, in the order in which tasks are applied."""
        for row in sorted(rows, key=lambda row: writes_sort_key(row[5], row[1], row[6])):
            checkpoint_id, task_id, channel, kind, packed, *_ = row
            yield checkpoint_id, (task_id, channel, self.serde.loads_typed((kind, packed)))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        target = await self.aget_tuple(config)
        if target is None or not channels:
            return {channel: {"writes": []} for channel in channels}
        place = target.config["configurable"]
        where = str(place["thread_id"]), place.get("checkpoint_ns", "")
        lines, seeds = await self._walk(where, place["checkpoint_id"], channels)
        ancestors = [*dict.fromkeys(one for line in lines.values() for one in line)]
        marks = ", ".join("?" * len(channels)), ", ".join("?" * len(ancestors))
        among = f" AND channel IN ({marks[0]}) AND checkpoint_id IN ({marks[1]})"
        rows: Iterable[Sequence[Any]] = ()
        if ancestors:
            rows = await self._reader.execute_fetchall(
                _WRITES + among, (*where, *channels, *ancestors)
            )
        written: dict[tuple[str, str], list[PendingWrite]] = {}
        for checkpoint_id, write in self._loaded(rows):
            written.setdefault((write[1], checkpoint_id), []).append(write)
        history: dict[str, DeltaChannelHistory] = {}
        for channel, line in lines.items():
            added = [written.get((channel, one), []) for one in reversed(line)]
            history[channel] = {"writes": [write for writes in added for write in writes]}
            if channel in seeds:
                history[channel]["seed"] = seeds[channel]
        return history

    async def _walk(
        self, where: tuple[str, str], target: str, channels: Sequence[str]
    ) -> tuple[dict[str, list[str]], dict[str, Any]]:
        """The ancestors of a checkpoint up to the one that has each channel whole, and its value
        there."""
        lines: dict[str, list[str]] = {channel: [] for channel in channels}
        seeds: dict[str, Any] = {}
        known, begin = {target}, target
        while True:
            rows = [
                *await self._reader.execute_fetchall(_ANCESTORS, (*where, begin, *where, *where))
            ][1:]
            for checkpoint_id, kind, packed in rows:
                if checkpoint_id in known or len(seeds) == len(lines):
                    return lines, seeds
                known.add(checkpoint_id)
                begin = checkpoint_id
                values = self.serde.loads_typed((kind, packed)).get("channel_values") or {}
                for channel in lines.keys() - seeds.keys():
                    lines[channel].append(checkpoint_id)
                    if channel in values:
                        seeds[channel] = values[channel]
            if len(rows) < _AT_ONCE:
                return lines, seeds


def _at(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": namespace,
            "checkpoint_id": checkpoint_id,
        }
    }


class PostgresSaver(FoldingSaver, _ReadingSaver):
    """Reads on any connection, and writes on the one of this process."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        super().__init__(reader, writer, reader)


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
