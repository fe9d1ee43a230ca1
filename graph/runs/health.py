"""How the server does: its storage, its models, and how many runs are under way."""

import asyncio
from collections.abc import Callable, Mapping

from graph.queue.executor import Executor
from graph.queue.fair import Load
from graph.queue.model_calls import ModelCalls
from graph.queue.worker import LEASE
from graph.storage.storage import Storage
from nodes.planning.model import ModelLadder

#: How long a probe of the storage may take, in seconds.
CHECK_TIMEOUT = 1.0


#: How each MCP server does, by its name.
Servers = Callable[[], Mapping[str, Mapping[str, object]]]


class Health:
    """Looks at the storage when it is asked, and at what the last calls of the models told."""

    def __init__(
        self,
        storage: Storage,
        executor: Executor,
        ladder: ModelLadder | None,
        calls: ModelCalls | None,
        servers: Servers = dict,
    ) -> None:
        self._storage = storage
        self._executor = executor
        self._ladder = ladder
        self._calls = calls or ModelCalls(1)
        self._servers = servers

    def runs(self, owner: str | None) -> Load:
        """How many runs of the owner are under way and how many wait."""
        return self._executor.load(owner)

    def models(self, owner: str | None) -> Mapping[str, Mapping[str, object]]:
        """How each configured model does, and how many calls for the owner are under way and wait
        for their turn; empty without models."""
        states = self._ladder.breaker.state() if self._ladder else {}
        loads = {name: self._calls.load(name, owner) for name in states}
        return {
            name: {**state, "calls": loads[name][0], "queued": loads[name][1]}
            for name, state in states.items()
        }

    def servers(self) -> Mapping[str, Mapping[str, object]]:
        """How each MCP server does that the operator's file names."""
        return self._servers()

    async def workers(self) -> int | None:
        """How many processes execute the runs of a database that is shared, else None.

        Raises `StorageUnavailable`.
        """
        if self._storage.fleet is None:
            return None
        with self._storage.available():
            return await self._storage.fleet.jobs.workers(LEASE)

    async def storage(self) -> dict[str, object]:
        """The backend, whether it can be read and written just now, and what is to be done if it
        is damaged."""
        unavailable: tuple[type[Exception], ...] = (TimeoutError, *self._storage.errors)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                await self._storage.index.check()
            writable = True
        except unavailable as error:
            self._storage.faults.tell(error)
            writable = False
        state: dict[str, object] = {"backend": self._storage.backend, "writable": writable}
        if damage := self._storage.faults.damage:
            state |= {"writable": False, "damage": damage}
        return state
