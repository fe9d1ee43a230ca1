"""Who did what: read a page at a time, the latest first."""

from graph.storage.audit import AuditPage, AuditQuery
from graph.storage.pages import decode, encode
from graph.storage.search import Position, Search
from graph.storage.storage import Storage


class AuditTrail:
    """What was done with the runs of an owner; an `owner` of None is told of all."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def page(
        self, query: AuditQuery, *, owner: str | None, limit: int, cursor: str | None = None
    ) -> AuditPage:
        """The entries that are asked for, from beyond the page whose `next_cursor` this is.

        Raises `InvalidCursor` and `StorageUnavailable`.
        """
        # What cursors are bound to: a search of runs that cannot be.
        search, whose = Search(thread_id="", text=repr(query)), owner or ""
        before = None if cursor is None else decode(cursor, search, owner=whose).number
        with self._storage.available():
            found, more = await self._storage.audit.page(owner, query, limit=limit, before=before)
        after = Position(key=None, number=more) if more is not None else None
        return AuditPage(
            entries=[*found],
            next_cursor=encode(after, search, owner=whose) if after else None,
        )
