"""What differs between two snapshots of the same program, and what stands for it: all of it here.

Everything else is compared byte for byte. Each rule has its reason beside it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """`pattern` is replaced by `instead`."""

    pattern: str
    instead: str
    reason: str

    def applied(self, text: str) -> str:
        """The text with what stands for what varies."""
        return re.sub(self.pattern, self.instead, text)


#: Headers of answers that are left out.
HEADERS: Mapping[str, str] = {
    "date": "the clock",
    "content-length": "the body is compared, and its length varies with what varies in it",
}

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"

#: In what is told of stored runs that rest.
STORED = (
    Rule(rf'("server_time": ?"){_TIME}"', r'\1NOW"', "the clock when it was read"),
    Rule(rf'("renewed_at": ?"){_TIME}"', r'\1MIDNIGHT"', "the end of the day when it was read"),
    Rule(r'("posts": ?)\d+', r'\1"COUNT"', "what was posted counts less as time passes"),
    Rule(r"127\.0\.0\.1:\d{4,5}\b", "127.0.0.1:PORT", "servers take any port that is free"),
)

#: In the explanation of a run that waits for a person, besides: it waits until now.
WAITING = (
    Rule(rf'("until": ?"){_TIME}"', r'\1NOW"', "it has waited until now"),
    Rule(r'("total_ms": ?)[\d.]+', r'\1"MS"', "it has waited until now"),
    Rule(r'("waiting": ?)[\d.]+', r'\1"MS"', "it has waited until now"),
    Rule(
        r'("part": ?"waiting",\s*"start_ms": ?[\d.]+,\s*"length_ms": ?)[\d.]+',
        r'\1"MS"',
        "it has waited until now",
    ),
    Rule(r"\d+(\.\d+)? (ms|s|minutes|hours|days)\b", "DURATION", "the sentences count until now"),
)

#: In what is told of runs that are executed while the snapshot is made.
FRESH = (
    *STORED,
    Rule(_TIME, "TIME", "when it happened"),
    Rule(r'("[a-z_]*(_ms|paused)": ?)[\d.e+-]+', r'\1"MS"', "how long it took"),
    Rule(r'("ends_per_s": ?)([\d.]+|null)', r'\1"RATE"', "runs may have ended by then"),
    Rule(r"\b(duration_ms=)[\d.e+-]+", r"\1MS", "how long it took, in a line of the log"),
    Rule(
        r'(trace_id(=|": ?"))[0-9a-f]{32}', r"\1TRACE", "it follows from the run, whose id is new"
    ),
    Rule(r'("bytes": ?)\d+', r'\1"SIZE"', "checkpoints hold times of any length"),
    Rule(r"\bin \d+(\.\d+)? m?s\b", "in DURATION", "how long it took, in the terminal"),
    Rule(r"(?m)(^ +Traceback .*\n)( +File .*\n( {8}.*\n)*)+", r"\1", "files and lines may move"),
    Rule(r"(Traceback [^\\]*)(\\n  .*?)+(?=\\n\w)", r"\1", "the same, as JSON"),
)

#: In the answer to an order on which a run is queued, besides.
QUEUED = (
    Rule(r'("queue_position": ?)(\d+|null)', r'\1"QUEUED"', "it may have been begun by then"),
)

#: In the answer that too many runs wait, besides.
CROWDED = (Rule(r"(retry-after: |again in )\d+", r"\1N", "the measured rate tells when"),)

#: In what the command says, besides.
TERMINAL = (
    *FRESH,
    Rule(r"rw_[\w-]{43}|(?<=:)[0-9a-f]{64}", "KEY", "a new key is chosen at random"),
    Rule(r"\(process \d+\)", "(process PID)", "the number of a process"),
    Rule(r"[\d,]+ bytes", "SIZE bytes", "a file grows by how its writes come together"),
)

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def alike(text: str, rules: Iterable[Rule]) -> str:
    """The text with what stands for what varies."""
    for rule in rules:
        text = rule.applied(text)
    return text


class Ids:
    """Numbers for ids that are chosen at random, in the order in which they are first told.

    Ids that are `known` stay: they are stored.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._numbers: dict[str, str] = {one: one for one in known}
        self._known = len(self._numbers)

    def alike(self, text: str) -> str:
        """The text with its ids numbered."""
        return _ID.sub(lambda found: self._number(found[0]), text)

    def _number(self, one: str) -> str:
        return self._numbers.setdefault(one, f"ID-{len(self._numbers) - self._known + 1}")
