"""Rows that a notebook shows as a table, and a terminal as columns of text."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, overload

#: A row as its reader gets it.
Row = dict[str, Any]

#: What the columns are called, and how each is made from a row.
Columns = Mapping[str, Callable[[Row], object]]

#: The longest text of a cell, in characters.
MAX_CELL = 60


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


def _row(tag: str, cells: Sequence[str]) -> str:
    style = ' style="text-align: left"'
    inner = "".join(f"<{tag}{style}>{escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"


def _shown(value: object) -> str:
    """One line: text as it is, anything else as JSON, what cannot be seen escaped."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
    return line if len(line) <= MAX_CELL else f"{line[: MAX_CELL - 1]}…"
