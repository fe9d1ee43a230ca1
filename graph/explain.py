"""Why a run took its time and came to its end: in data, and in three sentences."""

from collections.abc import Sequence

from graph.causes import causes
from graph.explanation import Explanation, Retries, StepSpent
from graph.sentences import sentences
from graph.state import RunState
from graph.time_spent import PARTS, Part, Span, time_spent


def explain(state: RunState, *, now: float, queued: bool = False) -> Explanation:
    """Explain a run from its state as it was stored.

    `now` is in epoch seconds and counts for a run that is not settled; `queued` says that it waits
    for a slot.
    """
    spans = time_spent(state, now=now, queued=queued)
    spent = {part: _length(spans, part) for part in PARTS}
    total = sum(spent.values())
    explanation = Explanation(
        run_id=state["run_id"],
        status=state["status"],
        until=state["created_at"] + total / 1_000_000,
        total_ms=total / 1000,
        time_ms={part: length / 1000 for part, length in spent.items()},
        steps=_steps(state, spans),
        retries=_retries(state),
        causes=causes(state),
        sentences=[],
    )
    return {**explanation, "sentences": sentences(state, explanation)}


def _length(spans: Sequence[Span], part: Part, step: int | None = None) -> int:
    return sum(span.length for span in spans if span.part == part and step in (None, span.step))


def _steps(state: RunState, spans: Sequence[Span]) -> list[StepSpent]:
    made = [entry["step"] for entry in state.get("log", []) if entry["kind"] == "attempt"]
    return [
        StepSpent(
            step=step["step"],
            tool=step["tool"],
            attempts=made.count(step["step"]),
            tools_ms=_length(spans, "tools", step["step"]) / 1000,
            backoff_ms=_length(spans, "backoff", step["step"]) / 1000,
        )
        for step in state["plan"]["steps"]
    ]


def _retries(state: RunState) -> Retries:
    log = state.get("log", [])
    marks = [entry["what"] for entry in log if entry["kind"] == "mark"]
    calls = [call for call in state["planning_log"] if call["outcome"] != "skipped"]
    return Retries(
        attempts=sum(1 for entry in log if entry["kind"] == "attempt" and entry["attempt"] > 1),
        planning=max(0, len(calls) - 1),
        taken_up=marks.count("taken_up"),
        told=marks.count("retry"),
    )
