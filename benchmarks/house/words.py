"""How often private words are left, in code, in what explains it, and in the pages.

Counted are the names of modules and folders, every name in code, docstrings, comments, the README
and the pages in `docs`; not strings, which are language, SQL and what users are shown.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.house.private_words import WORDS, Word
from benchmarks.house.tree import PROJECT, Tree

_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_QUOTED = re.compile(r"`([^`\n]+)`")
_PIECES = re.compile(r"\n(?=\s*\n|[|#>*-])")
_REPLACED = re.compile(r"(?<!\{)\{(?!\{)(?:[^{}]|\{[^{}]*\})*\}")

#: What is no name. Since Python 3.12 the literal parts of an f-string are tokens of their own.
_NO_CODE = (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", None))


@dataclass(frozen=True)
class Found:
    """One place where a private word is left.

    `line` is where the docstring or paragraph begins that it is in; 0 for the name of a file.
    """

    word: str
    place: str
    line: int
    text: str


@dataclass(frozen=True)
class _Text:
    """A piece of a file: code as it stands, or prose as one line."""

    place: str
    line: int
    text: str
    is_code: bool


def measure(tree: Tree = PROJECT, words: Sequence[Word] = WORDS) -> list[Found]:
    """Every place where one of the words is left, by word; no place counts for two words."""
    texts = [*_names(tree), *_code_and_prose(tree), *_pages(tree)]
    taken: set[tuple[str, int, int, bool]] = set()
    return [found for word in words for text in texts for found in _find(word, text, taken)]


def counts(found: Iterable[Found], words: Sequence[Word] = WORDS) -> dict[str, int]:
    """How often each word is left, the most frequent first; those that are not left too."""
    counted = {word.name: 0 for word in words}
    for one in found:
        counted[one.word] += 1
    return dict(sorted(counted.items(), key=lambda item: -item[1]))


def _find(word: Word, text: _Text, taken: set[tuple[str, int, int, bool]]) -> Iterator[Found]:
    if word.within and not any(_is_below(text.place, folder) for folder in word.within):
        return
    if text.place.endswith(".md") and not word.pages:
        return
    for pattern, searched in _searches(word, text):
        for match in pattern.finditer(searched):
            at = (text.place, text.line, match.start(), text.is_code)
            if at in taken:
                continue
            taken.add(at)
            line = text.line + searched.count("\n", 0, match.start())
            yield Found(word.name, text.place, line, match[0])


def _searches(word: Word, text: _Text) -> Iterator[tuple[re.Pattern[str], str]]:
    """The patterns that hold in a text, each with the parts of the text that it is for."""
    if word.code:
        yield as_code(word), text.text if text.is_code else _only(_QUOTED, text.text)
    if word.prose and not text.is_code:
        yield as_prose(word), text.text


def as_code(word: Word) -> re.Pattern[str]:
    """What finds the word in code."""
    return _whole(word.code)


def as_prose(word: Word) -> re.Pattern[str]:
    """What finds the word in what is written for readers."""
    return _whole(word.prose)


@cache
def _whole(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)")


def _names(tree: Tree) -> Iterator[_Text]:
    """The name of every module and folder, as it is written where it is imported."""
    folders = [folder for package in tree.packages for folder in tree.folders(package)[1:]]
    for path in [*tree.modules(), *folders]:
        if path.name != "__init__.py":
            yield _Text(tree.place(path), 0, f".{path.stem}", is_code=True)


def _code_and_prose(tree: Tree) -> Iterator[_Text]:
    for path in tree.modules():
        place, source = tree.place(path), path.read_text()
        prose = [*_docstrings(source), *_comments(source)]
        yield _Text(place, 1, _code(source), is_code=True)
        yield from (_Text(place, at, _as_one_line(text), is_code=False) for at, text in prose)


def _pages(tree: Tree) -> Iterator[_Text]:
    """The paragraphs, list items and table rows of every page; not what is fenced off as code."""
    for path in tree.pages():
        text = _FENCED.sub(lambda match: _blank(match[0]), path.read_text())
        begins = 1
        for piece in _PIECES.split(text):
            yield _Text(tree.place(path), begins, _as_one_line(piece), is_code=False)
            begins += piece.count("\n") + 1


def _docstrings(source: str) -> Iterator[tuple[int, str]]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            yield node.body[0].lineno, ast.get_docstring(node, clean=False) or ""


def _comments(source: str) -> Iterator[tuple[int, str]]:
    for token in _tokens(source):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _code(source: str) -> str:
    """The code with blanks where strings and comments are, all at the places where they were.

    What is computed within an f-string is code.
    """
    starts = [0, *(match.end() for match in re.finditer("\n", source))]
    code, end = [], 0
    for token in _tokens(source):
        if token.type not in _NO_CODE:
            continue
        begin = starts[token.start[0] - 1] + token.start[1]
        code += [source[end:begin], _string(token.string)]
        end = starts[token.end[0] - 1] + token.end[1]
    return "".join([*code, source[end:]])


def _string(literal: str) -> str:
    """Blanks for a literal, but for what is computed in it."""
    prefix = re.split("['\"]", literal, maxsplit=1)[0]
    return _only(_REPLACED, literal) if "f" in prefix.lower() else _blank(literal)


def _only(pattern: re.Pattern[str], text: str) -> str:
    """A text with blanks for everything that the pattern does not find."""
    kept, end = [], 0
    for match in pattern.finditer(text):
        kept += [_blank(text[end : match.start()]), match[0]]
        end = match.end()
    return "".join([*kept, _blank(text[end:])])


def _as_one_line(text: str) -> str:
    return " ".join(text.split())


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(source).readline)


def _is_below(place: str, folder: str) -> bool:
    return Path(place).is_relative_to(folder)
