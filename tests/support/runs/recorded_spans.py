"""What was exported of runs against what their records say, without the code that makes spans."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.deployment.otlp_receiver import Receiver

#: Records have milliseconds, spans what was stored; in seconds.
NEAR = 0.0011


def at(time: str) -> float:
    """A time of a record, in epoch seconds."""
    return datetime.fromisoformat(time).timestamp()


def span_id(run_id: str, about: str) -> bytes:
    """The id of a span, as it follows from the run and what of it the span is."""
    return hashlib.sha256(f"{run_id}:{about}".encode()).digest()[:8]


class Exported:
    """The spans that came, each once; those that are asked for are taken."""

    def __init__(self, receiver: Receiver) -> None:
        self.left: dict[bytes, Span] = {}
        for number, sent in receiver.spans.items():
            assert len({one.SerializeToString(deterministic=True) for one in sent}) == 1, sent
            self.left[number.to_bytes(8)] = sent[0]

    def take(self, name: bytes, called: str, begun: float, ended: float) -> Span:
        """The span of this id, which is called so and has these times."""
        assert name in self.left, called
        span = self.left.pop(name)
        assert span.name == called
        assert abs(span.start_time_unix_nano / 1e9 - begun) < NEAR, span
        assert abs(span.end_time_unix_nano / 1e9 - ended) < NEAR, span
        return span


def assert_recorded(
    receiver: Receiver, records: Iterable[dict[str, Any]], callers: dict[tuple[str, int], str]
) -> None:
    """Every generation, attempt and call of the records was exported, and nothing else.

    `callers` has who called for a generation of a run, as `traceparent` says it.
    """
    exported = Exported(receiver)
    for record in records:
        _Recorded(record, callers).check(exported)
    assert [span.name for span in exported.left.values()] == []


class _Recorded:
    """The generations of one run, by its record."""

    def __init__(self, record: dict[str, Any], callers: dict[tuple[str, int], str]) -> None:
        self.record, self.run_id = record, record["run_id"]
        self.created = at(record["created_at"])
        # What a fork has taken over is of its origin.
        self.retries = [one for one in self._own("marks", "at") if one["what"] == "retry"]
        self.begins = [self.created, *(at(mark["at"]) for mark in self.retries)]
        self.callers = [callers.get((self.run_id, n)) for n in range(len(self.begins))]

    def _own(self, log: str, time: str) -> Sequence[dict[str, Any]]:
        return [one for one in self.record[log] if at(one[time]) >= self.created - NEAR]

    def _generation(self, moment: float) -> int:
        return sum(begin <= moment + NEAR for begin in self.begins) - 1

    def check(self, exported: Exported) -> None:
        ends = [mark["retry"]["ended"] for mark in self.retries] + [self.record]
        roots = [self._root(exported, n, end) for n, end in enumerate(ends)]
        for entry in self._own("execution_log", "started_at"):
            self._attempt(exported, entry, roots)
        self._calls(exported, roots)
        self._waits(exported, roots)

    def _root(self, exported: Exported, number: int, end: dict[str, Any]) -> Span:
        name, called = span_id(self.run_id, f"{number}"), "invoke_agent runwright"
        root = exported.take(name, called, self.begins[number], at(end["completed_at"]))
        caller = self.callers[number]
        _, trace, parent, _ = caller.split("-") if caller else ("", root.trace_id.hex(), "", "")
        assert (root.trace_id.hex(), root.parent_span_id.hex()) == (trace, parent)
        assert root.status.message == (end["error"]["type"] if end["error"] else "")
        origin = self.record["forked_from"]
        before = span_id(self.run_id, f"{number - 1}") if number else None
        if before is None and origin:
            before = span_id(origin["run_id"], "0")
        assert [link.span_id for link in root.links] == ([before] if before else [])
        return root

    def _attempt(self, exported: Exported, entry: dict[str, Any], roots: Sequence[Span]) -> None:
        begun = at(entry["started_at"])
        number = self._generation(begun)
        about = f"{number}:step {entry['step']}:{entry['generation']}:{entry['attempt']}"
        ended = begun + entry["duration_ms"] / 1000
        called = f"execute_tool {entry['tool']}"
        span = exported.take(span_id(self.run_id, about), called, begun, ended)
        assert _within(span, roots[number])
        assert bool(span.status.message) == (entry["status"] != "ok")

    def _calls(self, exported: Exported, roots: Sequence[Span]) -> None:
        """Those of planners, each below the planning of its round."""
        rounds: dict[bytes, list[Span]] = {}
        planned = len(self.record["planning_log"])
        for place, call in enumerate(self._own("planning_log", "started_at")):
            begun = at(call["started_at"])
            number = self._generation(begun)
            place += planned - len(self._own("planning_log", "started_at"))
            called = f"chat {call['model']}" if call["model"] else "plan by patterns"
            ended = begun + call["duration_ms"] / 1000
            name = span_id(self.run_id, f"{number}:call {place}")
            span = exported.take(name, called, begun, ended)
            if call.get("purpose") == "answer":
                assert _within(span, roots[number])
            else:
                assert span.trace_id == roots[number].trace_id
                rounds.setdefault(span.parent_span_id, []).append(span)
        for name, calls in rounds.items():
            [root] = [one for one in roots if one.trace_id == calls[0].trace_id][-1:]
            if name != root.span_id:  # a run that was ended from outside before it had a round
                plan = exported.left.pop(name)
                assert plan.name == "plan"
                assert any(_within(plan, one) for one in roots)
                assert plan.end_time_unix_nano == calls[-1].end_time_unix_nano

    def _waits(self, exported: Exported, roots: Sequence[Span]) -> None:
        waits = [
            span
            for span in exported.left.values()
            if span.name.startswith("wait ") and any(_within(span, root) for root in roots)
        ]
        for span in waits:
            del exported.left[span.span_id]
        for kind, some in (
            ("backoff", any(one["retry_at"] for one in self._own("execution_log", "started_at"))),
            ("interruption", any(one["what"] == "taken_up" for one in self._own("marks", "at"))),
        ):
            assert some or not any(span.name == f"wait {kind}" for span in waits), kind


def _within(span: Span, parent: Span) -> bool:
    return bool(span.parent_span_id == parent.span_id and span.trace_id == parent.trace_id)
