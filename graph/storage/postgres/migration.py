"""Tables are brought to a program's version, and filled from those of a SQLite file.

They are brought to a version beside a fleet that runs where that does it no harm. The database has
two numbers: the version of its tables, and, where earlier programs go on with them, the oldest
version of a program that does.

A SQLite installation is moved with every row of every table, in one transaction. The tables have
the same columns, so nothing is read into runs and written anew: what is there afterwards is what
was there before, byte by byte.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from graph.storage.postgres import schema
from graph.storage.postgres.connection import SCHEMA, Connection, execute
from graph.storage.postgres.index import row_of_words
from graph.storage.postgres.ownership import APPLICATION, OWNER, TABLES
from graph.storage.storage import StorageError

#: How long a change of tables waits for who uses them, and holds up all who come after, seconds.
WAIT = 3


async def migrate(connection: Connection, place: str, *, owned: bool) -> tuple[int, int]:
    """Bring the tables to this program's version, in one transaction; the versions before and now.

    Two at once do it once: the second one waits. Unless this process has `owned` the database,
    nobody may while tables change in a way that programs of before do not go on with. Raises
    `StorageError` where somebody does, or the tables are of a newer program, and `psycopg.Error`.
    """
    async with connection.transaction():
        await execute(connection, f"SELECT pg_advisory_xact_lock({APPLICATION}, {TABLES})")
        present, oldest = await _versions(connection)
        if oldest > schema.VERSION:
            raise StorageError(
                f"{place} has version {present} and was written by a newer Runwright; this one"
                f" reads up to version {schema.VERSION}: upgrade it or choose another database"
            )
        if 0 < present < _oldest() and not owned:
            lock = f"SELECT pg_try_advisory_xact_lock({APPLICATION}, {OWNER})"
            [free] = await _row(connection, lock)
            if not free:
                raise StorageError(
                    f"{place} has tables of an earlier version, which are in use: stop all its"
                    " servers and workers, then run `runwright migrate`"
                )
        if present < schema.VERSION:
            try:
                await _upgrade(connection, place, present, oldest)
            except psycopg.errors.LockNotAvailable:
                raise StorageError(
                    f"{place} has tables that were in use for longer than {WAIT} s; nothing was"
                    " changed, run `runwright migrate` again"
                ) from None
    return present, max(present, schema.VERSION)


async def _upgrade(connection: Connection, place: str, present: int, earliest: int) -> None:
    if not present:
        [encoding] = await _row(connection, "SELECT current_setting('server_encoding')")
        if encoding != "UTF8":
            raise StorageError(f"{place} keeps text in {encoding}; make a database with UTF8")
        # Who may make no schema in the database may be given one.
        [missing] = await _row(connection, f"SELECT to_regnamespace('{SCHEMA}') IS NULL")
        if missing:
            await execute(connection, f"CREATE SCHEMA {SCHEMA}")
        await execute(
            connection,
            "CREATE TABLE version (number integer NOT NULL); INSERT INTO version VALUES (0)",
        )
    await execute(connection, f"SET LOCAL lock_timeout = '{WAIT}s'")
    for step in schema.MIGRATIONS[present:]:
        for statements in step:
            sql = statements if isinstance(statements, str) else statements()
            await execute(connection, sql)
    await execute(connection, "ALTER TABLE version ADD COLUMN IF NOT EXISTS oldest integer")
    oldest = max(_oldest(), earliest)  # what came from a file keeps programs out for good
    values = [schema.VERSION, oldest]
    await execute(connection, "UPDATE version SET number = ?, oldest = ?", values)


def _oldest() -> int:
    """The version of the earliest program that goes on with the tables of this one."""
    oldest = schema.VERSION
    while oldest in schema.BESIDE:
        oldest -= 1
    return oldest


async def _versions(connection: Connection) -> tuple[int, int]:
    """The version of the tables, and of the earliest program that goes on with them.

    0 where there are none. Raises `psycopg.Error`.
    """
    [there] = await _row(connection, f"SELECT to_regclass('{SCHEMA}.version') IS NOT NULL")
    if not there:
        return 0, 0
    # The second has a column since the first program that needs one, or was made of late.
    oldest = "coalesce((to_jsonb(version)->>'oldest')::integer, number)"
    number, earliest = await _row(connection, f"SELECT number, {oldest} FROM version")  # noqa: S608 - constants only
    return int(number), int(earliest)


async def _row(connection: Connection, sql: str) -> tuple[Any, ...]:
    row = await (await execute(connection, sql)).fetchone()
    assert row is not None
    return tuple(row)


#: The tables, and those of their columns that count by themselves.
MOVED_TABLES: Mapping[str, str | None] = {
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
            counts = {table: await _copy(file, connection, table) for table in MOVED_TABLES}
            await execute(connection, _TRIGGERS_ON)
            no_earlier = "UPDATE version SET oldest = greatest(oldest, ?)"
            await execute(connection, no_earlier, [schema.OF_FILES])
            for table, counted in MOVED_TABLES.items():
                if counted:
                    await _go_on_counting(connection, table, counted)
        await execute(connection, "ANALYZE")
    return Moved(counts["runs"], counts["checkpoints"], counts["store"])


def _reading(source: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)


async def _check_empty(connection: Connection, place: str) -> None:
    for table in MOVED_TABLES:
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
