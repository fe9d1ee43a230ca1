"""Where a list ends whose items stand in the lines after its heading.

Each line is looked at once for each situation, however many headings stand before it: those of
lists that cannot be read would each look through the rest of the prompt again.
"""

from collections.abc import Callable, Sequence

from nodes.patterns.clauses import Line
from nodes.patterns.grammar.calls import Call, Earlier
from nodes.patterns.grammar.words import Words
from nodes.patterns.todos.openings import Opening

Understand = Callable[[Words, int, int, Earlier], list[Call] | None]
Open = Callable[[Words, Opening, list[tuple[int, int]] | int, Earlier], list[Call] | None]


class ListedLines:
    """The lines of one prompt, as far as they are known to be items of lists."""

    def __init__(
        self, prompt: Words, lines: Sequence[Line], sense: Understand, read_opened: Open
    ) -> None:
        self._prompt = prompt
        self._lines = lines
        self._sense = sense
        self._open = read_opened
        # By what decides about a line: from which line to before which one all are items, and
        # whether that one is none.
        self._known: dict[object, tuple[int, int, bool]] = {}
        # The last line that no list can have as an item, by what else decides about that.
        self._refused: dict[object, int] = {}

    def end(self, first: int, opening: Opening, earlier: Earlier) -> int:
        """The line after the list that the line `first` begins.

        Where the opening says how many items there are, no more than one beyond these is looked
        at: with that the list is not what was announced.
        """
        total = len(self._lines)
        most = total if opening.count is None else min(total, first + opening.count + 1)
        marked = first < total and self._lines[first].is_marked
        under = marked, opening.signed, earlier.situation
        begin, end, is_over = self._known.get(under, (first, first, False))
        if not begin <= first <= end:
            begin, end, is_over = first, first, False
        while not is_over and end < most:
            if self._is_item(end, marked, opening, earlier):
                end += 1
            else:
                is_over = True
        self._known[under] = begin, end, is_over
        return min(end, most)

    def read(self, first: int, last: int, opening: Opening, earlier: Earlier) -> list[Call] | None:
        """The calls for the list in the lines from `first` to before `last`, or None."""
        if opening.count not in (None, last - first):
            return None
        under = opening.kind, earlier.situation
        if opening.count is None and first <= self._refused.get(under, -1) < last:
            return None
        calls = self._open(self._prompt, opening, self._places(first, last), earlier)
        if calls is None and opening.count is None:
            for at in range(last - 1, first - 1, -1):
                if self._open(self._prompt, opening, self._places(at, at + 1), earlier) is None:
                    self._refused[under] = at
                    break
        return calls

    def _places(self, first: int, last: int) -> list[tuple[int, int]]:
        return [(line.start, line.end) for line in self._lines[first:last]]

    def _is_item(self, at: int, marked: bool, opening: Opening, earlier: Earlier) -> bool:
        """Whether the line `at` goes on a list whose first line has a mark, or has none."""
        line = self._lines[at]
        if marked or line.is_marked:
            return marked and line.is_marked
        if not opening.signed or line.after_blank:
            return False
        return self._sense(self._prompt, line.start, line.end, earlier) is None
