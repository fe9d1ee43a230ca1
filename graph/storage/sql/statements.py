"""What is sent to a database, and who takes it.

Where the two databases read SQL differently, `graph.storage.postgres.connection` says what is put
there for Postgres: the marks of values, hints about indexes, and the length of a text in bytes.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graph.state import Status
from graph.state.status import STATUSES

#: SQL with a `?` for each value.
Statement = tuple[str, Sequence[Any]]

#: The numbers of one owner's runs follow each other, those of the next begin so much further on:
#: a part of the index for words by itself, and no number tells how many runs others have.
NUMBERS = 2**32


class Writer(Protocol):
    """Writes what is submitted, in that order."""

    async def write(self, *statements: Statement, durable: bool = False) -> int:
        """Write the statements in one transaction; how many rows the last one changed.

        The death of the process after this returned loses nothing; a power cut may, unless it was
        `durable`. A caller that is cancelled does not undo its write. Raises the backend's error,
        or `ValueError` for a value that it cannot hold, and then nothing of it was written.
        """


class Reader(Protocol):
    """Reads one statement at a time."""

    async def execute_fetchall(
        self, sql: str, parameters: Iterable[Any] = (), /
    ) -> Iterable[Sequence[Any]]:
        """The rows of a statement."""


@dataclass(frozen=True)
class JsonLists:
    """How a backend reads lists out of JSON text that is given as a value.

    `pairs` is a query for `id` and `generation`, `values` one for texts.
    """

    pairs: str
    values: str


#: The rows of a statement that takes an owner's turn among those who search.
Fetch = Callable[[str, str, Sequence[Any]], Awaitable[Sequence[tuple[Any, ...]]]]


def listed(statuses: Collection[Status]) -> str:
    """Statuses as a list of SQL, in the order that the table of statuses has."""
    return ", ".join(f"'{status}'" for status in STATUSES if status in statuses)
