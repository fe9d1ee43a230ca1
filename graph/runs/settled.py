"""Settled runs of late, kept in memory for who reads them: nothing of them changes any more.

The code that resumes one, forks it, or removes it, drops it here.
"""

from collections import OrderedDict
from dataclasses import dataclass

from pydantic_core import to_json

from graph.state import RunState
from graph.state.status import SETTLED

#: What all of them take together, in bytes as they are counted here: some hundred ordinary runs.
LARGEST = 4 * 2**20

#: What a state takes in memory, in parts of what it is as JSON.
TIMES_JSON = 6


@dataclass(slots=True, eq=False)
class SettledRun:
    """One of them: its state until its record was `encoded`, and its size in bytes."""

    run_id: str
    owner: str
    state: RunState | None
    size: int
    encoded: bytes | None = None


class SettledRuns:
    """Those that were settled or read last, up to `largest` bytes; none with 0."""

    def __init__(self, largest: int = 0) -> None:
        self._largest = largest
        self._kept: OrderedDict[str, SettledRun] = OrderedDict()
        self._size = 0
        self._reading: dict[str, object] = {}

    def find(self, run_id: str, owner: str | None) -> SettledRun | None:
        """A run that is kept here, if it is the owner's; without one, of any owner."""
        found = self._kept.get(run_id)
        if found is None or owner not in (found.owner, None):
            return None
        self._kept.move_to_end(run_id)
        return found

    def state(self, run_id: str) -> RunState | None:
        """The state of a run, where it is kept."""
        found = self._kept.get(run_id)
        return found.state if found else None

    def keep(self, state: RunState) -> None:
        """Keep a state that is stored, instead of what was kept of that run; a settled one only."""
        run_id = state["run_id"]
        self.drop(run_id)
        if not self._largest or state["status"] not in SETTLED:
            return
        try:
            size = TIMES_JSON * len(to_json(state, inf_nan_mode="strings"))
        except ValueError:  # it is stored, and cannot be told either
            return
        self._kept[run_id] = SettledRun(run_id, state["owner"], state, size)
        self._grow(size)

    def encode(self, settled: SettledRun, encoded: bytes) -> None:
        """Keep the record of a run as it is told, in the place of its state.

        Does nothing where that was dropped meanwhile.
        """
        if self._kept.get(settled.run_id) is settled and settled.encoded is None:
            grown = len(encoded) - settled.size
            settled.state, settled.encoded, settled.size = None, encoded, len(encoded)
            self._grow(grown)

    def drop(self, run_id: str) -> None:
        """Keep nothing of a run, nor what is being read of it just now."""
        self._reading.pop(run_id, None)
        if dropped := self._kept.pop(run_id, None):
            self._size -= dropped.size

    def begin_reading(self, run_id: str) -> object:
        """The storage is about to be asked for the state of a run: what `keep_read` is given."""
        return self._reading.setdefault(run_id, object())

    def keep_read(self, state: RunState, begun: object) -> None:
        """Keep a state that was read, unless that of the run has changed since it was `begun`."""
        if self._reading.get(state["run_id"]) is begun:
            self.keep(state)

    def end_reading(self, run_id: str, begun: object) -> None:
        """Nothing comes of it any more."""
        if self._reading.get(run_id) is begun:
            del self._reading[run_id]

    def _grow(self, size: int) -> None:
        self._size += size
        while self._size > self._largest:
            _, oldest = self._kept.popitem(last=False)
            self._size -= oldest.size
