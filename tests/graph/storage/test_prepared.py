"""What is asked again and again is prepared, and answered as if it were not."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from graph.storage.postgres.connection import (
    MOST_PREPARED,
    PREPARED_FROM,
    Connection,
    PostgresReader,
    Prepared,
    beginning,
    connecting,
    execute,
    execute_all,
)
from tests.support.databases.postgres import PostgresServer

BEGINNING = (beginning(), ())


@pytest.fixture
async def connection(postgres: PostgresServer) -> AsyncIterator[Connection]:
    connection = await connecting(postgres.empty())()
    try:
        yield connection
    finally:
        await connection.close()


async def ask(connection: Connection, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    cursor = await execute_all(connection, BEGINNING, (sql, values))
    cursor.nextset()
    return list(await cursor.fetchall())


async def prepared(connection: Connection) -> list[str]:
    sql = "SELECT statement FROM pg_prepared_statements ORDER BY prepare_time"
    return [sql for (sql,) in await (await execute(connection, sql)).fetchall()]


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT ?::text, ? + 1, ? * 1.5", ("a 'b' \\ % ? ü", 1, 2)),
        ("SELECT ? + 1, ? + 1", (2**31, -(2**40))),
        ("SELECT ? + 1, ? + 1", (2**63 - 2, 2**70)),
        ("SELECT ? + 0.25, ? / 2, ?::float8", (0.1, 3, 1e300)),
        ("SELECT coalesce(?, 7), ?::text", (None, None)),
        ("SELECT ?, NOT ?", (True, False)),
        ("SELECT octet_length(?), ?", (b"\x00\xff", b"")),
        ("SELECT 2 = ANY(?), 'b' = ANY(?::varchar[])", ([1, 2], ["a", "b"])),
        ("SELECT ?::timestamptz", (datetime(2026, 1, 2, tzinfo=UTC),)),
        ("SELECT 'what' LIKE '%at_', ?::int", (1,)),
        ("WITH one AS (SELECT 1 AS n) SELECT n FROM one", ()),
    ],
)
async def test_an_answer_is_the_same_however_often_it_was_asked(
    connection: Connection, sql: str, values: Sequence[Any]
) -> None:
    answers = [await ask(connection, sql, *values) for _ in range(PREPARED_FROM + 6)]

    assert all(repr(one) == repr(answers[0]) for one in answers)
    assert len(await prepared(connection)) == 1


async def test_a_value_of_another_type_is_another_statement(connection: Connection) -> None:
    async def half(value: float) -> Any:
        return [await ask(connection, "SELECT ? / 2", value) for _ in range(PREPARED_FROM + 1)][-1]

    assert [await half(3), await half(3.0), await half(2**33 + 1)] == [
        [(1,)],
        [(Decimal("1.5"),)],
        [(2**32,)],
    ]
    assert len(await prepared(connection)) == 3


async def test_what_changes_a_row_says_how_many(connection: Connection) -> None:
    await execute(connection, "CREATE TABLE made (n integer PRIMARY KEY)")
    sql = "INSERT INTO made SELECT ? WHERE ? > 2 ON CONFLICT DO NOTHING RETURNING n"
    try:
        changed = []
        for n in range(8):
            cursor = await execute_all(connection, BEGINNING, (sql, (n, n)), (sql, (n, n)))
            for _ in range(2):
                cursor.nextset()
                changed.append((cursor.rowcount, await cursor.fetchone()))
    finally:
        await execute(connection, "DROP TABLE made")

    assert changed == [(0, None)] * 6 + [one for n in range(3, 8) for one in ((1, (n,)), (0, None))]


async def test_what_cannot_be_prepared_is_answered(connection: Connection) -> None:
    for _ in range(PREPARED_FROM + 2):
        assert await ask(connection, "SELECT pg_typeof(?)::text", "a") == [("unknown",)]
        assert await ask(connection, "SHOW search_path") != []

    assert await prepared(connection) == []
    assert connection.prepared.works


async def test_in_another_session_of_a_pooler_nothing_is_prepared_any_more(
    connection: Connection,
) -> None:
    await execute(connection, "CREATE TABLE made (n integer)")
    sql = "INSERT INTO made VALUES (?)"
    try:
        for n in range(PREPARED_FROM):
            await execute_all(connection, BEGINNING, (sql, (n,)))
        # A session of a pooler that has the one statement, and not the other.
        await execute(connection, "DEALLOCATE ALL")
        for n in range(PREPARED_FROM, 8):
            await execute_all(connection, BEGINNING, (sql, (n,)), (sql, (-n,)))
        rows = [n for (n,) in await ask(connection, "SELECT n FROM made WHERE n >= 0 ORDER BY n")]
    finally:
        await execute(connection, "DROP TABLE made")

    assert rows == list(range(8))
    assert not connection.prepared.works
    assert await prepared(connection) == []


async def test_what_another_process_has_prepared_in_a_session_is_the_same(
    connection: Connection,
) -> None:
    for _ in range(PREPARED_FROM):
        await ask(connection, "SELECT ? + 1", 1)
    connection.prepared = Prepared(connection)
    answers = [await ask(connection, "SELECT ? + 1", 2) for _ in range(PREPARED_FROM + 1)]

    assert answers == [[(3,)]] * (PREPARED_FROM + 1)
    assert len(await prepared(connection)) == 1
    assert connection.prepared.works


async def test_a_table_that_was_changed_is_read_as_it_is(connection: Connection) -> None:
    await execute(connection, "CREATE TABLE made (n integer); INSERT INTO made VALUES (1)")
    try:
        before = [await ask(connection, "SELECT n FROM made") for _ in range(PREPARED_FROM + 1)]
        await execute(connection, "ALTER TABLE made ALTER n TYPE text")
        after = [await ask(connection, "SELECT n FROM made") for _ in range(2)]
    finally:
        await execute(connection, "DROP TABLE made")

    assert before == [[(1,)]] * (PREPARED_FROM + 1)
    assert after == [[("1",)]] * 2


async def test_an_error_of_a_prepared_statement_is_that_of_the_statement(
    connection: Connection,
) -> None:
    for _ in range(PREPARED_FROM + 1):
        await ask(connection, "SELECT 1 / ?", 1)
    with pytest.raises(Exception, match="division by zero"):
        await ask(connection, "SELECT 1 / ?", 0)

    assert await ask(connection, "SELECT 1 / ?", 1) == [(1,)]
    assert connection.prepared.works


async def test_no_connection_prepares_without_end(connection: Connection) -> None:
    for n in range(MOST_PREPARED + 5):
        for _ in range(PREPARED_FROM):
            await ask(connection, f"SELECT {n}")

    assert len(await prepared(connection)) == MOST_PREPARED


async def test_a_search_is_planned_by_what_is_looked_for(postgres: PostgresServer) -> None:
    sql = "SELECT count(*) FROM pg_prepared_statements WHERE ? = 1"
    counts = []
    for timeout in (None, 5.0):
        reader = PostgresReader(connecting(postgres.empty()), 1, timeout=timeout)
        counts.append([await reader.execute_fetchall(sql, [1]) for _ in range(PREPARED_FROM + 1)])
        await reader.aclose()

    assert [one[-1] for one in counts] == [[(1,)], [(0,)]]
