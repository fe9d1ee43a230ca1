"""How runs stand in this process, where that is newer than what is stored, or nearer."""

from dataclasses import dataclass, field

from graph.state import RunState
from graph.state.row import RunRow, state_of


@dataclass(frozen=True)
class Live:
    """What the parts that execute runs know of them, for those that read them.

    `accepted` and `retried` are here and not begun, `begun` neither settled nor waiting yet;
    `states` are those of runs that are executing, as last stored, and `first` those of runs that
    have only just begun, as they were accepted.
    """

    accepted: dict[str, RunRow] = field(default_factory=dict)
    retried: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    states: dict[str, RunState] = field(default_factory=dict)
    first: dict[str, RunState] = field(default_factory=dict)

    def state(self, run_id: str) -> RunState | None:
        """How a run stands that is here; None where only the storage can tell."""
        if row := self.accepted.get(run_id):
            return state_of(row)
        return self.states.get(run_id) or self.first.get(run_id)
