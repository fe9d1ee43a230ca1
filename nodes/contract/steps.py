"""Steps as they are executed: what goes in and comes out, as plain JSON, and when one is due.

What may become part of a checkpoint is of bounded size and depth.

A reference is how a step's input names the output of an earlier step: `{step_1_output}`,
`{step_1_output.text}`, `{step_1_output[0].id}`, as a whole value or in its place within words:
`pay {step_1_output}`. `{{` and `}}` are mere braces.
"""

import asyncio
import json
import math
import random
import re
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID, uuid5

from graph.state import RunState, Step, outputs, step_key
from graph.state.rounds import approval_of
from tools.registry import number_text
from tools.toolbox import Outcome, Tool, changes, definition_of

_INT64 = 2**63
_MAX_DEPTH = 100  # lists and objects inside one another; a checkpoint holds some 250


#: What text cannot have in a record: neither a checkpoint nor a database holds it.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # NUL, and half a surrogate pair


def storable(text: str) -> str:
    """The text with a question mark in the place of half a surrogate pair."""
    return text.encode(errors="replace").decode()


class InvalidOutput(Exception):
    """A value that cannot be kept; the message says why and what would be right."""


def plain(value: Any, *, max_bytes: int, what: str = "output") -> Any:
    """The value as it will read after a reload: tuples become lists, nothing else changes.

    Raises `InvalidOutput` for anything JSON has no form for, for integers beyond 64 bits
    (a checkpoint cannot hold them) and for more than `max_bytes` bytes of JSON. `what` names the
    value in the message.
    """
    return measured(value, max_bytes=max_bytes, what=what)[0]


def measured(value: Any, *, max_bytes: int, what: str = "output") -> tuple[Any, int]:
    """The value as `plain` has it, and how many bytes of JSON that are."""
    try:
        _check(value, what)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidOutput(
            f"the {what} holds half a surrogate pair; only whole characters are text"
        ) from None
    except (TypeError, ValueError) as error:
        raise InvalidOutput(f"the {what} is not plain JSON data: {error}") from None
    check_size(size, max_bytes=max_bytes, what=what)
    return json.loads(text), size


def check_size(size: int, *, max_bytes: int, what: str = "output") -> None:
    """Raises `InvalidOutput` for JSON of so many bytes, where that is too much."""
    if size > max_bytes:
        raise InvalidOutput(f"the {what} has {size} bytes; at most {max_bytes} are kept")


#: What has fewer bytes counts for nothing in the size of a record: a plan is short enough.
SMALL = 1024


def counted_size(*values: Any) -> int:
    """How many bytes of JSON these have, plain data that are not small, together."""
    return sum(counted(len(json.dumps(value, ensure_ascii=False).encode())) for value in values)


def counted(size: int) -> int:
    """What JSON of so many bytes counts in the size of a record."""
    return size if size >= SMALL else 0


def _check(value: Any, what: str, depth: int = 0) -> None:
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise InvalidOutput(f"the {what} holds an integer beyond 64 bits; write it as text")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidOutput(
            f"the {what} holds the number {value}, which JSON lacks; write it as text"
        )
    if not isinstance(value, dict | list | tuple):
        return
    if depth == _MAX_DEPTH:
        raise InvalidOutput(
            f"the {what} is nested more than {_MAX_DEPTH} levels deep, or holds itself"
        )
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise InvalidOutput(f"the {what} has the key {key!r}; keys must be text")
    for item in value.values() if isinstance(value, dict) else value:
        _check(item, what, depth + 1)


# References: how a step's input names the output of an earlier one.


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


# What an attempt at a step begins with, and what follows it.


def changed_since_planned(state: RunState, step: Step, tool: Tool | None) -> list[str]:
    """What has changed of the tool of a step about which nobody was asked."""
    approval = approval_of(state)
    asked = approval["tools"] if approval else ()
    if tool is None or "definition" not in step or any(one["tool"] == tool.name for one in asked):
        return []
    return changes(step["definition"], definition_of(tool))


#: The key of a step that is executed with this input.
KeyOf = Callable[[RunState, Step, Any], str]


def planned_key(state: RunState, step: Step, _value: Any) -> str:
    """The key of a step whose plan stays as it was made."""
    return step_key(state, step["step"])


def edited_step_key(state: RunState, step: Step, value: Any) -> str:
    """The key of a step whose plan may be edited in the state, with the same `generation`.

    It holds what is asked, the tool and the resolved input, too: the same again has its effect
    once, on every branch of the thread, and something else has one of its own.
    """
    asked = json.dumps([step["tool"], value], sort_keys=True)
    return str(uuid5(UUID(step_key(state, step["step"])), asked))


def resolved(state: RunState, step: Step) -> tuple[Any, int]:
    """The step's input with every reference replaced, and how many bytes of JSON that are.

    Raises `InvalidReference`, and `InvalidOutput` where it is larger than a step's output may be:
    few words of a plan can name large outputs many times.
    """
    most, done = state["limits"]["max_output"], outputs(state)
    if has_reference(step["input"]):  # or else it is as large as it stands
        check_size(resolved_size(step["input"], done), max_bytes=most, what="input")
    return measured(resolve(step["input"], done), max_bytes=most, what="input")


def next_cursor(steps: Sequence[Step], skipped: Collection[int], cursor: int) -> int:
    """The first place from `cursor` on whose step is to be executed; the plan's end if none is."""
    while cursor < len(steps) and steps[cursor]["step"] in skipped:
        cursor += 1
    return cursor


def left_out(state: RunState) -> int:
    """How many steps were passed by so far without being done."""
    return sum(step <= state["cursor"] for step in state.get("skipped", []))


# How a node waits: for its next attempt, and for what somebody else does.


#: Longest wait that anybody may ask for, in seconds: a tool's attempts, a provider, a clock.
MAX_WAIT = 3600.0


def bounded(wait: float) -> float:
    """A wait as it is kept, in seconds: not before now, and at most `MAX_WAIT`."""
    return min(max(wait, 0.0), MAX_WAIT) if not math.isnan(wait) else 0.0


def retry_at(state: RunState, outcome: Outcome, tool: Tool | None) -> float | None:
    """When the next attempt is due: base · 2^(n-1), spread by a quarter so that herds disperse."""
    made, limits = state["attempt"] + 1, state["limits"]
    most = (tool and tool.attempts) or limits["max_attempts"]
    if not (outcome.failure and outcome.failure.retryable and made < most):
        return None
    spread = random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing
    wait: float = limits["backoff"] * 2 ** min(made - 1, 40) * spread
    return time.time() + bounded(wait)


#: Sits out a backoff until the given epoch second; the seconds that passed after it, while others
#: had all the slots.
Wait = Callable[[float], Awaitable[float]]


async def sleep_until(moment: float) -> float:
    """Wait until an epoch second; returns at once when it has passed. Needs no slot."""
    # Timers count in whole milliseconds and on another clock, so one may ring too early.
    while (left := moment - time.time()) > 0:  # noqa: ASYNC110 - time passes, nothing else
        await asyncio.sleep(left)
    return 0.0


class Paused(Protocol):
    """How long a run waited for a slot, in seconds, while it had something to compute."""

    @property
    def seconds(self) -> float:
        """Known once it has one again."""


#: Gives the slot of the run away, and takes one again at the end.
WithoutSlot = Callable[[], AbstractAsyncContextManager[Paused]]


class _NotPaused:
    seconds = 0.0


@asynccontextmanager
async def no_slots() -> AsyncIterator[Paused]:
    """Wait where nobody counts who computes."""
    yield _NotPaused()
