"""What a run's models are offered: the tools that they may plan with, told in one fixed text.

Of many tools they are told those that the words of the request fit best: SQLite ranks them (BM25)
by their names, phrases and descriptions, the same every time.
"""

import re
import sqlite3
import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from graph.state import RunState
from nodes.contract.plan_check import run_tools
from nodes.planning.answer import AnswerForm, answer_form, wanted
from nodes.planning.prompt import instructions, of_caller, of_operator, of_others
from tools.registry import Tool

#: So many different words of a request are looked for, the first ones.
MOST_WORDS = 300

_WORD = re.compile(r"[^\W_]+")

_TABLE = """
    CREATE VIRTUAL TABLE tools USING fts5(
        name, phrases, description, tokenize = 'porter unicode61 remove_diacritics 2'
    )
"""

# A word counts most in a name, then in a phrase.
_RANKED = """
    SELECT rowid FROM tools WHERE tools MATCH ? ORDER BY bm25(tools, 8.0, 4.0, 1.0), rowid
"""


class ToolIndex:
    """Tools by their words; made once, since they do not change while a process runs."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        self._names = list(tools)
        # One loop asks it at a time, in whatever thread that runs.
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._connection.close)
        self._connection.execute(_TABLE)
        rows = [
            (number, _words(tool.name), " ".join(map(_words, tool.phrases)), tool.description)
            for number, tool in enumerate(tools.values())
        ]
        insert = "INSERT INTO tools (rowid, name, phrases, description) VALUES (?, ?, ?, ?)"
        self._connection.executemany(insert, rows)

    def best(self, prompt: str, among: Collection[str], size: int) -> list[str]:
        """At most `size` of the names `among`, in the order of the tools.

        Where the words fit fewer, the first ones of the others are with them: a request may be in
        a language that the tools do not speak.
        """
        ranked = [name for name in self._ranked(prompt) if name in among]
        others = [name for name in self._names if name in among]
        chosen = {*list(dict.fromkeys(ranked + others))[:size]}
        return [name for name in self._names if name in chosen]

    def fitting(self, words: str, among: Collection[str], size: int) -> list[str]:
        """At most `size` of the names `among` whose tools have one of the words, the best first."""
        return [name for name in self._ranked(words) if name in among][:size]

    def named_in(self, text: str, among: Collection[str]) -> list[str]:
        """Those of the names `among` that a text has as they are written: how a model asks for
        tools that it was not told of."""
        found = set(re.findall(r"[\w.-]+", text))
        found |= {name.rstrip(".-") for name in found}
        return [name for name in self._names if name in among and name in found]

    def _ranked(self, prompt: str) -> list[str]:
        words = list(dict.fromkeys(_WORD.findall(_words(prompt).lower())))[:MOST_WORDS]
        if not words:
            return []
        query = " OR ".join(f'"{word}"' for word in words)
        return [self._names[number] for (number,) in self._connection.execute(_RANKED, (query,))]


def _words(text: str) -> str:
    """The text with the words of `camelCase` apart."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)


#: So many tools are told beside the others for words that a model has asked with.
MOST_FITTING = 5

#: So many texts are kept, for the next run that is told of the same tools.
MOST_KEPT = 64


@dataclass(frozen=True)
class Rendered:
    """The form of an answer over some tools, and the text about them."""

    form: AnswerForm
    fixed: str


@dataclass(frozen=True)
class Offer:
    """What a run may plan with.

    A plan is held to `tools`; of those the model is told in `text`, and answers in `form`. Where
    these are fewer, `shortlist` has their names.
    """

    tools: Mapping[str, Tool]
    form: AnswerForm
    text: str
    shortlist: list[str] | None


@dataclass(frozen=True)
class Offers:
    """The offers of a server.

    `operator` is what its operator wants of every plan; of more tools than `most` a model is
    told only those that fit the request best, 0 for all.
    """

    tools: Mapping[str, Tool]
    operator: str = ""
    most: int = 0
    _kept: dict[tuple[str, ...], Rendered] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.most < len(self.tools):
            self._about(self.tools)  # takes milliseconds a tool: better now than in the first run

    def of(self, state: RunState, answers: Sequence[str] = ()) -> Offer:
        """What the models of this run are offered.

        Also the tools that are named in what they have answered, and a few that fit the words best
        with which they have asked for others.
        """
        allowed = run_tools(state, self.tools)
        names = self._shortlist(_request(state), allowed, answers)
        shown = allowed if names is None else {name: allowed[name] for name in names}
        offered, choice = self._about(shown), state.get("choice")
        others = of_others([name for name in allowed if name not in shown])
        text = offered.fixed + others + of_caller(choice["instructions"] if choice else None)
        return Offer(allowed, offered.form, text, names)

    def _shortlist(
        self, words: str, allowed: Collection[str], answers: Sequence[str]
    ) -> list[str] | None:
        if not 0 < self.most < len(allowed):
            return None
        best = self._index.best(words, allowed, self.most)
        named = {*best, *self._index.named_in("\n".join(answers), allowed)}
        for asked in filter(None, map(wanted, answers)):
            named |= {*self._index.fitting(asked, allowed, MOST_FITTING)}
        return [name for name in self.tools if name in named]

    @cached_property
    def _index(self) -> ToolIndex:
        return ToolIndex(self.tools)

    def _about(self, tools: Mapping[str, Tool]) -> Rendered:
        names = tuple(tools)
        if names not in self._kept:
            if len(self._kept) >= MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            form = answer_form(tools)
            fixed = instructions(tools, form) + of_operator(self.operator)
            self._kept[names] = Rendered(form, fixed)
        return self._kept[names]


def _request(state: RunState) -> str:
    """The words by which tools are found: also those of the prompt before, which "it" is about."""
    conversation = state.get("conversation")
    before = conversation["turns"][-1:] if conversation else []
    return "\n".join([state["prompt"], *(turn["prompt"] for turn in before)])
