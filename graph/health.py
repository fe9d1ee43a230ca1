"""How what the runs depend on does just now: the storage and the models."""

import asyncio
import logging
from collections.abc import Mapping

from graph.storage.storage import Storage
from nodes.planning.roster import Roster

logger = logging.getLogger("runwright.runs")

#: How long a probe of the storage may take, in seconds.
CHECK_TIMEOUT = 1.0


class Health:
    """Looks at the storage when it is asked, and at what the last calls of the models told."""

    def __init__(self, storage: Storage, roster: Roster | None) -> None:
        self._storage = storage
        self._roster = roster

    def models(self) -> Mapping[str, Mapping[str, object]]:
        """How each configured model does; empty without models."""
        return self._roster.breaker.state() if self._roster else {}

    async def storage(self) -> dict[str, object]:
        """The backend, and whether it can be written just now."""
        unavailable: tuple[type[Exception], ...] = (TimeoutError, *self._storage.errors)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                await self._storage.index.check()
        except unavailable as error:
            logger.warning("storage cannot be written: %s", error or type(error).__name__)
            return {"backend": self._storage.backend, "writable": False}
        return {"backend": self._storage.backend, "writable": True}
