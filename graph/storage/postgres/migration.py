"""Tables are brought to a program's version, beside a fleet that runs where that does it no harm.

The database has two numbers: the version of its tables, and, where earlier programs go on with
them, the oldest version of a program that does.
"""

from typing import Any

import psycopg

from graph.storage.postgres import schema
from graph.storage.postgres.connection import SCHEMA, Connection, execute
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
                await _upgrade(connection, place, present)
            except psycopg.errors.LockNotAvailable:
                raise StorageError(
                    f"{place} has tables that were in use for longer than {WAIT} s; nothing was"
                    " changed, run `runwright migrate` again"
                ) from None
    return present, max(present, schema.VERSION)


async def _upgrade(connection: Connection, place: str, present: int) -> None:
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
    oldest = _oldest() if _oldest() < schema.VERSION else None
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
