"""Records of runs as tables: the steps and how they went, the log, the history."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from html import escape
from typing import Any, overload

from graph.state.status import SETTLED
from graph.state.wording import counted, printable, shortened, text_of

#: A record as the server answers it, or as `graph.record` gives it.
AnyRecord = Mapping[str, Any]

# Rows that a notebook shows as a table, and a terminal as columns of text.


#: A row as its reader gets it.
Row = dict[str, Any]

#: What the columns are called, and how each is made from a row.
Columns = Mapping[str, Callable[[Row], object]]

_STEPS: Columns = {
    "step": lambda row: row["step"],
    "tool": lambda row: row["tool"],
    "status": lambda row: row["status"],
    "attempts": lambda row: row["attempts"],
    "duration": lambda row: _duration(row["duration_ms"]),
}

#: Beside the others, where there are several.
_ROUND: Columns = {"round": lambda row: row["round"]}

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


class Table(Sequence[Row]):
    """Rows of which some columns are shown; every row has all of its values."""

    def __init__(self, rows: Sequence[Row], columns: Columns, caption: str | None = None) -> None:
        self._rows = list(rows)
        self._columns = columns
        self.caption = caption

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> "Table": ...
    def __getitem__(self, place: int | slice) -> "Row | Table":
        if isinstance(place, slice):
            return Table(self._rows[place], self._columns, self.caption)
        return self._rows[place]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    @property
    def cells(self) -> list[list[str]]:
        """What is shown: the names of the columns, then a line for each row."""
        shown = [[_shown(of(row)) for of in self._columns.values()] for row in self._rows]
        return [list(self._columns), *shown]

    def __repr__(self) -> str:
        lines = [self.caption] if self.caption else []
        if self._rows:
            widths = [max(map(len, column)) for column in zip(*self.cells, strict=True)]
            for cells in self.cells:
                padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
                lines.append("  ".join(padded).rstrip())
        return "\n".join(lines) or "(no rows)"

    def _repr_html_(self) -> str:
        caption = f"<p>{escape(self.caption)}</p>" if self.caption else ""
        if not self._rows:
            return caption or "<p>(no rows)</p>"
        head, *body = self.cells
        rows = "\n".join(_row("td", cells) for cells in body)
        return f"{caption}<table>\n{_row('th', head)}\n{rows}\n</table>"


def run_table(record: AnyRecord) -> Table:
    """The steps of a run: how each stands, how often it was tried, and what its attempts took.

    The caption tells how the run stands; a plan of several rounds tells that of each step.
    """
    several = len(record["plan"].get("rounds", ())) > 1
    return Table(
        [_step(step, record) for step in record["plan"]["steps"]],
        {**_ROUND, **_STEPS} if several else _STEPS,
        caption=f"{record['status']}: {_outcome(record)}",
    )


def log_table(record: AnyRecord) -> Table:
    """Every attempt of a run, the first one first."""
    return Table(deepcopy(record["execution_log"]), _LOG)


def plan_table(record: AnyRecord) -> Table:
    """The steps of a run's plan; the rows are copies, to be edited."""
    return Table(deepcopy(record["plan"]["steps"]), _PLAN)


def history_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """Checkpoints, in the given order; where there are several rounds, each with its own."""
    several = any((entry.get("round") or 1) > 1 for entry in entries)
    columns = {**_ROUND, **_HISTORY} if several else _HISTORY
    return Table([dict(entry) for entry in entries], columns)


def _step(step: Mapping[str, Any], record: AnyRecord) -> Row:
    number = step["step"]
    made = [one for one in record["execution_log"] if one["step"] == number]
    rounds = record["plan"].get("rounds", ())
    own = [entry for entry in rounds if entry["first"] <= number <= entry["last"]]
    dropped = any(one["step"] == number for entry in own for one in entry["dropped"])
    return {
        "round": own[0]["round"] if own else 1,
        "step": number,
        "tool": step["tool"],
        "status": made[-1]["status"] if made else "dropped" if dropped else _untried(record),
        "attempts": len(made),
        "duration_ms": sum(one["duration_ms"] for one in made) if made else None,
    }


def _untried(record: AnyRecord) -> str:
    return "not done" if record["status"] in SETTLED else "to do"


def _outcome(record: AnyRecord) -> str:
    result = record["result"]
    said = result.get("answer") if result else None
    # In quotes, since they are a model's words; ours are beside them.
    answer = f"“{printable(said['text'])}” ({result['summary']})" if said else ""
    if record["error"]:
        return f"{answer} {record['error']['message']}".lstrip()
    if result:
        return answer or str(result["summary"])
    steps = len(record["plan"]["steps"])
    if asked := record.get("in_doubt"):
        return f"whether step {asked['step']} ({asked['tool']}) has acted is to be resolved"
    if record["status"] == "waiting":
        return f"the plan of {counted(steps, 'step')} is to be approved"
    done = record["progress"]["done"]
    return f"{done} of {counted(steps, 'step')} done" if steps else "no plan yet"


def _duration(ms: float | None) -> str | None:
    if ms is None:
        return None
    return f"{ms:.1f} ms" if ms < 1000 else f"{ms / 1000:.2f} s"


#: The longest text of a cell, in characters.
MAX_CELL = 60


def _row(tag: str, cells: Sequence[str]) -> str:
    style = ' style="text-align: left"'
    inner = "".join(f"<{tag}{style}>{escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"


def _shown(value: object) -> str:
    """One line: text as it is, anything else as JSON, what cannot be seen escaped."""
    if value is None:
        return ""
    return shortened(printable(text_of(value)), MAX_CELL)
