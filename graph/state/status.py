"""The transitions of a run, the only table of them."""

from collections.abc import Mapping
from typing import ClassVar

from graph.state import Status

#: From each status to those that may follow it. Out of a settled one leads only a retry.
TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    "pending": frozenset({"running", "cancelled", "failed"}),
    "running": frozenset({"waiting", "completed", "failed", "cancelled"}),
    "waiting": frozenset({"running", "cancelled"}),
    "completed": frozenset(),
    "failed": frozenset({"pending"}),
    "cancelled": frozenset({"pending"}),
}

SETTLED: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})

#: A run in one of these continues only when somebody says so.
SETTLED_OR_WAITING: frozenset[Status] = SETTLED | {"waiting"}

#: What may be asked of a run, and the status that it then takes.
ACTIONS: Mapping[str, Status] = {
    "cancel": "cancelled",
    "approve": "running",
    "reject": "cancelled",
    "retry": "pending",
}

#: Actions that need more than a transition: the statuses in which they may be asked for.
ONLY_IN: Mapping[str, frozenset[Status]] = {
    "approve": frozenset({"waiting"}),
    "reject": frozenset({"waiting"}),
}


class WrongStatus(Exception):
    """What was asked of a run does not go with the status that it has; `rule` says what would."""

    rule: ClassVar[str]

    def __init__(self, run_id: str, status: Status) -> None:
        super().__init__(f"run {run_id} is {status}; {self.rule}")
        self.run_id = run_id
        self.status = status


def actions(status: Status) -> list[str]:
    """What may be asked of a run with this status."""
    return [
        action
        for action, following in ACTIONS.items()
        if may_become(status, following) and status in ONLY_IN.get(action, {status})
    ]


def may_become(current: Status, following: Status) -> bool:
    """Whether a run in `current` may take the status `following`."""
    return following in TRANSITIONS[current]
