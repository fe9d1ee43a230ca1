"""In which trace a run is: that of who called for it, where that was said, else one of its own.

Every generation is a trace of its own. The ids follow from the run, so that all who tell of it, in
whatever process, tell the same.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from graph.state import RunState

#: A caller's place in its trace, as W3C Trace Context has it; later versions may say more.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(-.*)?"
)


@dataclass(frozen=True)
class Place:
    """Where a span is: its trace and its id. `sampled`: what its caller says of that, if any."""

    trace_id: int
    span_id: int
    sampled: bool | None = None


def checked(traceparent: str | None) -> str | None:
    """What a caller says of its trace; None where that is nothing, or not understood."""
    given = _TRACEPARENT.fullmatch(traceparent or "")
    return f"00-{given['trace']}-{given['span']}-{given['flags']}" if given else None


def caller(traceparent: str | None) -> Place | None:
    """The span that called for a run."""
    given = _TRACEPARENT.fullmatch(traceparent or "")
    if given is None:
        return None
    sampled = bool(int(given["flags"], 16) & 1)
    return Place(int(given["trace"], 16), int(given["span"], 16), sampled)


def traceparents(state: RunState) -> Sequence[str | None]:
    """What was said of a trace when each generation of a run was called for."""
    fork, log = state.get("forked_from"), state.get("log", [])
    own = log[fork["logged"] :] if fork else log
    retries = [entry["retry"].get("traceparent") for entry in own if "retry" in entry]
    return [state.get("traceparent"), *retries]


def root(run_id: str, generation: int, traceparent: str | None = None) -> Place:
    """Where the span of one generation of a run is."""
    within = caller(traceparent)
    trace_id = int.from_bytes(_hash(f"{run_id}:{generation}", 16)) or 1
    return Place(
        within.trace_id if within else trace_id,
        span_id(run_id, f"{generation}"),
        within.sampled if within else None,
    )


def trace_id_of(state: RunState) -> str:
    """The trace that a run is in now, in hexadecimal digits."""
    parents = traceparents(state)
    return f"{root(state['run_id'], len(parents) - 1, parents[-1]).trace_id:032x}"


def span_id(run_id: str, about: str) -> int:
    """The id of a span of a run."""
    return int.from_bytes(_hash(f"{run_id}:{about}", 8)) or 1


def _hash(text: str, length: int) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:length]
