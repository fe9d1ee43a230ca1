"""A SQLite installation moves to Postgres: every row of every table, in one transaction.

The tables have the same columns, so nothing is read into runs and written anew: what is there
afterwards is what was there before, byte by byte.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph.storage.postgres.connection import Connection, execute
from graph.storage.postgres.search import row_of_words
from graph.storage.storage import StorageError

#: The tables, and those of their columns that count by themselves.
TABLES: Mapping[str, str | None] = {
    "owners": "ordinal",
    "runs": "rowid",
    "threads": None,
    "request_keys": None,
    "spending": None,
    "spending_held": None,
    "webhooks": None,
    "outbox": "number",
    "audit": "number",
    "checkpoints": None,
    "writes": None,
    "store": None,
}

#: What runs make themselves: it comes with its rows, and is not made for them once more.
_TRIGGERS_OFF = "ALTER TABLE runs DISABLE TRIGGER USER"
_TRIGGERS_ON = "ALTER TABLE runs ENABLE TRIGGER USER"


@dataclass(frozen=True)
class Moved:
    """How many runs, checkpoints and things in the store were moved."""

    runs: int
    checkpoints: int
    stored: int


async def move(source: Path, connection: Connection, place: str) -> Moved:
    """Copy what a file has, which nobody writes meanwhile, into tables in which nothing is.

    Raises `StorageError` where something is, `sqlite3.Error` and `psycopg.Error`; nothing was
    copied then.
    """
    with closing(_reading(source)) as file:
        async with connection.transaction():
            await _check_empty(connection, place)
            await execute(connection, _TRIGGERS_OFF)
            counts = {table: await _copy(file, connection, table) for table in TABLES}
            await execute(connection, _TRIGGERS_ON)
            for table, counted in TABLES.items():
                if counted:
                    await _go_on_counting(connection, table, counted)
        await execute(connection, "ANALYZE")
    return Moved(counts["runs"], counts["checkpoints"], counts["store"])


def _reading(source: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)


async def _check_empty(connection: Connection, place: str) -> None:
    for table in TABLES:
        cursor = await execute(connection, f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608 - constants only
        if await cursor.fetchone():
            raise StorageError(
                f"{place} is not empty: it has {table}; move into a database that has nothing"
            )


async def _copy(file: sqlite3.Connection, connection: Connection, table: str) -> int:
    """Copy one table; the number of its rows."""
    cursor = await execute(
        connection,
        "SELECT column_name, data_type FROM information_schema.columns WHERE is_generated = 'NEVER'"
        " AND table_schema = current_schema() AND table_name = ? ORDER BY ordinal_position",
        [table],
    )
    kinds: dict[str, str] = dict(await cursor.fetchall())
    columns = [name for name in kinds if name != "words"]
    listed = ", ".join([*columns, *(["words"] if "words" in kinds else [])])
    count = 0
    async with (
        connection.cursor() as copying,
        copying.copy(f"COPY {table} ({listed}) FROM STDIN".encode()) as copy,
    ):
        for row in _rows(file, table, columns):
            values = [
                _CONVERTED.get(kinds[name], _same)(value)
                for name, value in zip(columns, row, strict=True)
            ]
            if "words" in kinds:
                values.append(row_of_words(str(values[columns.index("prompt")])))
            await copy.write_row(values)
            count += 1
    return count


def _rows(
    file: sqlite3.Connection, table: str, columns: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    sorted_by = "rowid" if table == "runs" else "1"
    yield from file.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {sorted_by}")  # noqa: S608 - names of columns


def _same(value: Any) -> Any:
    return value


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _moment(value: Any) -> Any:
    """A moment of SQLite's, which is in UTC and does not say so, or of Python's, which does."""
    return f"{value}+00" if isinstance(value, str) and "+" not in value else value


_CONVERTED: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "bytea": _bytes,
    "boolean": lambda value: None if value is None else bool(value),
    "timestamp with time zone": _moment,
    "double precision": lambda value: None if value is None else float(value),
}


async def _go_on_counting(connection: Connection, table: str, column: str) -> None:
    """Let the next row be counted after those that came."""
    await execute(
        connection,
        f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'),"  # noqa: S608 - constants only
        f" coalesce(max({column}), 0) + 1, false) FROM {table}",
    )
