"""What a run has begun with, read back from its state, and what two do not have in common.

Both are pure functions of states. Two runs are compared moment by moment: times are no difference,
nor are ids, and nor is that a run was resumed after a restart.
"""

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from graph.state import (
    Attempt,
    ForkedFrom,
    Mark,
    Plan,
    PlanningCall,
    Round,
    RunState,
    Step,
    new_run,
)
from graph.state.rounds import after_steps, is_called, round_of, rounds_of, steps_of
from graph.state.wording import doc
from nodes.contract.steps import counted_size


def seed_of(recorded: RunState) -> RunState:
    """The state that a run has begun with."""
    seed = new_run(
        recorded["prompt"],
        run_id=recorded["run_id"],
        owner=recorded["owner"],
        limits=recorded["limits"],
        budget=recorded.get("budget"),
        created_at=recorded["created_at"],
        approve=recorded.get("approve", "never"),
        choice=recorded.get("choice"),
        metadata=recorded.get("metadata"),
        thread_id=recorded.get("thread_id"),
        posted_by=recorded.get("posted_by"),
        traceparent=recorded.get("traceparent"),
    )
    if conversation := recorded.get("conversation"):
        seed["conversation"] = conversation
    if fork := recorded.get("forked_from"):
        seed["forked_from"] = fork
        if fork["from_step"] is not None:
            _take_over(seed, recorded, fork)
    elif is_called(recorded):
        [first, *_] = rounds_of(recorded)
        steps = planned_steps(recorded, first)
        called: Round = {**first, "last": len(steps), "proposed": None}
        seed["planned_by"] = recorded["planned_by"]
        seed["plan"] = Plan(steps=steps, rounds=[called])
        if approval := first["approval"]:
            seed["approval"] = approval
    return seed


def _take_over(seed: RunState, recorded: RunState, fork: ForkedFrom) -> None:
    """Put into the state of a fork what it has of its origin."""
    rounds = rounds_of(recorded)[: fork.get("rounds", 1)]
    since = recorded.get("log", [])[fork["logged"] :]
    if any(entry.get("steps") for entry in since) or any(
        entry["retry"]["input"] is not None for entry in since if "retry" in entry
    ):
        # What was edited since is the last round that it began with, or a later one.
        last = rounds[-1]
        steps = [*recorded["plan"]["steps"][: last["first"] - 1], *planned_steps(recorded, last)]
    else:
        steps = recorded["plan"]["steps"][: rounds[-1]["last"]]
    rounds[-1] = {**rounds[-1], "last": len(steps)}
    log, cursor = recorded.get("log", [])[: fork["logged"]], (fork["from_step"] or 1) - 1
    gone = {*fork["skip"]}
    seed["plan"] = Plan(
        steps=steps,
        rounds=[
            {**one, "dropped": [step for step in one["dropped"] if step["step"] in gone]}
            for one in rounds
        ],
    )
    seed["planned_by"] = rounds[-1]["planned_by"] or recorded["planned_by"]
    seed["planning_log"] = recorded["planning_log"][: fork["planned"]]
    seed["cursor"], seed["skipped"], seed["log"] = cursor, fork["skip"], log
    if kept := counted_size(*(one.get(name) for one in log for name in ("input", "output"))):
        seed["kept"] = kept
    look = after_steps(seed, cursor, at=recorded["created_at"])
    seed.update(look)  # type: ignore[typeddict-item]  # fields of it


#: What can differ, in the order in which one moment of two runs is compared.
What = Literal["asked", "plan", "input", "status", "output", "order", "cost"]


class Difference(TypedDict):
    """One thing that two runs do not have in common."""

    what: Annotated[
        What,
        doc(
            "What it is about: `asked` a model was asked in other words, `plan`, `input` and "
            "`output` of steps, and what came out, `status` of steps and of the run, `order` one "
            "has done what the other has not, `cost`."
        ),
    ]
    where: Annotated[str, doc("At which moment, as `step 2, attempt 1`.")]
    step: Annotated[int | None, doc("The step that it is about; null where it is about none.")]
    round: Annotated[int | None, doc("The round that it is about; null where it is about none.")]
    path: Annotated[str, doc("What of it, and the place in that, as `output.items[2].text`.")]
    first: Annotated[Any, doc("What the first run has there; null for nothing.")]
    second: Annotated[Any, doc("What the second run has there; null for nothing.")]


def differences(first: RunState, second: RunState) -> list[Difference]:
    """All that differs, in the order in which it happened; the first one is where they part."""
    ours, theirs = moments(first), moments(second)
    found: list[Difference] = []
    places: dict[Any, deque[int]] = defaultdict(deque)
    for place, one in enumerate(theirs):
        places[one.key].append(place)
    met = 0  # of theirs; it takes one look at each, however long the runs are
    for one in ours:
        at = places[one.key]
        while at and at[0] < met:
            at.popleft()
        if not at:
            found.append(_only(one, in_first=True))
            continue
        found += [_only(other, in_first=False) for other in theirs[met : at[0]]]
        found += _between(one, theirs[at[0]])
        met = at[0] + 1
    return found + [_only(other, in_first=False) for other in theirs[met:]]


def in_words(difference: Difference) -> str:
    """A difference as one line."""
    first, second = _shown(difference["first"]), _shown(difference["second"])
    if not difference["path"]:
        has = "the first has" if difference["second"] is None else "the second has"
        only = first if difference["second"] is None else second
        return f"{difference['what']}: {has} {difference['where']}, the other has not: {only}"
    return f"{difference['what']}: {difference['where']}, {difference['path']}: {first} → {second}"


#: Characters of a value in a line.
MOST_SHOWN = 120


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


# What a run was at each moment that is compared.


@dataclass(frozen=True)
class Moment:
    """Something that happened in a run: `key` tells which it is, `facts` what is known of it."""

    key: tuple[Any, ...]
    where: str
    facts: Mapping[str, tuple[What, Any]]
    step: int | None = None
    round: int | None = None
    kind: What = "order"
    brief: Any = field(default=None, compare=False)


def moments(state: RunState) -> list[Moment]:
    """What happened in a run, in its order: a round is planned before its first step is tried."""
    found = _Moments(state)
    for entry in state.get("log", ()):
        found.tell(entry)
    found.end()
    return found.moments


class _Moments:
    def __init__(self, state: RunState) -> None:
        self.moments: list[Moment] = []
        self._state = state
        self._rounds = rounds_of(state)
        self._planned = self._called = 0
        self._made: dict[Any, int] = {}  # how many calls, and marks, of a kind there were

    def tell(self, entry: Any) -> None:
        """An entry of the log, with the rounds that were planned before it."""
        if entry["kind"] == "attempt":
            self._plan(sum(one["first"] <= entry["step"] for one in self._rounds))
            self.moments.append(_attempt(entry))
            return
        if retry := entry.get("retry"):
            self._plan(retry["ended"].get("rounds", 1))
            self._call(retry["ended"]["planned"])
        elif entry["what"] in ("approved", "rejected", "expired") and "step" not in entry:
            asked = (n for n, one in enumerate(self._rounds, 1) if one["approval"])
            self._plan(next((n for n in asked if n > self._planned), self._planned))
        if entry["what"] != "taken_up":
            self.moments.append(_mark(entry, self._nth("mark", entry["what"])))

    def end(self) -> None:
        """What was planned last, and how it ended."""
        self._plan(len(self._rounds))
        self._call(len(self._state["planning_log"]))
        self.moments.append(_end(self._state))

    def _plan(self, rounds: int) -> None:
        """The rounds up to this number that were not told of."""
        for entry in self._rounds[self._planned : rounds]:
            self._call(entry["calls"][1])
            self.moments += _round(self._state, entry)
            self._planned += 1

    def _call(self, calls: int) -> None:
        """The calls of planners up to this one that were not told of."""
        for call in self._state["planning_log"][self._called : calls]:
            self.moments.append(_call(call, self._nth("call", call.get("purpose"), round_of(call))))
            self._called += 1

    def _nth(self, *kind: Any) -> int:
        self._made[kind] = self._made.get(kind, 0) + 1
        return self._made[kind]


def _call(call: PlanningCall, number: int) -> Moment:
    answer, about = call.get("purpose") == "answer", round_of(call)
    what: What = "output" if answer else "plan"
    facts: dict[str, tuple[What, Any]] = {"asked": ("asked", call.get("asked"))}
    for name in ("planner", "model", "outcome", "error_class"):
        facts[name] = (what, call.get(name))
    called = "for the answer" if answer else f"of round {about}"
    return Moment(
        key=("call", answer, about, number),
        where=f"planning call {number} {called}",
        facts=facts,
        round=about,
        kind=what,
        brief={"model": call["model"], "outcome": call["outcome"]},
    )


def _round(state: RunState, entry: Round) -> Iterator[Moment]:
    number = entry["round"]
    for step in planned_steps(state, entry):
        yield Moment(
            key=("step", number, step["step"]),
            where=f"step {step['step']} as planned",
            facts={
                "tool": ("plan", step["tool"]),
                "input": ("plan", step["input"]),
                "definition": ("asked", step.get("definition")),
            },
            step=step["step"],
            round=number,
            kind="plan",
            brief=_as_called(step),
        )
    then = entry["proposed_then"] if "proposed_then" in entry else entry["then"]
    yield Moment(
        key=("round", number),
        where=f"round {number}",
        facts={"why": ("plan", entry["why"]), "then": ("plan", then)},
        round=number,
        kind="plan",
        brief={"why": entry["why"], "then": then},
    )


def planned_steps(state: RunState, entry: Round) -> list[Step]:
    """The steps of a round as its planner made them, whatever a person has made of them."""
    return entry["proposed"] or steps_of(state["plan"], entry)


def _attempt(entry: Attempt) -> Moment:
    error = entry["error"]
    return Moment(
        key=("attempt", entry["generation"], entry["step"], entry["attempt"]),
        where=f"step {entry['step']}, attempt {entry['attempt']}",
        facts={
            "tool": ("plan", entry["tool"]),
            "input": ("input", entry["input"]),
            "status": ("status", entry["status"]),
            "error": ("status", error and error["type"]),
            "output": ("output", entry["output"]),
        },
        step=entry["step"],
        brief=_as_called(entry),
    )


def _mark(entry: Mark, number: int) -> Moment:
    steps = entry.get("steps")
    return Moment(
        key=("mark", entry["what"], number),
        where=f"{entry['what']} ({number})",
        facts={
            "step": ("order", entry.get("step")),
            "as": ("order", entry.get("as")),
            "steps": ("plan", [_as_called(step) for step in steps] if steps else None),
            "output": ("output", entry.get("output")),
        },
        step=entry.get("step"),
        brief=entry["what"],
    )


def _end(state: RunState) -> Moment:
    error, result = state["error"], state["result"]
    facts: dict[str, tuple[What, Any]] = {"status": ("status", state["status"])}
    for name in ("type", "step", "reason"):
        facts[f"error.{name}"] = ("status", error and error.get(name))
    facts["unparsed"] = ("plan", error and [words["text"] for words in error["unparsed"]])
    for name in ("output", "summary", "structured"):
        facts[name] = ("output", result and result.get(name))
    answer = result and result.get("answer")
    facts["answer"] = ("output", answer and answer["text"])
    for name in ("calls", "input_tokens", "output_tokens", "usd"):
        facts[name] = ("cost", state["usage"].get(name))
    return Moment(key=("end",), where="the end", facts=facts)


def _as_called(call: Step | Attempt) -> dict[str, Any]:
    return {"tool": call["tool"], "input": call["input"]}


# What one moment of two runs does not have in common.


def _between(one: Moment, other: Moment) -> Iterator[Difference]:
    for name, (what, value) in one.facts.items():
        second = other.facts[name][1]
        if value == second or (what == "asked" and None in (value, second)):
            continue  # what was asked is not known of every run
        path, value, second = _place(name, value, second)
        yield Difference(
            what=what,
            where=one.where,
            step=one.step,
            round=one.round,
            path=path,
            first=value,
            second=second,
        )


def _place(path: str, first: Any, second: Any) -> tuple[str, Any, Any]:
    """Where in a value the first thing is that differs, and what is there."""
    while True:
        if isinstance(first, dict) and isinstance(second, dict):
            names = [*first, *(name for name in second if name not in first)]
            name = next(
                one
                for one in names
                if first.get(one) != second.get(one) or (one in first) != (one in second)
            )
            path, first, second = f"{path}.{name}", first.get(name), second.get(name)
        elif isinstance(first, list) and isinstance(second, list):
            least = min(len(first), len(second))
            at = next((n for n in range(least) if first[n] != second[n]), least)
            path = f"{path}[{at}]"
            first = first[at] if at < len(first) else None
            second = second[at] if at < len(second) else None
        else:
            return path, first, second


def _only(one: Moment, *, in_first: bool) -> Difference:
    return Difference(
        what=one.kind,
        where=one.where,
        step=one.step,
        round=one.round,
        path="",
        first=one.brief if in_first else None,
        second=None if in_first else one.brief,
    )
