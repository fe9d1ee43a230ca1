"""Storage in one Postgres database, owned by one process or shared by many."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from graph.settings.keys import without_secrets
from graph.state import Learned
from graph.state.row import RunRow
from graph.storage.fleet import Fleet, without_lease
from graph.storage.owned import DatabaseOwned, Owner, ServerAddress
from graph.storage.postgres.checkpoints import PostgresSaver
from graph.storage.postgres.connection import CONNECT_TIMEOUT, SCHEMA, PostgresReader, connecting
from graph.storage.postgres.jobs import PostgresJobs, ordering, queueing
from graph.storage.postgres.move import Moved, move
from graph.storage.postgres.notices import PostgresNotices
from graph.storage.postgres.ownership import Ownership, own
from graph.storage.postgres.schema import migrate
from graph.storage.postgres.search import LONGEST, SEARCHERS, look_up, row_of_words
from graph.storage.postgres.store import PostgresStore
from graph.storage.postgres.writer import PostgresWriter
from graph.storage.search import Found, Search
from graph.storage.sql.audit import SqlAudit
from graph.storage.sql.deletion import SqlDeletion
from graph.storage.sql.index import SqlIndex, inserting
from graph.storage.sql.outbox import SqlOutbox
from graph.storage.sql.spending import SqlSpending
from graph.storage.sql.statements import JsonLists, Statement
from graph.storage.sql.threads import SqlThreads
from graph.storage.storage import Storage, StorageError

logger = logging.getLogger("runwright.storage")

#: Connections for jobs and news, which nothing that is read or written of runs holds up.
CONNECTIONS = 3

#: How often the size of the database is asked for, in seconds.
SIZES_EVERY = 30.0

_LISTS = JsonLists(
    pairs="SELECT value->>0 AS id, (value->>1)::integer AS generation"
    " FROM json_array_elements(?::json)",
    values="SELECT value FROM json_array_elements_text(?::json)",
)


class PostgresIndex(SqlIndex):
    """The run index; searches have connections of their own."""

    def __init__(
        self, reader: PostgresReader, writer: PostgresWriter, searcher: PostgresReader
    ) -> None:
        super().__init__(reader, writer)
        self._searcher = searcher

    async def search(self, owner: str, search: Search) -> Found:
        return await look_up(self._searcher, owner, search)

    async def check(self) -> None:
        await self._writer.write(("UPDATE probe SET at = ? WHERE id = 1", (time.time(),)))
        await self._reader.execute_fetchall("SELECT run_id FROM runs ORDER BY number LIMIT 1")

    def _inserting(self, row: RunRow, condition: str, bounds: Sequence[Any]) -> Sequence[Statement]:
        return inserting(row, condition, bounds, {"words": row_of_words(row.prompt)})


class SharedIndex(PostgresIndex):
    """The run index of many processes: what is accepted or ordered of a run brings its job along.

    Whether a run was forked is asked each time, since others may have done so.
    """

    async def forks(self, run_id: str) -> Sequence[str]:
        self._origins.add(run_id)
        try:
            return await super().forks(run_id)
        finally:
            self._origins.discard(run_id)

    async def note_learned(self, run_id: str, learned: Learned) -> None:
        with without_lease():  # the run waits by then, and nobody has it
            await super().note_learned(run_id, learned)

    async def _order(self, run_id: str, *statements: Statement) -> bool:
        return await super()._order(run_id, ordering(run_id), *statements)

    def _inserting(self, row: RunRow, condition: str, bounds: Sequence[Any]) -> Sequence[Statement]:
        return [*super()._inserting(row, condition, bounds), queueing(row)]


#: How long a process has for what it took from the outbox before another one takes it, in seconds.
POSTING = 60.0

_CLAIM = "UPDATE outbox SET due = ? WHERE number = ? AND due <= ? AND NOT given_up"


class SharedOutbox(SqlOutbox):
    """The outbox of many processes: what one has taken the others leave alone for a while."""

    async def open(self) -> None:
        """Any of them may have tried something without success."""

    async def take(self, number: int, now: float) -> bool:
        return await self._writer.write((_CLAIM, (now + POSTING, number, now))) > 0


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
            storage = await _open(url, stack, writer)
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
    writer = PostgresWriter(connecting(url), _durability, _not_refused, timed)
    stack.push_async_callback(writer.aclose)
    fleet = Fleet(
        PostgresJobs(connections),
        notices,
        lambda: PostgresJobs(PostgresReader(connecting(url, statement_timeout=CONNECT_TIMEOUT), 1)),
    )
    return await _open(url, stack, writer, fleet)


def _durability(durable: bool) -> str:
    """What a transaction begins with, that waits for the disk or does not."""
    return "SELECT 1" if durable else "SELECT set_config('synchronous_commit', 'off', true)"


def _not_refused(_: psycopg.Error) -> None:
    """Nobody has the database alone, so that no transaction is refused as a whole."""


async def _open(
    url: str, stack: AsyncExitStack, writer: PostgresWriter, fleet: Fleet | None = None
) -> Storage:
    reader = PostgresReader(connecting(url))
    stack.push_async_callback(reader.aclose)
    searcher = PostgresReader(connecting(url, statement_timeout=LONGEST), SEARCHERS)
    stack.push_async_callback(searcher.aclose)
    index = (SharedIndex if fleet else PostgresIndex)(reader, writer, searcher)
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
        store=PostgresStore(reader, writer),
        index=index,
        threads=SqlThreads(reader, writer, fetch, psycopg.IntegrityError),
        spending=spending,
        remove=SqlDeletion(writer, _LISTS),
        errors=(psycopg.Error,),
        outbox=outbox,
        audit=SqlAudit(fetch, writer),
        sizes=lambda: sizes,
        fleet=fleet,
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
