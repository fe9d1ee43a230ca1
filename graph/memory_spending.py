"""What owners have spent, in memory."""

from graph.memory_index import MemoryIndex
from graph.spending import Spent
from nodes.planning.model import Cost
from nodes.planning.purse import Call


class MemorySpending:
    """Ends with its process, as the runs do."""

    def __init__(self, index: MemoryIndex) -> None:
        self._index = index
        self._spent: dict[tuple[str, str], Spent] = {}
        self._counted: dict[str, str] = {}

    async def of(self, owner: str, day: str) -> Spent:
        return self._spent.get((owner, day), Spent())

    async def hold(self, call: Call, day: str, cost: Cost) -> None:
        """Nothing outlasts the process, so that nothing has to be set aside."""

    async def release(self, call: Call) -> None:
        """Nothing was set aside."""

    async def add(self, call: Call, day: str, cost: Cost) -> bool:
        if await self._index.find(call.run_id):
            if self._counted.get(call.run_id) == call.key:
                return False
            self._counted[call.run_id] = call.key
        self._spent[call.owner, day] = (await self.of(call.owner, day)).plus(cost)
        return True

    def forget(self, run_id: str) -> None:
        """A run is removed; what it has spent stays spent."""
        self._counted.pop(run_id, None)
