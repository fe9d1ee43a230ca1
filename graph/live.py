"""How runs stand in this process, where that is newer than what is stored, or nearer."""

from dataclasses import dataclass, field

from graph.index import RunRow
from graph.state import RunState


@dataclass(frozen=True)
class Live:
    """What the parts that execute runs know of them, for those that read them.

    `accepted` and `retried` are here and not begun, `begun` neither settled nor waiting yet;
    `states` are those of runs that are executing, as last stored.
    """

    accepted: dict[str, RunRow] = field(default_factory=dict)
    retried: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    states: dict[str, RunState] = field(default_factory=dict)
