"""Connections to Postgres, what is read on them, and how SQL is put for it.

Values are put into the SQL on this side (psycopg's client cursors), so that a whole transaction is
one message and one answer: the loop of this process is what runs wait for, not the database. Each
says itself what holds for it, since a pooler gives every transaction another session.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from graph.storage.sql.statements import Statement

Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]
Connect = Callable[[], Awaitable[Connection]]

#: Where the tables are, beside those of other programs in the same database.
SCHEMA = "runwright"

#: How long it is tried to connect, in seconds.
CONNECT_TIMEOUT = 5

#: After so many seconds of silence the other end is asked whether it is there, and given up after
#: three times as many: without that a cut cable would be noticed after hours.
KEEPALIVE = 5

#: After so many seconds without an answer a connection is given up though its other end is there: a
#: database that stands still, or an address that has come to lead to another one.
ANSWER = 15.0

#: Most connections that read runs, and how long one of them is waited for, in seconds.
READERS, READER_WAIT = 6, 5.0


class TooManyReaders(psycopg.OperationalError):
    """No connection became free in time."""

    def __init__(self) -> None:
        super().__init__(f"no connection was free for {READER_WAIT:g} s")


class NoAnswer(psycopg.OperationalError):
    """The database has not answered; whether it has done what was asked is not known."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the database has not answered for {seconds:g} s")


T = TypeVar("T")


async def answered(asked: Awaitable[T], seconds: float = ANSWER) -> T:
    """What the database answers. Raises `NoAnswer`: by then it was told to stop, if it heard."""
    try:
        async with asyncio.timeout(seconds):
            return await asked
    except TimeoutError:
        raise NoAnswer(seconds) from None


#: What each transaction begins with.
_IN_SCHEMA = f"SET LOCAL search_path TO {SCHEMA}"


def beginning(*also: str) -> str:
    """The same with what else is to be done first, each of which is an expression.

    A function of ours has its schema before its name, since names are looked up before.
    """
    first = f"set_config('search_path', '{SCHEMA}', true)"
    return f"SELECT {', '.join((first, *also))}"


def _within(seconds: float) -> str:
    """The same for one that may take so long."""
    return beginning(f"set_config('statement_timeout', '{seconds * 1000:.0f}', true)")


def connecting(url: str) -> Connect:
    """What connects to the database of a URL.

    Raises `psycopg.ProgrammingError` for a URL that cannot be read.
    """
    parameters = {
        "application_name": "runwright",
        "connect_timeout": CONNECT_TIMEOUT,
        "keepalives_idle": KEEPALIVE,
        "keepalives_interval": KEEPALIVE,
        "keepalives_count": 2,
        "tcp_user_timeout": 3 * KEEPALIVE * 1000,
        **conninfo_to_dict(url),
        "client_encoding": "utf8",
    }
    return partial(_connect, parameters)


_READ_COMMITTED = b"SET default_transaction_isolation TO 'read committed'"


async def _connect(parameters: dict[str, Any]) -> Connection:
    connection = await AsyncConnection.connect(**parameters, autocommit=True)
    connection.prepare_threshold = None
    try:
        await answered(connection.execute(_READ_COMMITTED))
    except BaseException:  # also where who asked for it has gone
        await connection.close()
        raise
    return connection


async def execute(
    connection: Connection, sql: str, values: Iterable[Any] = (), *, first: str = _IN_SCHEMA
) -> Any:
    """The cursor after these statements, which are one transaction."""
    cursor = AsyncClientCursor(connection)
    await cursor.execute(f"{first};{translated(sql)}".encode(), [*values])
    cursor.nextset()
    return cursor


async def execute_all(connection: Connection, statements: Iterable[Statement]) -> Any:
    """The cursor at the first of these statements, which are one transaction: its `beginning`.

    Each is read by itself, as it was before: together they are hardly ever twice the same, and to
    read a long text takes longer than all else that is done with it here.
    """
    cursor = AsyncClientCursor(connection)
    bound = [cursor.mogrify(translated(sql), [*values]) for sql, values in statements]
    await cursor.execute(";".join(bound).encode())
    return cursor


_HINT = re.compile(r" INDEXED BY \w+")
_LENGTH = re.compile(r"length\(CAST\((\w+) AS BLOB\)\)")


@lru_cache(maxsize=2_000)
def translated(sql: str) -> str:
    """SQL as Postgres reads it: other marks for values, no hints, other names of two functions."""
    sql = _LENGTH.sub(r"octet_length(\1)", _HINT.sub("", sql)).replace("instr(", "strpos(")
    return sql.replace("%", "%%").replace("?", "%s")


class PostgresReader:
    """Reads on up to so many connections, which are made where they are needed.

    The database gives up what takes `timeout` seconds, where there is one, and this process what
    has not come after `answer` seconds. A connection that was cut is
    noticed where it is used, and what was to be read is read on another one; where one does not
    answer, none of the others is used any more.
    """

    def __init__(
        self,
        connect: Connect,
        most: int = READERS,
        *,
        timeout: float | None = None,
        answer: float = ANSWER,
    ) -> None:
        self._connect = connect
        self._answer = answer
        self._beginning = _IN_SCHEMA if timeout is None else _within(timeout)
        self._places = asyncio.Semaphore(most)
        self._idle: list[Connection] = []
        self._closed = False

    async def execute_fetchall(
        self, sql: str, parameters: Iterable[Any] = (), /
    ) -> Sequence[tuple[Any, ...]]:
        """The rows of a statement that changes nothing. Raises `psycopg.Error`."""
        try:
            async with asyncio.timeout(READER_WAIT if self._places.locked() else None):
                await self._places.acquire()
        except TimeoutError:
            raise TooManyReaders from None
        try:
            return await self._read(sql, [*parameters])
        finally:
            self._places.release()

    async def aclose(self) -> None:
        """Close the connections; one that is being read on is closed once that has ended."""
        self._closed = True
        await self._close_idle()

    async def _close_idle(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def _read(self, sql: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._read_on(connection, sql, values)
            except NoAnswer:
                await self._close_idle()
                raise
            except psycopg.OperationalError:
                if not connection.broken:
                    raise
        return await self._read_on(await self._connect(), sql, values)

    async def _read_on(
        self, connection: Connection, sql: str, values: Sequence[Any]
    ) -> Sequence[tuple[Any, ...]]:
        try:
            asked = execute(connection, sql, values, first=self._beginning)
            cursor = await answered(asked, self._answer)
            return list(await cursor.fetchall())
        finally:
            if (
                self._closed
                or connection.closed
                or connection.info.transaction_status != TransactionStatus.IDLE
            ):
                await connection.close()
            else:
                self._idle.append(connection)
