"""Which of many tools a model is told of: those that the words of the request fit best.

SQLite ranks them (BM25) by their names, phrases and descriptions, the same every time.
"""

import re
import sqlite3
import weakref
from collections.abc import Collection, Mapping

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
