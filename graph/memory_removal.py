"""Removing settled runs from the storage that ends with its process."""

from collections.abc import Sequence

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore

from graph.memory_index import MemoryIndex
from graph.memory_spending import MemorySpending
from graph.removal import Remains


class MemoryRemoval:
    """Removes runs from all of its parts."""

    def __init__(
        self,
        saver: InMemorySaver,
        store: InMemoryStore,
        index: MemoryIndex,
        spending: MemorySpending,
    ) -> None:
        self._saver = saver
        self._store = store
        self._index = index
        self._spending = spending

    async def __call__(self, runs: Sequence[Remains]) -> int:
        """Remove these runs, those of them that are settled; how many that were."""
        return sum([self._remove(run) for run in runs])

    def _remove(self, run: Remains) -> bool:
        if not self._index.remove(run.run_id, generation=run.generation):
            return False
        self._saver.delete_thread(run.run_id)
        self._spending.forget(run.run_id)
        self._store.batch([PutOp(run.receipts, key, None) for key in run.step_keys])
        return True
