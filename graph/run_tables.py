"""Records of runs as tables: the steps and how they went, the log, the history."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from graph.state.status import SETTLED
from graph.table import Columns, Row, Table

#: A record as the server answers it, or as `graph.record` gives it.
AnyRecord = Mapping[str, Any]

_STEPS: Columns = {
    "step": lambda row: row["step"],
    "tool": lambda row: row["tool"],
    "status": lambda row: row["status"],
    "attempts": lambda row: row["attempts"],
    "duration": lambda row: _duration(row["duration_ms"]),
}

_LOG: Columns = {
    "step": lambda row: row["step"],
    "attempt": lambda row: row["attempt"],
    "tool": lambda row: row["tool"],
    "input": lambda row: row["input"],
    "status": lambda row: row["status"],
    "output": lambda row: row["error"]["message"] if row["error"] else row["output"],
    "duration": lambda row: _duration(row["duration_ms"]),
}

_PLAN: Columns = {
    "step": lambda row: row["step"],
    "tool": lambda row: row["tool"],
    "input": lambda row: row["input"],
}

_HISTORY: Columns = {
    "checkpoint": lambda row: row["checkpoint_id"],
    "node": lambda row: row["node"],
    "status": lambda row: row["status"],
    "steps done": lambda row: row["cursor"],
    "next": lambda row: ", ".join(row["next"]),
}


def run_table(record: AnyRecord) -> Table:
    """The steps of a run: how each stands, how often it was tried, and what its attempts took.

    The caption tells how the run stands.
    """
    return Table(
        [_step(step, record) for step in record["plan"]["steps"]],
        _STEPS,
        caption=f"{record['status']}: {_outcome(record)}",
    )


def log_table(record: AnyRecord) -> Table:
    """Every attempt of a run, the first one first."""
    return Table(deepcopy(record["execution_log"]), _LOG)


def plan_table(record: AnyRecord) -> Table:
    """The steps of a run's plan; the rows are copies, to be edited."""
    return Table(deepcopy(record["plan"]["steps"]), _PLAN)


def history_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """Checkpoints, in the given order."""
    return Table([dict(entry) for entry in entries], _HISTORY)


def _step(step: Mapping[str, Any], record: AnyRecord) -> Row:
    made = [one for one in record["execution_log"] if one["step"] == step["step"]]
    return {
        "step": step["step"],
        "tool": step["tool"],
        "status": made[-1]["status"] if made else _untried(record),
        "attempts": len(made),
        "duration_ms": sum(one["duration_ms"] for one in made) if made else None,
    }


def _untried(record: AnyRecord) -> str:
    return "not done" if record["status"] in SETTLED else "to do"


def _outcome(record: AnyRecord) -> str:
    if record["error"]:
        return str(record["error"]["message"])
    if record["result"]:
        return str(record["result"]["summary"])
    steps = len(record["plan"]["steps"])
    if record["status"] == "waiting":
        return f"the plan of {_counted(steps)} is to be approved"
    return f"{record['progress']['done']} of {_counted(steps)} done" if steps else "no plan yet"


def _counted(steps: int) -> str:
    return f"{steps} step" if steps == 1 else f"{steps} steps"


def _duration(ms: float | None) -> str | None:
    if ms is None:
        return None
    return f"{ms:.1f} ms" if ms < 1000 else f"{ms / 1000:.2f} s"
