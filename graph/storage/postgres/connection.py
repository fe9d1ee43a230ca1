"""Connections to Postgres, what is read on them, and how SQL is put for it.

Values are put into the SQL on this side (psycopg's client cursors), so that a whole transaction is
one message and one answer: the loop of this process is what runs wait for, not the database. Each
says itself what holds for it, since a pooler gives every transaction another session. What is asked
again and again is prepared, where the session stays the same: to read and plan it anew each time
takes the database a fifth of its CPU.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.adapt import Transformer
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import (
    DuplicatePreparedStatement,
    FeatureNotSupported,
    InvalidSqlStatementName,
)
from psycopg.pq import TransactionStatus

from graph.storage.sql.statements import Statement, preparing, translated, type_of


class Connection(AsyncConnection[tuple[Any, ...]]):
    """One of ours, with what it has prepared."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.prepared = Prepared(self)


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
    connection = await Connection.connect(**parameters, autocommit=True)
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


async def execute_all(connection: Connection, first: Statement, *others: Statement) -> Any:
    """The cursor at the last statement before the `others`; all of them are one transaction.

    Each is read by itself, as it was before: together they are hardly ever twice the same, and to
    read a long text takes longer than all else that is done with it here.
    """
    prepared = connection.prepared
    message = [prepared.written_out(*first), *[await prepared.put(*one) for one in others]]
    cursor = AsyncClientCursor(connection)
    try:
        await cursor.execute(b";".join(message))
    except (InvalidSqlStatementName, FeatureNotSupported):
        if not prepared.works:
            raise
        prepared.works = False  # and nothing was done
        return await execute_all(connection, first, *others)
    return cursor


#: From which use on a statement is prepared, and how many are looked at, of one connection.
PREPARED_FROM, MOST_PREPARED = 3, 200

_PREPARABLE = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b[^;]*")


class Prepared:
    """The statements that one connection has prepared, by their SQL and the types of their values.

    Where a pooler has given a transaction another session than the one that has them, or a table
    was changed under them, this connection does without from then on. In the database they are
    known by their content: where a pooler gives their session to another program, they mean the
    same there.
    """

    def __init__(self, connection: Connection) -> None:
        self.works = True
        self._connection = connection
        self._literal = Transformer(connection).as_literal
        self._uses: Counter[Sequence[str]] = Counter()
        self._names: dict[Sequence[str], bytes] = {}

    async def put(self, sql: str, values: Sequence[Any]) -> bytes:
        """A statement with its values: by its name where it was prepared, or is now."""
        kind = (sql, *map(type_of, values))
        name = self._names.get(kind) or await self._prepared(kind)
        if name is None or not self.works:
            return self.written_out(sql, values)
        if not values:
            return b"EXECUTE " + name
        return b"EXECUTE %s(%s)" % (name, b",".join(self._literals(values)))

    def written_out(self, sql: str, values: Iterable[Any]) -> bytes:
        """A statement as it is, with its values in it."""
        return _encoded(sql) % self._literals(values)

    async def _prepared(self, kind: Sequence[str]) -> bytes | None:
        if not self.works or (len(self._uses) >= MOST_PREPARED and kind not in self._uses):
            return None
        self._uses[kind] += 1
        if self._uses[kind] != PREPARED_FROM or not _PREPARABLE.fullmatch(kind[0]):
            return None
        name = b"rw_" + sha256(repr(kind).encode()).hexdigest()[:32].encode()
        cursor = AsyncClientCursor(self._connection)
        try:
            await cursor.execute(b"%s;%s" % (_IN_SCHEMA.encode(), preparing(name, *kind)))
        except DuplicatePreparedStatement:
            pass  # which is of the same content
        except psycopg.ProgrammingError:
            return None  # what type a value has cannot be told without one
        self._names[kind] = name
        return name

    def _literals(self, values: Iterable[Any]) -> tuple[bytes, ...]:
        literal = self._literal
        return tuple([b"NULL" if one is None else bytes(literal(one)) for one in values])


@lru_cache(maxsize=2_000)
def _encoded(sql: str) -> bytes:
    return translated(sql).encode()


class PostgresReader:
    """Reads on up to so many connections, which are made where they are needed.

    The database gives up what takes `timeout` seconds, where there is one, and this process what
    has not come after `answer` seconds. With a timeout it is searched: nothing is prepared, since
    how that is done best depends on what is looked for. A connection that was cut is noticed where
    it is used, and what was to be read is read on another one; where one does not answer, none of
    the others is used any more.
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
        self._prepares = timeout is None
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

    async def _asked(self, connection: Connection, sql: str, values: Sequence[Any]) -> Any:
        if not self._prepares:
            return await execute(connection, sql, values, first=self._beginning)
        cursor = await execute_all(connection, (self._beginning, ()), (sql, values))
        cursor.nextset()
        return cursor

    async def _read_on(
        self, connection: Connection, sql: str, values: Sequence[Any]
    ) -> Sequence[tuple[Any, ...]]:
        try:
            cursor = await answered(self._asked(connection, sql, values), self._answer)
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
