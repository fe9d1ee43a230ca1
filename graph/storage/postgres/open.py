"""Storage in one Postgres database, owned by one process or shared by many."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from graph.settings.configured import without_secrets
from graph.storage.fleet import Fleet, Tenure
from graph.storage.postgres.connection import CONNECT_TIMEOUT, SCHEMA, PostgresReader, connecting
from graph.storage.postgres.index import (
    LONGEST,
    SEARCHERS,
    PostgresIndex,
    SharedIndex,
    SharedOutbox,
    SharedStore,
)
from graph.storage.postgres.jobs import PostgresJobs
from graph.storage.postgres.migration import Moved, migrate, move
from graph.storage.postgres.notices import PostgresCircuits, PostgresNotices, PostgresPosts
from graph.storage.postgres.ownership import APPLICATION, Ownership, own
from graph.storage.postgres.store import PostgresSaver, PostgresStore
from graph.storage.postgres.writer import PostgresWriter
from graph.storage.records import DatabaseOwned, Owner, ServerAddress
from graph.storage.sql.bookkeeping import SqlAudit, SqlDeletion, SqlOutbox
from graph.storage.sql.owners import SqlSpending, SqlThreads
from graph.storage.sql.statements import JsonLists
from graph.storage.storage import Storage, StorageError

logger = logging.getLogger("runwright.storage")

#: Connections for jobs and news, which nothing that is read or written of runs holds up.
CONNECTIONS = 3

#: The advisory lock of transactions that change several runs.
SEVERAL = 5

#: How often the size of the database is asked for, in seconds.
SIZES_EVERY = 30.0

_LISTS = JsonLists(
    pairs="SELECT value->>0 AS id, (value->>1)::integer AS generation"
    " FROM json_array_elements(?::json)",
    values="SELECT value FROM json_array_elements_text(?::json)",
)


@asynccontextmanager
async def open_postgres(
    url: str,
    *,
    server: ServerAddress | None,
    timed: Callable[[float], None] | None = None,
    shared: bool = False,
) -> AsyncIterator[Storage]:
    """Open the database, alone or `shared`; `timed` is told how long each transaction took, in
    seconds.

    The tables are made, or brought to this program's version, unless others have the database.
    Raises `DatabaseOwned` when another process has it alone, or has it at all and it is not to be
    shared; `StorageError` when it cannot be used.
    """
    async with AsyncExitStack() as stack:
        if shared:
            with explained(url):
                storage = await _open_shared(url, stack, timed)
            yield storage
            return
        with explained(url):
            ownership = await _owned(url, stack)
            await _migrate(url, owned=True)
            await ownership.take(server)
            await stack.enter_async_context(ownership.watching())
            writer = PostgresWriter(connecting(url), ownership.fence, ownership.refused, timed)
            stack.push_async_callback(writer.aclose)
            storage = await _open(url, stack, writer, tenure=ownership)
        yield storage


@asynccontextmanager
async def owning_postgres(url: str) -> AsyncIterator[None]:
    """Hold the database; the same errors."""
    async with AsyncExitStack() as stack:
        with explained(url):
            await _owned(url, stack)
        yield


async def _owned(url: str, stack: AsyncExitStack) -> Ownership:
    ownership = await own(connecting(url), place(url), lambda: owner_now(url))
    stack.push_async_callback(ownership.close)
    return ownership


async def migrate_postgres(url: str) -> tuple[int, int]:
    """Make the tables, or bring them to this program's version; the versions before and now.

    Raises `StorageError`.
    """
    with explained(url):
        return await _migrate(url, owned=False)


async def move_into(url: str, source: Path) -> Moved:
    """Copy what a SQLite file has, which this process owns, into a database where nothing is.

    Raises `DatabaseOwned` where a process has it, and `StorageError`.
    """
    with explained(url):
        async with owning_postgres(url):
            await _migrate(url, owned=True)
            connection = await connecting(url)()
            try:
                return await move(source, connection, place(url))
            finally:
                await connection.close()


async def _migrate(url: str, *, owned: bool) -> tuple[int, int]:
    connection = await connecting(url)()
    try:
        before, now = await migrate(connection, place(url), owned=owned)
    finally:
        await connection.close()
    if before != now:
        logger.info("tables made", extra={"version": now, "before": before})
    return before, now


async def _open_shared(
    url: str, stack: AsyncExitStack, timed: Callable[[float], None] | None
) -> Storage:
    await _migrate(url, owned=False)
    connections = PostgresReader(connecting(url), CONNECTIONS)
    stack.push_async_callback(connections.aclose)
    notices = PostgresNotices(connecting(url), connections)
    stack.push_async_callback(notices.aclose)
    if not await notices.share():
        owner = await asyncio.to_thread(owner_now, url)
        raise DatabaseOwned(place(url), owner, kind="database", owner_now=lambda: owner_now(url))
    writer = PostgresWriter(connecting(url), _beginning_shared, _not_refused, timed)
    stack.push_async_callback(writer.aclose)
    fleet = Fleet(
        PostgresJobs(connections),
        notices,
        PostgresCircuits(connections),
        PostgresPosts(connections),
        lambda: PostgresJobs(PostgresReader(connecting(url), 1, answer=CONNECT_TIMEOUT)),
    )
    return await _open(url, stack, writer, fleet)


def _beginning_shared(durable: bool, several: bool) -> Sequence[str]:
    """What a transaction begins with, that waits for the disk or not, with `several` runs or not.

    Of two that change rows of the same owners in another order each would wait for the other; what
    arrives while one of them is waited for is written together then.
    """
    found = [] if durable else ["set_config('synchronous_commit', 'off', true)"]
    return [*found, f"pg_advisory_xact_lock({APPLICATION}, {SEVERAL})"] if several else found


def _not_refused(_: psycopg.Error) -> None:
    """Nobody has the database alone, so that no transaction is refused as a whole."""


async def _open(
    url: str,
    stack: AsyncExitStack,
    writer: PostgresWriter,
    fleet: Fleet | None = None,
    tenure: Tenure | None = None,
) -> Storage:
    reader = PostgresReader(connecting(url))
    stack.push_async_callback(reader.aclose)
    searcher = PostgresReader(connecting(url), SEARCHERS, timeout=LONGEST)
    stack.push_async_callback(searcher.aclose)
    index = (
        SharedIndex(reader, writer, searcher, fleet.notices.tell)
        if fleet
        else PostgresIndex(reader, writer, searcher)
    )
    await index.open()
    outbox = (SharedOutbox if fleet else SqlOutbox)(reader, writer, _LISTS)
    await outbox.open()
    spending = SqlSpending(reader, writer)
    if fleet is None:  # else others make calls just now
        await spending.count_left()
    sizes: dict[str, int] = {}
    await stack.enter_async_context(_measured(reader, sizes))

    async def fetch(_: str, sql: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        return await searcher.execute_fetchall(sql, values)

    return Storage(
        backend="postgres",
        saver=PostgresSaver(reader, writer),
        reader=PostgresSaver(reader, writer),
        store=(SharedStore if fleet else PostgresStore)(reader, writer),
        index=index,
        threads=SqlThreads(reader, writer, fetch, psycopg.IntegrityError),
        spending=spending,
        remove=SqlDeletion(writer, _LISTS),
        errors=(psycopg.Error,),
        outbox=outbox,
        audit=SqlAudit(fetch, writer),
        check=index.check,
        sizes=lambda: sizes,
        fleet=fleet,
        tenure=tenure,
    )


@asynccontextmanager
async def _measured(reader: PostgresReader, sizes: dict[str, int]) -> AsyncIterator[None]:
    """Look every now and then at how large the database is, for as long as the context lasts."""

    async def look() -> None:
        while True:
            with suppress(psycopg.Error):
                [(size,)] = await reader.execute_fetchall(_SIZE)
                sizes["database"] = int(size)
                [(log,)] = await reader.execute_fetchall(_LOG)  # some may not
                sizes["log"] = int(log)
            await asyncio.sleep(SIZES_EVERY)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])


_SIZE = "SELECT pg_database_size(current_database())"

_LOG = "SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()"


# What is told of a database: where it is, and never a password.


def place(url: str) -> str:
    """The database that a URL names, without who uses it.

    Raises `psycopg.ProgrammingError` where it cannot be read, or would be read wrong: a password
    with a / or an @ that is written as it is makes other parts of what follows.
    """
    given = conninfo_to_dict(url)
    host = str(given.get("host") or given.get("hostaddr") or "")
    port, name = str(given.get("port") or ""), str(given.get("dbname") or "")
    if (not port.replace(",", "").isdecimal() and port) or {"@", "/"} & {*name}:
        raise psycopg.ProgrammingError("no port, or no name of a database")
    if host.startswith("/"):  # a socket
        return f"postgresql:///{name}?host={host}"
    return f"postgresql://{host}{':' if port else ''}{port}/{name}"


@contextmanager
def explained(url: str) -> Iterator[None]:
    """What is raised inside becomes a `StorageError` of one line, without the password."""
    try:
        yield
    except psycopg.ProgrammingError as error:
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise StorageError(
                f"cannot make the tables in {place(url)}: {_plain(error, url)}; let a role that may"
                " do so run `runwright migrate`, or grant it"
            ) from None
        raise StorageError(f"{_beginning(error, url)} (RUNWRIGHT_DATABASE_URL)") from None
    except (psycopg.Error, OSError) as error:
        raise StorageError(
            f"{_beginning(error, url)}; the server must answer, and have this database and role"
            " (RUNWRIGHT_DATABASE_URL)"
        ) from None


def _beginning(error: Exception, url: str) -> str:
    try:
        return f"cannot use the database {place(url)}: {_plain(error, url)}"
    except psycopg.ProgrammingError:  # the URL is what cannot be read, and may be all a secret
        return (
            "cannot read the URL of the database; it has the form postgresql://host/name, and"
            " what else than letters and digits is in a password is written as %40 is for @"
        )


def _plain(error: Exception, url: str) -> str:
    said = " ".join(str(error).split())
    password = conninfo_to_dict(url).get("password")
    if password:
        said = said.replace(str(password), "…").replace(quote(str(password)), "…")
    return without_secrets(said)


def owner_now(url: str) -> Owner | None:
    """Who has the database just now, None where that cannot be read."""
    sql = f"SELECT pid, url, secret FROM {SCHEMA}.owner"  # noqa: S608 - constants only
    with suppress(psycopg.Error), psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT) as there:
        row = there.execute(sql.encode()).fetchone()
        return Owner(*row) if row and row[0] is not None else None
    return None
