"""Why a run took its time and came to its end: in data, and in three sentences."""

from collections.abc import Sequence
from typing import Annotated, cast

from typing_extensions import TypedDict

from graph.record.reasons import PARTS, Cause, Part, Span, TimeSpent, causes, time_spent
from graph.state import RunState, Status, attempts, marks, question_of
from graph.state.rounds import is_answered, is_planning, round_of, rounds_of
from graph.state.status import SETTLED
from graph.state.wording import Time, counted, doc, duration
from nodes.contract.steps import left_out


class StepSpent(TypedDict):
    """What one step took."""

    step: Annotated[int, doc("Its place in the plan, counted from 1.")]
    tool: Annotated[str, doc("The tool that it calls.")]
    attempts: Annotated[int, doc("Attempts at it that were recorded.")]
    tools_ms: Annotated[float, doc("Time in these attempts, in milliseconds.")]
    backoff_ms: Annotated[float, doc("Waits between them, in milliseconds.")]


class Stretch(TypedDict):
    """A stretch of the run's time that was all of one part."""

    part: Annotated[Part, doc("Which part.")]
    start_ms: Annotated[float, doc("From the run's acceptance, in milliseconds.")]
    length_ms: Annotated[float, doc("In milliseconds.")]
    step: Annotated[int | None, doc("The step that it was spent on; null where that is none.")]
    entry: Annotated[
        int | None,
        doc(
            "The entry that it is: its place, from 0, in `planning_log` where the part is "
            "planning, else in `execution_log`; null where it is none."
        ),
    ]


class Retries(TypedDict):
    """What was done again."""

    attempts: Annotated[int, doc("Attempts that were not the first at their step.")]
    planning: Annotated[int, doc("Calls of planners after the first of each round.")]
    taken_up: Annotated[int, doc("How often it was taken up after its process had ended.")]
    told: Annotated[int, doc("How often it was told to go on after its end.")]


class Explanation(TypedDict):
    """Where the time of a run went, what was done again, and why it came to its end."""

    run_id: Annotated[str, doc("The id of the run.")]
    status: Annotated[Status, doc("Where the run stands.")]
    until: Annotated[Time, doc("When it was settled, or now.")]
    total_ms: Annotated[float, doc("From its acceptance until then, in milliseconds.")]
    time_ms: Annotated[TimeSpent, doc("The parts of that time.")]
    spans: Annotated[
        list[Stretch],
        doc("The same time in order: each begins where the one before ends, the first at 0."),
    ]
    path: Annotated[
        list[str], doc("The nodes of the graph that it was in, in order; none before it began.")
    ]
    steps: Annotated[list[StepSpent], doc("The steps of the plan.")]
    retries: Annotated[Retries, doc("How often something was done again.")]
    causes: Annotated[
        list[Cause],
        doc("Why it failed or was cancelled: the effect first, then what led to it."),
    ]
    facts: Annotated[
        list[str], doc("How far it is, who planned it and what it used, in a few words each.")
    ]
    sentences: Annotated[
        list[str],
        doc(
            "The same in three sentences: what came of it, where the time went, and what "
            "was done again."
        ),
    ]


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
        time_ms=cast("TimeSpent", {part: length / 1000 for part, length in spent.items()}),
        spans=[_stretch(span) for span in spans],
        path=_path(state),
        steps=_steps(state, spans),
        retries=_retries(state),
        causes=causes(state),
        facts=_facts(state, total / 1000),
        sentences=[],
    )
    return {**explanation, "sentences": sentences(state, explanation)}


def _stretch(span: Span) -> Stretch:
    return Stretch(
        part=span.part,
        start_ms=span.start / 1000,
        length_ms=span.length / 1000,
        step=span.step,
        entry=span.entry,
    )


def _path(state: RunState) -> list[str]:
    """By what is stored: rounds tell who planned, attempts how often a step was executed."""
    if state["started_at"] is None:
        return []
    path, by, steps = ["__start__"], state["planned_by"], state["plan"]["steps"]
    rounds = [(one["planned_by"], one["first"], one["last"]) for one in rounds_of(state)]
    for planned_by, first, last in rounds or [(by, 1, 0)]:
        pattern = planned_by is not None and planned_by["source"] == "pattern"
        path += ["plan", "fallback_plan"] if pattern else ["plan"]
        path += ["execute_step" for made in attempts(state) if first <= made["step"] <= last]
    if state["status"] in ("completed", "failed"):
        return [*path, "finalize", "__end__"]
    doing = state["status"] == "running" and not state["error"] and state["cursor"] < len(steps)
    if doing and not is_planning(state) and path[-1] != "execute_step":
        path.append("execute_step")
    return path


def _length(spans: Sequence[Span], part: Part, step: int | None = None) -> int:
    return sum(span.length for span in spans if span.part == part and step in (None, span.step))


def _steps(state: RunState, spans: Sequence[Span]) -> list[StepSpent]:
    made = [entry["step"] for entry in attempts(state)]
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
    log = [call for call in state["planning_log"] if call.get("purpose") != "answer"]
    calls = [call for call in log if call["outcome"] != "skipped"]
    rounds = len({round_of(call) for call in calls})
    return Retries(
        attempts=sum(entry["attempt"] > 1 for entry in attempts(state)),
        planning=max(0, len(calls) - max(1, rounds)),
        taken_up=len(marks(state, "taken_up")),
        told=len(marks(state, "retry")),
    )


def _facts(state: RunState, total_ms: float) -> list[str]:
    steps, by, usage = len(state["plan"]["steps"]), state["planned_by"], state["usage"]
    facts = [duration(total_ms)] if state["status"] in SETTLED else []
    if steps:
        facts.append(f"{state['cursor']} of {counted(steps, 'step')} done")
    facts.append(counted(len(attempts(state)), "attempt"))
    if by:
        planner = "the pattern planner" if by["source"] == "pattern" else "the caller"
        facts.append(f"planned by {by['model'] or planner}")
    if usage["calls"]:
        tokens = (usage["input_tokens"] or 0) + (usage["output_tokens"] or 0)
        price = "price not known" if usage["usd"] is None else f"${usage['usd']:.2g}"
        facts.append(f"{counted(usage['calls'], 'call')} of models, {tokens} tokens, {price}")
    if taken_up := len(marks(state, "taken_up")):
        facts.append(f"taken up again {_times(taken_up)}")
    return facts


# An explanation of a run in three sentences: what came of it, where the time went, what was done
# again.


#: What the time of each part went to.
_WORDS: dict[Part, str] = {
    "queue": "the queue",
    "planning": "planning",
    "waiting": "waiting for a person",
    "backoff": "backoff",
    "tools": "tools",
    "interruption": "ends of its process",
    "other": "storage and all else",
}


def sentences(state: RunState, explained: Explanation) -> list[str]:
    """The three; the explanation is read but for its own sentences."""
    return [_outcome(state, explained), _where(explained), _again(state, explained)]


def _outcome(state: RunState, explained: Explanation) -> str:
    steps, status = state["plan"]["steps"], state["status"]
    done = _done(state) if steps else "no plan"
    if is_answered(state):
        done = "an answer instead of a plan"
    took = duration(explained["total_ms"])
    if status == "completed":
        return f"The run completed in {took} with {done}{_answered(state)}."
    if status in SETTLED:
        ended = "was cancelled" if status == "cancelled" else "failed"
        why = explained["causes"][0]["message"].rstrip(".") if explained["causes"] else "unknown"
        return f"The run {ended} after {took} with {done} ({why})."
    doing = {"pending": "is in the queue", "waiting": "waits for a person"}.get(status, "goes on")
    return f"The run {doing} after {took} with {done} so far{_asking(state)}."


def _answered(state: RunState) -> str:
    """Who has answered in words, or why nobody has that was asked."""
    result = state["result"]
    answer = result.get("answer") if result else None
    if answer:
        return f", and {answer['model']} has answered in words"
    asked = [call for call in state["planning_log"] if call.get("purpose") == "answer"]
    if not asked:
        return ""
    why = ": ".join(filter(None, [asked[-1]["error_class"], *asked[-1]["reasons"][:1]]))
    return f", and no answer in words ({asked[-1]['model']}: {why or asked[-1]['outcome']})"


def _asking(state: RunState) -> str:
    """What it asks a person about a step in doubt."""
    if (question := question_of(state)) is None:
        return ""
    attempt = question["attempt"]
    known = f" ({attempt['error']['message']})" if attempt["error"] else ""
    return f": whether step {attempt['step']} ({attempt['tool']}) has acted is not known{known}"


def _done(state: RunState) -> str:
    """How many steps are done; those that were left out are passed by, but not done."""
    passed, steps = left_out(state), counted(len(state["plan"]["steps"]), "step")
    done = f"{state['cursor'] - passed} of {steps} done"
    return f"{done} and {passed} left out" if passed else done


def _where(explained: Explanation) -> str:
    spent = cast("dict[Part, float]", explained["time_ms"])
    parts = sorted((part for part in spent if spent[part]), key=lambda part: -spent[part])
    if not parts:
        return "It has taken no time yet."
    most, *others = parts
    share = round(100 * spent[most] / explained["total_ms"])
    detail = f"{duration(spent[most])}, {share} %{_which(most, explained['steps'])}"
    how_much = "Most" if share >= 50 else "The largest part"
    sentence = f"{how_much} of the time went to {_WORDS[most]} ({detail})"
    rest = [f"{duration(spent[part])} to {_WORDS[part]}" for part in others]
    return f"{sentence}, {_joined(rest)}." if rest else f"{sentence}."


def _which(part: Part, steps: Sequence[StepSpent]) -> str:
    """The step that the most of it went to, where there are several."""
    if part not in ("tools", "backoff") or len(steps) < 2:
        return ""
    most = max(steps, key=lambda step: step["tools_ms" if part == "tools" else "backoff_ms"])
    return f", the most at step {most['step']} ({most['tool']})"


def _again(state: RunState, explained: Explanation) -> str:
    retries, by = explained["retries"], state["planned_by"]
    parts = []
    if number := retries["attempts"]:
        parts.append(counted(number, "attempt was a retry", "attempts were retries"))
    if number := retries["told"]:
        parts.append(f"it was told to go on {_times(number)}")
    if number := retries["taken_up"]:
        parts.append(f"it was taken up {_times(number)} after an end of its process")
    again = _joined(parts) if parts else "nothing was retried or taken up"
    if not by or not state["plan"]["steps"]:
        return f"{again[0].upper()}{again[1:]}."
    if by["source"] == "caller":
        return f"The plan is the call of a tool; {again}."
    planner = by["model"] or "the pattern planner"
    rounds = len(rounds_of(state))
    calls = counted(retries["planning"] + rounds, "call")
    in_rounds = f" and {rounds} rounds" if rounds > 1 else ""
    return f"The plan was made by {planner} in {calls} of planners{in_rounds}; {again}."


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _joined(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
