"""References: how a step's input names the output of an earlier step.

`{step_1_output}`, `{step_1_output.text}`, `{step_1_output[0].id}`, as a whole value or in its place
within words: `pay {step_1_output}`. `{{` and `}}` are mere braces.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.registry import number_text

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_REFERENCE = re.compile(
    r"step_([1-9][0-9]{0,5})_output((?:\.[A-Za-z_][A-Za-z0-9_]*|\[[0-9]{1,6}\])*)"
)
_PART = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[([0-9]+)\]")


class InvalidReference(Exception):
    """A reference that is malformed, or that finds nothing; the message says which and why."""

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(f"{reference} {reason}")
        self.reference = reference
        self.reason = reason


@dataclass(frozen=True)
class Reference:
    """One `{step_N_output…}`: the step and the way into its output."""

    text: str
    step: int
    path: tuple[str | int, ...]

    def find(self, outputs: Mapping[int, Any]) -> Any:
        """The value it names. Raises `InvalidReference` when the output has no such part."""
        if self.step not in outputs:
            raise InvalidReference(self.text, f"refers to step {self.step}, which has no output")
        value = outputs[self.step]
        for part in self.path:
            if not _has(value, part):
                raise InvalidReference(
                    self.text, f"finds no {part!r} in the output of step {self.step}"
                )
            value = value[part]
        return value


def escape(words: str) -> str:
    """A person's words as they must stand in an input, so that no brace is read as a reference."""
    return words.replace("{", "{{").replace("}", "}}")


def escaped(value: Any) -> Any:
    """An input that is to be taken as it stands: what `resolve` makes of it is the value."""
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return escape(value) if isinstance(value, str) else value


def references(value: Any) -> Iterator[Reference]:
    """Every reference in an input, however deep. Raises `InvalidReference` on a malformed one."""
    for text in _texts(value):
        for piece in _pieces(text):
            if isinstance(piece, Reference):
                yield piece


def has_reference(value: Any) -> bool:
    """Whether an input, or a part of it, depends on an earlier output."""
    return next(references(value), None) is not None


def resolve(value: Any, outputs: Mapping[int, Any]) -> Any:
    """The input with every reference replaced; a value that is one whole reference keeps its type.

    Raises `InvalidReference` when an output is missing or has no such part.
    """
    if isinstance(value, dict):
        return {key: resolve(item, outputs) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, outputs) for item in value]
    if not isinstance(value, str):
        return value
    pieces = list(_pieces(value))
    if len(pieces) == 1 and isinstance(pieces[0], Reference):
        return pieces[0].find(outputs)
    return "".join(
        _as_text(piece.find(outputs)) if isinstance(piece, Reference) else piece for piece in pieces
    )


def resolved_size(value: Any, outputs: Mapping[int, Any]) -> int:
    """How many bytes of JSON `resolve` would make of the same, which may be too many to be made.

    A few words can name a large output many times; it is looked at once.
    """
    return _size(value, outputs, {})


def _size(value: Any, outputs: Mapping[int, Any], known: dict[str, tuple[int, int]]) -> int:
    if isinstance(value, dict):
        fields = (_length(key) + 4 + _size(item, outputs, known) for key, item in value.items())
        return sum(fields, 2 if not value else 0)
    if isinstance(value, list):
        return sum((2 + _size(item, outputs, known) for item in value), 2 if not value else 0)
    if not isinstance(value, str):
        return _length(value)
    pieces = list(_pieces(value))
    if len(pieces) == 1 and isinstance(pieces[0], Reference):
        return _sizes(pieces[0], outputs, known)[0]
    return 2 + sum(
        _sizes(piece, outputs, known)[1] if isinstance(piece, Reference) else _length(piece) - 2
        for piece in pieces
    )


def _sizes(
    reference: Reference, outputs: Mapping[int, Any], known: dict[str, tuple[int, int]]
) -> tuple[int, int]:
    """Of what a reference names: as a value, and within words, where it has no quotes."""
    if reference.text not in known:
        found = reference.find(outputs)
        known[reference.text] = _length(found), _length(_as_text(found)) - 2
    return known[reference.text]


def _length(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


def _has(value: Any, part: str | int) -> bool:
    if isinstance(part, str):
        return isinstance(value, dict) and part in value
    # A place in a text would be a letter of it, which nobody means.
    return isinstance(value, list) and part < len(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _pieces(text: str) -> Iterator[str | Reference]:
    if "{" not in text and "}" not in text:
        yield text
        return
    end = 0
    for token in _TOKEN.finditer(text):
        if token.start() > end:
            yield text[end : token.start()]
        end = token.end()
        if token[0] in ("{{", "}}"):
            yield token[0][0]
        else:
            yield _reference(token[0], token[1])
    if end < len(text):
        yield text[end:]


def _reference(token: str, inner: str | None) -> Reference:
    match = _REFERENCE.fullmatch(inner) if inner is not None else None
    if match is None:
        raise InvalidReference(
            token, "is no reference; write {step_1_output}, or {{ and }} for literal braces"
        )
    path = tuple(name or int(position) for name, position in _PART.findall(match[2]))
    return Reference(token, int(match[1]), path)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):  # 1e-07 would read as words in a sentence
        return number_text(value)
    return json.dumps(value, ensure_ascii=False)
