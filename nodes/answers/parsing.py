"""How what a model says becomes an answer: its words as they come, and a value in a shape.

What a model thinks aloud is cut before anybody sees it. The shape is one that the caller has
described by a JSON Schema.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nodes.contract.json_data import InvalidOutput, loads, plain, storable

#: The longest answer that is kept and told, in characters; the rest is cut.
LONGEST = 32_000

_CUT = "…"

_THOUGHTS = ("think", "thinking", "thought", "reasoning")
_VALUE = "value"


class SpokenText:
    """Takes an answer part by part, however it is split, and gives back what may be shown of it.

    What stands between `<think>` tags, and others for the same, is thought and left out; what
    stands between `<value>` tags is for programs where the answer is to be `shaped`, and kept in
    `values`; else it is text. Spaces at both ends are no part of the text.
    """

    def __init__(self, *, shaped: bool = False) -> None:
        names = (*_THOUGHTS, _VALUE) if shaped else _THOUGHTS
        self._tags = tuple(f"<{end}{name}>" for end in ("", "/") for name in names)
        self._tag = re.compile(rf"<(?P<end>/?)(?P<name>{'|'.join(names)})>", re.IGNORECASE)
        self.text = ""
        self.values: list[str] = []
        self._taken_back = ""
        self._pending = ""
        self._inside: str | None = None  # "thought" or "value"
        self._spaces = ""
        self._whole = False  # as long as it may be

    def add(self, part: str) -> tuple[str, int]:
        """What may be shown now, and at which character of the text it stands.

        At 0 again where all before was a thought whose beginning was not marked; that comes back
        at the end where nothing has followed it.
        """
        self._pending += storable(part).replace("\0", "")
        before = len(self.text)
        while tag := self._tag.search(self._pending):
            self._take(self._pending[: tag.start()])
            self._pending = self._pending[tag.end() :]
            before = min(before, self._enter(tag["name"].lower(), ended=bool(tag["end"])))
        keep = self._beginning()
        place = len(self._pending) - keep
        self._take(self._pending[:place])
        self._pending = self._pending[place:]
        return self.text[before:], before

    @property
    def in_value(self) -> bool:
        """Whether the last of the values has not ended."""
        return self._inside == _VALUE

    def end(self) -> tuple[str, int]:
        """The same once nothing follows: what looked like the beginning of a tag was none."""
        before = len(self.text)
        rest, self._pending = self._pending, ""
        self._take(rest)
        if not self.text and not self.values:
            self.text, self._taken_back = self._taken_back, ""  # better than no answer
        return self.text[before:], before

    def _enter(self, name: str, *, ended: bool) -> int:
        """Go into or out of what is not shown; where the text continues."""
        kind = _VALUE if name == _VALUE else "thought"
        if self._inside == kind:
            if ended:
                self._inside = None
        elif self._inside is not None:
            self._take(f"<{'/' if ended else ''}{name}>")
        elif not ended:
            self._inside = kind
            if kind == _VALUE:
                self.values.append("")
        elif kind == "thought":
            self._taken_back = self.text or self._taken_back
            self.text, self._spaces, self._whole = "", "", False
        return len(self.text)

    def _take(self, part: str) -> None:
        if self._inside == _VALUE:
            self.values[-1] = self.values[-1][: 10 * LONGEST] + part
        if self._inside is not None or self._whole:
            return
        shown = self._spaces + part if self.text else part.lstrip()
        kept = shown.rstrip()
        self._spaces = shown[len(kept) :]
        self.text += kept
        if len(self.text) > LONGEST:
            self.text, self._whole = self.text[:LONGEST] + _CUT, True

    def _beginning(self) -> int:
        """How many characters at the end may be the beginning of a tag."""
        text = self._pending
        place = text.rfind("<", max(0, len(text) - max(map(len, self._tags))))
        if place < 0:
            return 0
        tail = text[place:].lower()
        return len(tail) if any(tag.startswith(tail) for tag in self._tags) else 0


#: The largest schema, in characters of its JSON: a model is sent all of it.
LONGEST_SCHEMA = 8_000

#: Keywords that are not checked here, so that what they forbid would be taken for fitting.
_UNCHECKED = ("unevaluatedItems", "unevaluatedProperties")

#: Keywords whose value is by names of the caller's, and those that have values and no schemas.
_BY_NAME = frozenset(
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
)
_VALUES = frozenset(("const", "enum", "default", "examples"))

_MOST_REASONS, _LONGEST_REASON = 5, 200

_TOO_MUCH = "takes too much work to check"


def schema_fault(schema: Any) -> str | None:
    """Why no answer can be held to a schema, and what would be right; None where one can."""
    if not isinstance(schema, dict):
        return "it should be a JSON Schema, which is an object"
    try:
        size = len(json.dumps(plain(schema, max_bytes=4 * LONGEST_SCHEMA, what="schema")))
    except InvalidOutput as error:
        return str(error)
    if size > LONGEST_SCHEMA:
        return f"it has {size} characters of JSON; at most {LONGEST_SCHEMA} are allowed"
    keywords = [one for one in _schemas(schema) if isinstance(one, dict)]
    if unchecked := [name for name in _UNCHECKED if any(name in one for one in keywords)]:
        return f"it has {', '.join(unchecked)}, which is not checked here; leave that out"
    # Half a second to load, and needed by few.
    from tools.schema_budget import MAX_STEPS, Budget, Checker, Exhausted, InvalidSchema, holds

    try:
        Checker(schema).check(Budget(MAX_STEPS))
    except Exhausted:
        return f"it {_TOO_MUCH}; make it simpler"
    except InvalidSchema as error:
        return f"it is no JSON Schema: {_short(str(error))}"
    except Exception as error:  # whatever a caller's schema does to the library
        return f"it cannot be followed: {_why(error)}"
    for pattern in (found for one in keywords for found in _patterns(one)):
        if not holds(pattern):
            wrong = (
                f"it has the pattern {_short(json.dumps(pattern))}, which is invalid or too large"
            )
            return f"{wrong}; it should be a regular expression of ECMA 262"
    return None


def fitting(text: str, schema: Mapping[str, Any], *, max_bytes: int) -> tuple[Any, list[str]]:
    """The value in a model's text, and what is wrong with it; None where something is."""
    try:
        value = plain(loads(_unfenced(text)), max_bytes=max_bytes, what="value")
    except RecursionError:
        return None, ["it is nested too deeply"]
    except (ValueError, InvalidOutput) as error:
        return None, [f"it is not valid JSON: {_short(str(error))}"]
    reasons = list(_faults(value, schema))
    return (None, reasons) if reasons else (value, [])


def _faults(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    from tools.schema_budget import Checker, Exhausted

    try:
        for error in Checker(schema).errors(value, _MOST_REASONS):
            place = ".".join(map(str, error.absolute_path)) or "the value"
            yield f"{place}: {_short(error.message)}"
    except Exhausted:
        yield f"it {_TOO_MUCH}"
    except Exception as error:  # as above
        yield f"the schema cannot be followed: {_why(error)}"


def _schemas(schema: Any) -> Iterator[Any]:
    """The schema and all within it: what stands for a value, or only for a name, is none."""
    yield schema
    if isinstance(schema, list):
        for one in schema:
            yield from _schemas(one)
    elif isinstance(schema, dict):
        for keyword, value in schema.items():
            if keyword in _BY_NAME and isinstance(value, dict):
                for one in value.values():
                    yield from _schemas(one)
            elif keyword not in _VALUES:
                yield from _schemas(value)


def _patterns(schema: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(pattern := schema.get("pattern"), str):
        yield pattern
    yield from schema.get("patternProperties", {})


def _why(error: Exception) -> str:
    """What the library could not do, without its names for it."""
    from referencing.exceptions import Unresolvable

    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, Unresolvable):
        return "it refers to something that is not there"
    return "it is not understood"


def _unfenced(text: str) -> str:
    """The text without the fence that models put around JSON."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```") and "\n" in stripped:
        return stripped[stripped.index("\n") : -3].strip()
    return stripped


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"
