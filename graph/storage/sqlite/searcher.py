"""The connection that searches: owners take turns on it, and what is read is counted in steps.

A step is one of SQLite's machine, the same on every computer. Reading in the index for full text
takes few of them, each of which goes through a page of it.
"""

import asyncio
import sqlite3
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite

#: A statement for which others wait may take this part of the steps that it may take otherwise.
SHARE = 8

Rows = list[tuple[Any, ...]]


class FairLock:
    """Lets one in at a time; each owner's next one comes after those of all others who wait."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._taken = False

    @asynccontextmanager
    async def of(self, owner: str) -> AsyncIterator[None]:
        """The lock for this owner, once it is free."""
        if self._taken:
            acquired: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(owner, deque()).append(acquired)
            await acquired
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for the lock; any thread may ask."""
        return bool(self._waiting)

    def _pass_on(self) -> None:
        if not self._waiting:
            self._taken = False
            return
        owner, waiting = self._waiting.popitem(last=False)
        acquired = waiting.popleft()
        if waiting:
            self._waiting[owner] = waiting
        acquired.set_result(None)


class Searcher:
    """Reads for one search after the other, a statement at a time."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._lock = FairLock()
        self._every = 0
        self._looks = 0
        self._most: int | None = None
        self._ended = False

    async def fetch(self, owner: str, sql: str, values: Sequence[Any]) -> Rows:
        """The rows of a statement that takes few steps."""
        rows, _ = await self.read(owner, sql, values, every=self._every or 1_000_000, most=None)
        return rows or []

    async def read(
        self, owner: str, sql: str, values: Sequence[Any], *, every: int, most: int | None
    ) -> tuple[Rows | None, int]:
        """The rows of a statement, and how many steps it took, in units of `every`.

        No rows where it took more than `most` such units, or a `SHARE` of them while others wait,
        and was ended.
        """
        # What is read is read to its end, though its caller may go; no other is read meanwhile.
        return await asyncio.shield(self._read(owner, sql, values, every, most))

    async def _read(
        self, owner: str, sql: str, values: Sequence[Any], every: int, most: int | None
    ) -> tuple[Rows | None, int]:
        async with self._lock.of(owner):
            if every != self._every:
                await self._connection.set_progress_handler(self._look, every)
                self._every = every
            self._looks, self._most, self._ended = 0, most, False
            try:
                rows = [*await self._connection.execute_fetchall(sql, values)]
            except sqlite3.OperationalError:
                if not self._ended:
                    raise
                return None, self._looks * every
            return rows, self._looks * every  # type: ignore[return-value]  # rows are tuples here

    def _look(self) -> int:
        """Called by SQLite in the thread of the connection; anything but 0 ends the statement."""
        self._looks += 1
        self._ended = self._is_over()
        return self._ended

    def _is_over(self) -> bool:
        if self._most is None:
            return False
        # Who is alone may go on for longer.
        return self._looks > (self._most // SHARE if self._lock.is_waited_for else self._most)
