"""A run of the index as a row of SQLite's table, and back."""

import json
from collections.abc import Sequence
from typing import Any

from graph.facts import Facts
from graph.run_row import RunRow

_FACTS = ("planner", "model", "tools", "usd", "retries", "taken_up")

#: The columns by the names of the fields, what is known of the run's course last.
_NAMES = (
    *("run_id", "owner", "prompt", "limits", "created_at", "status", "started_at", "completed_at"),
    *("starts", "checkpoint_id", "budget", "cancel_at", "cancel_by", "approve", "expires_at"),
    *("decision", "generation", "retry", "forked_from", "seed"),
    *_FACTS,
)

#: Those that hold JSON, or nothing.
_JSON = frozenset({"limits", "budget", "decision", "retry", "seed"})

COLUMNS = ", ".join(_NAMES)

#: Ends with the source of its values, so that a condition may follow.
INSERT = f"INSERT INTO runs ({COLUMNS}) SELECT {', '.join('?' * len(_NAMES))}"


def values_of(row: RunRow) -> tuple[Any, ...]:
    """What a new row is written with, in the order of `COLUMNS`."""
    own = (_written(name, getattr(row, name)) for name in _NAMES[: -len(_FACTS)])
    return *own, *facts_values(row.facts)


def facts_values(facts: Facts) -> tuple[Any, ...]:
    """The last columns: what is known of the run's course."""
    tools = json.dumps(facts.tools)
    return facts.planner, facts.model, tools, facts.usd, facts.retries, facts.taken_up


def row_of(row: Sequence[Any]) -> RunRow:
    """The run of a row that was read."""
    named = dict(zip(_NAMES, row, strict=True))
    facts = {name: named.pop(name) for name in _FACTS}
    for name in _JSON:
        named[name] = json.loads(named[name]) if named[name] else None
    return RunRow(**named, facts=Facts(**{**facts, "tools": tuple(json.loads(facts["tools"]))}))


def _written(name: str, value: Any) -> Any:
    if name not in _JSON:
        return value
    return json.dumps(value) if value else None
