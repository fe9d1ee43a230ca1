"""One prompt on its way to a reading: line by line, clause by clause, every word accounted for.

A plan is only handed out when each word is used by a step, or is one of the words that ask for
nothing (`accounts`). So no half of a request is dropped in silence, whatever the tables
of the readers let through.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from graph.state import Step, Unparsed
from nodes.patterns.accounts import (
    POLITENESS,
    Ledger,
    asks_permission,
    is_courtesy,
    is_echo,
    is_reason,
    repeats_list,
)
from nodes.patterns.antecedent import Antecedent, Earlier
from nodes.patterns.clauses import Bond, Line, divide, read_lines
from nodes.patterns.english.list_names import is_name_of_list, names_list
from nodes.patterns.english.list_words import OTHER_REQUESTS, Opens
from nodes.patterns.english.small_talk import is_small_talk, take_off_opening
from nodes.patterns.english.todo_templates import SECOND_THOUGHTS
from nodes.patterns.grammar.phrases import PhraseTable
from nodes.patterns.grammar.words import CALCULATOR, STORE, Call, Use, Words
from nodes.patterns.todos.openings import Opening, find_opening

Understand = Callable[[Words, int, int, Earlier], list[Call] | None]
Open = Callable[[Words, Opening, list[tuple[int, int]] | int, Earlier], list[Call] | None]


class ListedLines:
    """The lines of one prompt, as far as they are known to be items of lists.

    Each is looked at once for each situation, however many headings stand before it: those of lists
    that cannot be read would each look through the rest of the prompt again.
    """

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


CONNECTOR = "connector"
MARK = "mark"
REMARK = "remark"


_JOINTS = frozenset({"and", ",", "then", "but", "if", "when"})
_MOST_JOINED = 3  # clauses read as one, when an "and" was part of an item


@dataclass(frozen=True, slots=True)
class Readers:
    """How clauses are understood: by this reading, by any at all, and after an opening."""

    understand: Understand
    sense: Understand
    open: Open


class Planning:
    """Takes the clauses of a prompt one after another and collects calls, or what is refused."""

    def __init__(
        self,
        prompt: Words,
        beginnings: PhraseTable[bool],
        readers: Readers,
        fuzzy: bool = False,
        before: Antecedent | None = None,
    ) -> None:
        self.prompt = prompt
        self.readers = readers
        self.fuzzy = fuzzy
        self.lines = read_lines(prompt)
        self.clauses = divide(prompt, self.lines, beginnings)
        self.earlier = Earlier(before)
        self.calls: list[Call] = []
        self.unparsed: list[Unparsed] = []
        self.ledger = Ledger(prompt)

    @cached_property
    def _listed(self) -> ListedLines:  # most prompts have no list in several lines
        return ListedLines(self.prompt, self.lines, self.readers.sense, self.readers.open)

    def steps(self) -> list[Step]:
        """The steps of all clauses; none when `unparsed` says what was not understood."""
        at = 0
        while at < len(self.clauses):
            at = self.take(at)
        if not self.calls and not self.unparsed:
            self.refuse(0, len(self.prompt.words))
        self.account_between()
        if not self.unparsed:
            for start, end in self.ledger.missing():
                self.refuse(start, end)
        if self.unparsed:
            return []
        return [self.step(number, call) for number, call in enumerate(self.calls, 1)]

    def take(self, at: int) -> int:
        """Read the clause at `at`, with the ones after it where they belong to it."""
        following = self.open(at)
        if following is not None:
            return following
        start, end = self.clauses[at].start, self.clauses[at].end
        only = self.earlier.is_before and len(self.clauses) == 1  # "it's done" is no courtesy then
        if not (only and self.read(at, at)) and self.is_talk(at):
            self.ledger.use(start, end, POLITENESS)
            return at + 1
        alone = self.read(at, at)
        heading = is_name_of_list(self.prompt.words, start, end)  # "to do list, add tea"
        joined = self.joined(at, alone is not None and not heading, alone)
        calls, last = (alone, at) if joined is None else joined
        if calls is None:
            following = self.open(at, weak=True)
            if following is not None:
                return following
            if self.is_ignorable(at):
                self.ledger.use(start, end, REMARK)
            else:
                self.refuse(self.not_understood(start, end), end)
        elif repeats_list(calls, self.earlier.last, names_list(self.prompt.words, start, end)):
            self.ledger.use(start, self.clauses[last].end, REMARK)
        else:
            self.add(calls, start, self.clauses[last].end)
        return last + 1

    def add(self, calls: list[Call], start: int, end: int) -> None:
        """Plan these calls next, which the words from `start` to `end` ask for."""
        self.calls += calls
        for call in calls:
            self.earlier.follow(call.tool)
            for use in call.uses or (Use(call.start, call.end, call.reasoning),):
                self.ledger.use(*use)
        self.ledger.talk(start, end, sums=any(call.tool == CALCULATOR for call in calls))

    def account_between(self) -> None:
        """Note the marks of lines and what stands between clauses."""
        words = self.prompt.words
        for line in self.lines:
            self.ledger.use(line.mark, line.start, MARK)
        for at, word in enumerate(words):
            if word == "\n":
                self.ledger.use(at, at + 1, CONNECTOR)
        for before, after in pairwise(self.clauses):
            if before.line == after.line and "or" not in words[before.end : after.start]:
                self.ledger.use(before.end, after.start, CONNECTOR)
        for line in self.lines:
            self.ledger.talk(line.start, line.end)

    # After an explicit opening the rest is the item, up to what is clearly a next request.

    def open(self, at: int, *, weak: bool = False) -> int | None:
        """Read the clause at `at` by its opening; the clause after it, or None without one.

        After a `weak` opening it is read so only where it is understood in no other way.
        """
        clause = self.clauses[at]
        line = self.lines[clause.line]
        begin = take_off_opening(self.prompt.words, clause.start, line.end)
        opening = find_opening(self.prompt, begin, line.end)
        if opening is None or opening.is_weak != weak:
            return None
        if asks_permission(self.prompt.words, clause.start, line.end):
            return None
        if opening.after == line.end:
            return self.open_lines(at, opening)
        if opening.kind is Opens.HEADING:
            return None
        following = self.following_request(at, opening)
        end = self.end_before(following, clause.line)
        calls = self.readers.open(self.prompt, opening, end, self.earlier)
        if calls is None:
            return None
        self.ledger.use(opening.start, opening.after, "adds a to-do")
        if opening.holds_several:
            for at in range(opening.after, calls[-1].start):
                if not any(call.start <= at < call.end for call in calls):
                    self.ledger.use(at, at + 1, MARK)  # what stands between items
        self.add(calls, clause.start, end)
        return following

    def open_lines(self, at: int, opening: Opening) -> int | None:
        """The lines after a heading as items: those with marks, or all up to a blank line."""
        first = self.clauses[at].line + 1
        if self.lines[first - 1].is_marked and not opening.signed:
            return None  # one request of several, each in its line
        last = self._listed.end(first, opening, self.earlier)
        if last == first:
            return None
        calls = self._listed.read(first, last, opening, self.earlier)
        if calls is None:
            return None
        self.ledger.use(opening.start, opening.after, "adds to-dos")
        self.add(calls, self.clauses[at].start, self.lines[last - 1].end)
        return next(
            (after for after in range(at, len(self.clauses)) if self.clauses[after].line >= last),
            len(self.clauses),
        )

    def following_request(self, at: int, opening: Opening) -> int:
        """The first clause after the one at `at` that is no part of what was opened there."""
        words = self.prompt.words
        line = self.clauses[at].line
        added = self.earlier.and_then(f"{STORE}add")
        for number in range(at + 1, len(self.clauses)):
            clause = self.clauses[number]
            if clause.line != line:
                return number
            if clause.start <= opening.after or clause.bond == Bond.NUMBER:
                continue
            sign = words[clause.start - 1]
            begin = take_off_opening(words, clause.start, clause.end)
            if opening.holds_several and sign in (",", ";"):
                another = find_opening(self.prompt, begin, self.lines[line].end)
                if another is not None and another.holds_several:
                    return number
                continue  # what stands between two items
            if (
                self.begins_request(number, added)
                or find_opening(self.prompt, begin, self.lines[line].end) is not None
                or OTHER_REQUESTS.longest(words, begin, clause.end) is not None
                or (clause.bond == Bond.HARD and not opening.signed)
            ):
                return number
        return len(self.clauses)

    def begins_request(self, at: int, earlier: Earlier) -> bool:
        """Whether the clause at `at`, with those after it that numbers divide, is a request."""
        last = at
        while not self.readers.sense(
            self.prompt, self.clauses[at].start, self.clauses[last].end, earlier
        ):
            last += 1
            if last == min(at + _MOST_JOINED, len(self.clauses)):
                return False
            if self.clauses[last].bond != Bond.NUMBER:
                return False
        return True

    def end_before(self, number: int, line: int) -> int:
        """Where the words end that belong to the clauses of `line` before clause `number`."""
        if number < len(self.clauses) and self.clauses[number].line == line:
            return self.clauses[number - 1].end
        return self.lines[line].end

    # Clauses that ask for nothing, and clauses that belong together.

    def is_talk(self, at: int) -> bool:
        """Whether the clause at `at` asks for nothing at all."""
        words, start, end = self.prompt.words, self.clauses[at].start, self.clauses[at].end
        if self.earlier.is_before and at + 1 < len(self.clauses):
            found = SECOND_THOUGHTS.longest(words, start, end)
            if found is not None and found[0] == end:
                return True
        return is_courtesy(words, start, end) or (self.fuzzy and is_small_talk(words, start, end))

    def is_ignorable(self, at: int) -> bool:
        """Whether the clause at `at` belongs to the request before it, or to the one after it."""
        words, clause = self.prompt.words, self.clauses[at]
        if is_echo(words, clause.start, clause.end, self.earlier.last):
            return True
        following = self.read(at + 1, at + 1) if at + 1 < len(self.clauses) else None
        if following is None:
            return False
        return is_echo(words, clause.start, clause.end, following[0].tool) or is_reason(
            words, clause.start, clause.end, following
        )

    def joined(
        self, at: int, understood: bool, alone: list[Call] | None
    ) -> tuple[list[Call], int] | None:
        """The clause at `at` together with next ones that make no sense by themselves.

        What would be understood alone is never swallowed: it is a request of its own.
        """
        earlier = self.earlier.and_then(alone[-1].tool) if alone and understood else self.earlier
        for last in range(at + 1, min(at + _MOST_JOINED, len(self.clauses))):
            bond = self.clauses[last].bond
            if bond == Bond.HARD or (understood and bond == Bond.CLEAR):
                return None
            inside_number = bond == Bond.NUMBER and not understood
            if not inside_number and self.makes_sense(last, earlier):
                return None
            calls = self.read(at, last)
            if calls is not None:
                return calls, last
        return None

    def makes_sense(self, at: int, earlier: Earlier | None = None) -> bool:
        """Whether the clause at `at` could be a request of its own, however it is read."""
        clause = self.clauses[at]
        calls = self.readers.sense(self.prompt, clause.start, clause.end, earlier or self.earlier)
        return calls is not None

    def read(self, first: int, last: int) -> list[Call] | None:
        """What the clauses from `first` to `last` ask for as one."""
        start, end = self.clauses[first].start, self.clauses[last].end
        return self.readers.understand(self.prompt, start, end, self.earlier)

    def refuse(self, start: int, end: int) -> None:
        """Note words that were not understood."""
        prompt = self.prompt
        span = (
            [prompt.starts[start], prompt.ends[end - 1]] if start < end else [0, len(prompt.text)]
        )
        self.unparsed.append({"text": prompt.text[span[0] : span[1]], "span": span})

    def not_understood(self, start: int, end: int) -> int:
        """Where in a clause the words begin that are the reason to refuse it."""
        words = self.prompt.words
        joints = [at for at in range(start + 1, end - 1) if words[at] in _JOINTS]
        for at in joints[:_MOST_JOINED]:
            before = self.readers.sense(self.prompt, start, at, self.earlier)
            if before is not None:
                return at + 1
        return start

    def step(self, number: int, call: Call) -> Step:
        """A call as the step of this number."""
        return {
            "step": number,
            "tool": call.tool,
            "input": call.input,
            "reasoning": call.reasoning,
            "span": [self.prompt.starts[call.start], self.prompt.ends[call.end - 1]],
        }
