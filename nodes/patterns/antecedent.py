"""What "it", "them" and "the first one" stand for: what an earlier step, or another run, returned.

A word of the prompt that refers to an earlier step of the same prompt means that step. In a prompt
that continues a conversation it is, before the first step, what the thread's last run returned: a
value, a to-do or to-dos. While a prompt is read that acts as the output of a step 0; a plan has the
values themselves in its place, and says where they come from.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from graph.state import Conversation, Referent, Step
from graph.state.wording import counted, shortened
from nodes.patterns.english.todo_templates import ALL_OF_THEM, BOTH, PLACES
from nodes.patterns.grammar.phrases import phrase_set
from nodes.patterns.grammar.words import CALCULATOR, STORE, literal
from tools.registry import number_text

#: What the last run left: `gone` is a to-do that it deleted, `several` more values than one.
Kind = Literal["number", "text", "todo", "todos", "gone", "several", "nothing"]

OUTPUT = "{step_0_output}"
_TOKEN = re.compile(r"\{\{|\}\}|\{step_0_output(?:\[(?P<place>[0-9]+)\])?(?:\.(?P<field>\w+))?\}")
_IN_BRACKETS = re.compile(r"\((\{step_0_output(?:\[[0-9]+\])?\})\)")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_LONGEST_NUMBER = 320  # characters; no tool of ours writes a longer one
_SHOWN_TEXT = 60  # characters of a to-do in a message
_MOST_NAMED = 3  # to-dos that a step says it takes


@dataclass(slots=True)
class Antecedent:
    """What the last run left to refer to; one is made for each reading of a prompt.

    `values` are what it returned, one after another, and `described` says so: "returned 2 to-dos".
    `meant_otherwise`: words of the prompt mean something else by it than they would alone.
    """

    run_id: str
    kind: Kind
    output: Any
    values: Sequence[Any]
    described: str
    is_listing: bool = False
    meant_otherwise: bool = False

    # References, as those to steps: None, or none of them, where it is nothing of the kind.

    @property
    def results(self) -> list[str]:
        """To its values; of several the last one is empty, since "it" is none of them."""
        if self.kind == "number":
            return [OUTPUT]
        if self.kind == "several" and all(_as_number(value) for value in self.values):
            return [*(f"{{step_0_output[{at}]}}" for at in range(len(self.values))), ""]
        return []

    @property
    def text(self) -> str | None:
        """To what can become the words of a to-do."""
        return OUTPUT if self.kind in ("number", "text") else self.gone

    @property
    def name(self) -> str | None:
        """To the words by which it can be looked for."""
        if self.kind in ("todo", "gone") or (self.kind == "todos" and len(self.values) == 1):
            return self._field(0, "text")
        return self.text

    @property
    def todo(self) -> str | None:
        """To the id of the one to-do."""
        one = self.kind in ("todo", "todos") and len(self.values) == 1
        return self._field(0, "id") if one else None

    @property
    def gone(self) -> str | None:
        """To the words of the to-do that it deleted."""
        return self._field(0, "text") if self.kind == "gone" else None

    def everyone(self) -> list[str] | None:
        """To the ids of all to-dos, where nothing says of which; None for those of the list."""
        if self.kind not in ("todos", "nothing"):
            return None
        self.meant_otherwise = True
        return [self._field(at, "id") for at in range(len(self.values))]

    def all_todos(self, symbols: Sequence[str]) -> list[str] | None:
        """To the ids of all its to-dos, where the words are for all of them."""
        if self.kind != "todos" or not self.values:
            return None
        end = len(symbols)
        table = BOTH if len(self.values) == 2 and symbols[0] not in ("all", "every") else None
        found = (table and table.longest(symbols, 0, end)) or ALL_OF_THEM.longest(symbols, 0, end)
        if found is None or found[0] != end:
            return None
        self.meant_otherwise = True
        return [self._field(at, "id") for at in range(len(self.values))]

    def at(self, place: str, symbols: Sequence[str]) -> str | None:
        """To the id of the to-do at a place of what was listed; None where there is none.

        None too where nothing was listed: an earlier listing may be meant, or the whole list.
        """
        self.meant_otherwise = True
        if not self.is_listing:
            return None
        count = len(self.values)
        at = count if place == "last" else int(place)
        return self._field(at - 1, "id") if 1 <= at <= count else None

    def _field(self, at: int, name: str) -> str:
        place = f"[{at}]" if isinstance(self.output, list) else ""
        return f"{{step_0_output{place}.{name}}}"

    # What comes of a reading.

    def filled(self, steps: Sequence[Step], numbers: Mapping[str, Mapping[str, Any]]) -> list[Step]:
        """The steps with its values for the references to it, and with where these come from.

        `numbers` are the parameters of each tool that take numbers.
        """
        return [self._filled(step, numbers.get(step["tool"], {})) for step in steps]

    def _filled(self, step: Step, numbers: Mapping[str, Any]) -> Step:
        given, used = {}, dict[str, None]()
        for name, value in step["input"].items():
            if step["tool"] == CALCULATOR and isinstance(value, str):
                value = _IN_BRACKETS.sub(self._operand, value)
            if name in numbers and value == OUTPUT:
                used[_described(self.output)] = None
                value = self.output
            else:
                value = self._replaced(value, used)
            given[name] = value
        if not used:
            return step
        taken = ", ".join(used) if len(used) <= _MOST_NAMED else counted(len(used), "to-do")
        return {
            **step,
            "input": given,
            "reasoning": f"{step['reasoning']}; takes {taken} from run {self.run_id}",
        }

    def _operand(self, found: re.Match[str]) -> str:
        """A value in an expression, which needs brackets only where it has a sign."""
        token = _TOKEN.fullmatch(found[1])
        text = self._text(token) if token else found[1]
        return found[0] if text.startswith("-") else found[1]

    def _replaced(self, value: Any, used: dict[str, None]) -> Any:
        if isinstance(value, list):
            return [self._replaced(part, used) for part in value]
        if not isinstance(value, str) or "{step_0_" not in value:
            return value

        def text_of(token: re.Match[str]) -> str:
            if token[0] in ("{{", "}}"):
                return token[0]
            used[_described(self._part(token["place"]))] = None
            return literal(self._text(token))

        return _TOKEN.sub(text_of, value)

    def _part(self, place: str | None) -> Any:
        return self.output if place is None else self.output[int(place)]

    def _text(self, token: re.Match[str]) -> str:
        part = self._part(token["place"])
        value = part[token["field"]] if token["field"] else part
        return _as_number(value) or str(value)


def antecedent_of(conversation: Conversation) -> Antecedent | None:
    """What the last run of a conversation left to refer to; None where nothing went before."""
    if not (conversation["turns"] or conversation["left_out"]):
        return None
    if (last := conversation["last"]) is not None:
        return _of(last)
    status = conversation["turns"][-1]["status"] if conversation["turns"] else "completed"
    why = {"failed": "failed", "cancelled": "was cancelled"}
    described = why.get(status, "returned nothing that can be referred to, or too much")
    return Antecedent("", "nothing", None, (), described)


def _of(last: Referent) -> Antecedent:
    run_id, tool, output = last["run_id"], last["tool"], last["output"]
    parts = output if isinstance(output, list) else [output]
    if tool.startswith(STORE) and all(map(_is_todo, parts)):
        return _of_todos(run_id, tool, output, parts)
    if isinstance(output, list):
        described = f"returned a list of {counted(len(output), 'value')}"
        return Antecedent(run_id, "several", output, output, described)
    if _as_number(output):
        return Antecedent(run_id, "number", output, parts, f"returned {_described(output)}")
    if isinstance(output, str) and output.strip():
        return Antecedent(run_id, "text", output, parts, "returned a text")
    if isinstance(output, bool):
        return Antecedent(run_id, "nothing", None, (), f"returned {'yes' if output else 'no'}")
    return Antecedent(run_id, "nothing", None, (), "returned no single value")


def _of_todos(run_id: str, tool: str, output: Any, todos: Sequence[Any]) -> Antecedent:
    described = f"returned {_described(output)}"
    if tool == f"{STORE}delete":
        if len(todos) == 1:
            return Antecedent(run_id, "gone", output, todos, f"deleted {_described(todos[0])}")
        deleted = f"deleted {counted(len(todos), 'to-do')}"
        return Antecedent(run_id, "nothing", None, (), deleted)
    kind: Kind = "todos" if isinstance(output, list) else "todo"
    return Antecedent(run_id, kind, output, todos, described, is_listing=tool == f"{STORE}list")


def _is_todo(record: Any) -> bool:
    return isinstance(record, dict) and all(
        isinstance(record.get(name), str) and record[name] for name in ("id", "text")
    )


def _as_number(value: Any) -> str | None:
    """A value as it is written in a calculation; None where it is no number."""
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value):
        return value
    return None


def _described(output: Any) -> str:
    if (number := _as_number(output)) is not None:
        return number if len(number) <= _SHOWN_TEXT else f"a number of {len(number)} characters"
    if _is_todo(output):
        return f"the to-do “{shortened(output['text'], _SHOWN_TEXT)}”"
    return counted(len(output), "to-do") if isinstance(output, list) else "the text"


# What words stand for among the steps of one prompt, and before the first of them.


#: Words for a value that was computed before.
RESULTS = phrase_set(
    [
        "it|that|this|them",
        "[the|that|this|its|my|your] [last|previous|final|above] "
        "(result|answer|total|output|outcome|value|number|sum|product|quotient|difference)",
        "(the result|the answer|the output|the value|the total) (of|from) "
        "(that|it|this|the calculation|the last step|the first step|the previous step|step one)",
        "what (you|i|we) (get|got)",
    ]
)

#: Words for a to-do that was named before.
TODOS = phrase_set(
    [
        "it|that|this",
        "(that|this|the|the new|that new|the same|that same) (one|todo|to do|task|item|chore)",
    ]
)

_NAMED_RESULTS = 3  # "the third result" is the last that has a name of its own
_RECORDS = frozenset(STORE + name for name in ("add", "get", "update", "complete"))


class Earlier:
    """The steps planned so far, as far as later words can refer to them.

    What was there `before` them is referred to only by the words of the first, but for places.
    """

    def __init__(self, before: Antecedent | None = None) -> None:
        self.before = before
        self.conversation = before  # the same, whatever steps there are
        self.is_before = before is not None  # whether words refer to that, and to no step
        self.steps = 0
        self.last: str | None = None  # the tool of the last step
        self.about_todos = False  # whether the last step was about to-dos
        # References to the values computed so far, the last of which is "it".
        self.results: list[str] = before.results if before else []
        # To the latest output that is more than a to-do.
        self.result: str | None = before.text if before else None
        # To the id of the to-do that the last step handled.
        self.todo: str | None = before.todo if before else None

    def follow(self, tool: str) -> None:
        """Take note of one more step."""
        if self.is_before:
            self.is_before, self.results, self.result = False, [], None
        if tool == f"{STORE}list":
            self.before = None  # places are those of the list that this step shows
        self.steps += 1
        self.last = tool
        self.about_todos = tool.startswith(STORE)
        self.todo = f"{{step_{self.steps}_output.id}}" if tool in _RECORDS else None
        if not self.about_todos:
            self.result = f"{{step_{self.steps}_output}}"
        if tool == CALCULATOR:
            self.results.append(f"{{step_{self.steps}_output}}")

    def and_then(self, tool: str) -> "Earlier":
        """These steps and one more."""
        later = Earlier(self.before)
        later.conversation = self.conversation
        later.steps, later.last, later.about_todos = self.steps, self.last, self.about_todos
        later.is_before = self.is_before
        later.results, later.result, later.todo = [*self.results], self.result, self.todo
        later.follow(tool)
        return later

    @property
    def situation(self) -> tuple[bool | int, ...]:
        """What of this decides whether words are understood, beside which step they refer to."""
        results = min(len(self.results), _NAMED_RESULTS)
        has = (of is not None for of in (self.before, self.result, self.todo))
        return (self.is_before, self.about_todos, results, *has)

    @property
    def number(self) -> str | None:
        """A reference to the latest computed value."""
        return (self.results[-1] or None) if self.results else None

    def place(self, place: str, symbols: Sequence[str]) -> str | None:
        """The to-do at a place of the list, or of what was listed before; None for none."""
        return place if self.before is None else self.before.at(place, symbols)

    def everyone(self) -> list[str] | None:
        """References to all to-dos, where nothing says of which; None for those of the list."""
        return self.before.everyone() if self.before and self.is_before else None

    def all_todos(self, symbols: Sequence[str]) -> list[str] | None:
        """References to all the to-dos before, where the words are for all of them."""
        return self.before.all_todos(symbols) if self.before and self.is_before else None


def is_whole(table_words: Sequence[str], start: int, end: int, *, todo: bool = False) -> bool:
    """Whether the words are nothing but a reference."""
    found = (TODOS if todo else RESULTS).longest(table_words, start, end)
    return found is not None and found[0] == end


# Why a prompt is refused: it would be understood if the last run had returned something else.


def _todos(count: int) -> list[dict[str, str]]:
    return [{"id": "an id", "text": "a to-do"}] * count


LISTED = "one of a list of to-dos"
#: What the last run could have returned, and how it is called.
_SUPPOSED = {
    "a value": Antecedent("", "number", 1, (1,), ""),
    "one to-do": Antecedent("", "todo", _todos(1)[0], _todos(1), ""),
    "a deleted to-do": Antecedent("", "gone", _todos(1)[0], _todos(1), ""),
    "several to-dos": Antecedent("", "todos", _todos(3), _todos(3), ""),
    "two to-dos": Antecedent("", "todos", _todos(2), _todos(2), ""),
    LISTED: Antecedent("", "todos", _todos(50), _todos(50), "", is_listing=True),
}


def supposed() -> Iterator[tuple[str, Antecedent]]:
    """What the last run could have returned, and what that is in words."""
    for words, antecedent in _SUPPOSED.items():
        yield words, replace(antecedent)


def is_used(steps: Sequence[Step]) -> bool:
    """Whether steps refer to what the last run returned."""
    return any("{step_0_output" in str(step["input"]) for step in steps)


def referring(words: Sequence[str], start: int, end: int) -> tuple[int, int] | None:
    """The first of the words from `start` to `end` that refer to something said before."""
    for at in range(start, end):
        reached = [
            found[0]
            for table in (RESULTS, TODOS, BOTH, ALL_OF_THEM, PLACES)
            if (found := table.longest(words, at, end)) is not None
        ]
        if reached:
            return at, max(reached)
    return None
