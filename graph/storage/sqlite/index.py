"""The run index on SQLite: its versions, its search, and whether its file can be used."""

from dataclasses import replace

import aiosqlite

from graph.storage.search import Found, Search
from graph.storage.sql.admission import BYTES
from graph.storage.sql.index import COLUMNS, SqlIndex, row_of
from graph.storage.sqlite.probe import TableProbe
from graph.storage.sqlite.schema import MIGRATIONS, VERSION
from graph.storage.sqlite.search.lookup import look_up
from graph.storage.sqlite.search.searcher import Searcher
from graph.storage.sqlite.writer import SqliteWriter


class SqliteIndex(SqlIndex):
    """The index in the file that holds the checkpoints."""

    def __init__(
        self,
        reader: aiosqlite.Connection,
        writer: SqliteWriter,
        searcher: Searcher,
        probe: TableProbe,
    ) -> None:
        super().__init__(reader, writer)
        self._searcher = searcher  # its own, so that no search holds up who reads one run
        self._probe = probe

    async def migrate(self) -> bool:
        """Bring the tables to this program's version, in one transaction; whether it had to."""
        [(present,)] = await self._reader.execute_fetchall("PRAGMA user_version")
        if present < VERSION:
            missing = [statement for step in MIGRATIONS[present:] for statement in step]
            version = f"PRAGMA user_version = {VERSION}"
            await self._writer.write(*((one, ()) for one in [*missing, version]), durable=True)
        await self.open()
        return bool(present < VERSION)

    async def count_bytes(self) -> None:
        """Count what is kept of runs of which an earlier version did not."""
        update = f"UPDATE runs SET bytes = {BYTES} WHERE bytes IS NULL"  # noqa: S608 - constants only
        await self._writer.write((update, ()))

    async def search(self, owner: str, search: Search) -> Found:
        looked, base = await look_up(self._searcher, owner, search)
        places = looked.places
        page = [place.number for place in places[: search.limit]]
        found = await self._searcher.fetch(
            owner,
            f"SELECT number, {COLUMNS} FROM runs WHERE number IN ({', '.join('?' * len(page))})",  # noqa: S608 - constants only
            page,
        )
        rows = {number: row_of(row) for number, *row in found}
        after = places[len(page) - 1] if len(places) > len(page) else looked.reached
        return Found(
            rows=[rows[number] for number in page if number in rows],
            matching=looked.matching(search),
            counts=looked.by_status(search),
            after=after and replace(after, number=after.number - base),
            complete=looked.complete,
        )

    async def check(self) -> None:
        await self._probe.check()
