"""A run as a row, and what it is given of the runs before it in its thread.

The row is the request until there is a first checkpoint, then what a list shows. Beside it lie the
orders about a run that are stored before they are carried out. The runs before it are given to it
as they were when it began.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, cast

from typing_extensions import TypedDict

from graph.state.log import Learned, ResolvedAs, is_said_done, outputs
from graph.state.plan import Approve, Choice, EditedPlan, RequiredApproval
from graph.state.run import (
    NO_FACTS,
    NOTHING_BEFORE,
    Budget,
    Conversation,
    Facts,
    Limits,
    Referent,
    RunState,
    Turn,
    new_run,
)
from graph.state.status import SETTLED, Status


class ApprovalAnswer(TypedDict):
    """One decision, stored before it is carried out; `at` in epoch seconds.

    `plan` is what is to be executed instead of the plan that was proposed, if it was edited.
    `question` is the number of the question, where it is about a later round.
    """

    what: Literal["approved", "rejected", "expired"]
    at: float
    by: str
    reason: str | None
    plan: EditedPlan | None
    question: NotRequired[int]


_DoubtAnswer = TypedDict("_DoubtAnswer", {"as": ResolvedAs})


class DoubtAnswer(_DoubtAnswer):
    """One decision about a step in doubt, stored before it is carried out; `at` in epoch seconds.

    `question` is the number of the question that it answers, `output` what a step that is said to
    be done has returned, `learned` how its call was known to have ended.
    """

    what: Literal["resolved", "expired"]
    question: int
    output: Any
    at: float
    by: str
    learned: Learned | None


class RetryCommand(TypedDict):
    """A checked request, as it is kept until the run's state has taken it over."""

    from_step: int | None
    input: dict[str, Any] | None
    skip: list[int]
    generation: int
    by: str
    at: float
    replan: NotRequired[list[int]]  # the steps that are dropped, where another plan is wanted
    asks: NotRequired[RequiredApproval]
    traceparent: NotRequired[str]


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run in the index; times in epoch seconds.

    `cancel_at` and `cancel_by` say that somebody asked for its cancellation, whatever came of it.
    `starts` counts how often in a row it was started with `checkpoint_id` as its latest checkpoint,
    so that a run which kills its process is not started for ever. `approval_answer` is what was
    decided about its plan or a step in doubt, `expires_at` until when that may be done. `question`
    is the number of what it asks about a step in doubt or a later round, or has asked last;
    `learned` how a call ended that it had left to itself. `generation` counts how often it was
    retried, and `retry` is the last command to do so. `choice` and `metadata` are what it was given
    beside its prompt, None for nothing. A fork has the id of its origin in
    `forked_from`, and until it is begun the state that it begins with in `seed`. `posted_by` is who
    posted or forked it, None where that is its owner; `traceparent` where that was in a trace of
    theirs, as W3C has it. `webhook` is where
    its end is posted, beside the places that are told of all runs. `thread_id` is the thread that
    it continues, None where it begins one; `thread_name` is how a new one names the thread,
    which it begins where its owner has none of that name. One that is to be `alone` is accepted
    only while every run of its thread has ended.
    """

    run_id: str
    owner: str
    prompt: str
    limits: Limits
    created_at: float
    budget: Budget | None = None
    status: Status = "pending"
    started_at: float | None = None
    completed_at: float | None = None
    starts: int = 1
    checkpoint_id: str | None = None
    cancel_at: float | None = None
    cancel_by: str | None = None
    approve: Approve = "never"
    expires_at: float | None = None
    question: int | None = None
    approval_answer: ApprovalAnswer | DoubtAnswer | None = None
    learned: Learned | None = None
    generation: int = 0
    retry: RetryCommand | None = None
    choice: Choice | None = None
    metadata: dict[str, str] | None = None
    forked_from: str | None = None
    seed: RunState | None = None
    posted_by: str | None = None
    traceparent: str | None = None
    webhook: str | None = None
    thread_id: str | None = None
    thread_name: str | None = None
    alone: bool = False
    facts: Facts = NO_FACTS

    @property
    def thread(self) -> str:
        """The thread that it belongs to: its own where it names none."""
        return self.thread_id or self.run_id


#: How long a key stands for its first request, in seconds.
KEPT = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class IdempotencyKey:
    """What a client calls one request of its own; `fingerprint` tells what the request holds."""

    name: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class KeyedRun:
    """The run that the first request with a key has made; its place in the queue, if just now."""

    run_id: str
    fingerprint: str
    position: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Accepted:
    """That a run was stored; its place in the queue, counted from 1, where that is known by it."""

    position: int | None = None


@dataclass(frozen=True)
class Kept:
    """What is kept of one owner: runs, and the bytes of their requests, checkpoints and writes.

    The bytes of a run are counted where it stops; until then they are those of its request.
    """

    runs: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Quota:
    """The most that may be kept of one owner, and of forks of one run; 0 is no limit.

    `posts` are those of an owner in a minute, which are counted where the run is stored, unless 0.
    """

    runs: int = 0
    bytes: int = 0
    forks: int = 0
    posts: int = 0

    def is_reached(self, kept: Kept) -> bool:
        """Whether no further run of the owner may be kept."""
        return 0 < self.runs <= kept.runs or 0 < self.bytes <= kept.bytes


#: No limit at all.
NO_QUOTA = Quota()


@dataclass(frozen=True)
class RunArtifacts:
    """What is kept of one run under other names than its own: the receipts of its steps,
    and the namespaces of the store that these are in.

    `generation`: how often it was retried by then.
    """

    run_id: str
    generation: int
    receipts: Sequence[tuple[str, str]]
    step_keys: Sequence[str]


def state_of(row: RunRow) -> RunState:
    """The state that an accepted request begins with."""
    if row.seed is not None:
        return row.seed if row.posted_by is None else {**row.seed, "posted_by": row.posted_by}
    return new_run(
        row.prompt,
        run_id=row.run_id,
        owner=row.owner,
        limits=row.limits,
        budget=row.budget,
        approve=row.approve,
        choice=row.choice,
        metadata=row.metadata,
        created_at=row.created_at,
        thread_id=row.thread_id,
        posted_by=row.posted_by,
        traceparent=row.traceparent,
    )


# What a run is given of its thread.


#: Characters of the earlier runs that a run is shown, unless the settings say otherwise.
THREAD_CONTEXT = 16_000

#: The largest output that "it" can be, in bytes of JSON: every checkpoint of the run has it.
LARGEST_REFERENT = 16 * 1024

#: Most characters of one prompt and of one text; where little is shown, a part of that.
_MOST_OF_PROMPT, _PART_OF_PROMPT = 1_000, 12
_MOST_OF_TEXT, _PART_OF_TEXT = 3_000, 6

#: What a turn takes beside its prompt and its text, in characters: ids, names of fields, tags.
TURN = 120

#: As many turns are left out at once, so that the prompts of that many runs begin with the same
#: words, which providers cache.
_BLOCK = 8


def conversation_of(
    newest_first: Sequence[Turn],
    last: Referent | None,
    *,
    characters: int,
    total: int | None = None,
) -> Conversation:
    """What a run is given of the settled runs before it in its thread.

    The turns that it keeps have at most so many `characters`, with what each takes beside its
    words. `total` is how many there were, where these are not all.
    """
    fitting, left = list[Turn](), characters
    for turn in newest_first:
        left -= TURN + len(turn["prompt"]) + len(turn["text"])
        if left < 0:
            break
        fitting.append(turn)
    known = max(len(newest_first), total or 0)
    left_out = _in_blocks(known - len(fitting), known)
    return Conversation(turns=fitting[: known - left_out][::-1], left_out=left_out, last=last)


def followed(state: Mapping[str, Any], *, characters: int) -> Conversation | None:
    """What the next run on the same LangGraph thread is given; None where nothing went before.

    `state` is that of the run before, but for its prompt, which the next one has replaced. A run
    that has not ended is none of the earlier ones, and leaves nothing to refer to.
    """
    before: Conversation = state.get("conversation", NOTHING_BEFORE)
    turns, total, last = before["turns"][::-1], before["left_out"] + len(before["turns"]), None
    if state.get("status") in SETTLED and "asked" in state:
        ended = {**state, "prompt": state["asked"]}
        turns, total = [turn_of(ended, characters), *turns], total + 1
        last = referent_of(ended)
    return conversation_of(turns, last, characters=characters, total=total) if total else None


def turn_of(state: Mapping[str, Any], characters: int = THREAD_CONTEXT) -> Turn:
    """A settled run as later ones see it, where all that they see has so many `characters`."""
    result, error = state.get("result"), state.get("error")
    source: Literal["answer", "summary", "error"]
    most = min(_MOST_OF_TEXT, characters // _PART_OF_TEXT)
    if result and (answer := result.get("answer")):
        text, source = _with_summary(answer["text"], result["summary"], most), "answer"
    elif result:
        text, source = result["summary"], "summary"
    else:
        text, source = error["message"] if error else state["status"], "error"
    return Turn(
        run_id=state["run_id"],
        prompt=_cut(state["prompt"], min(_MOST_OF_PROMPT, characters // _PART_OF_PROMPT)),
        status=state["status"],
        text=_cut(text, most),
        source=source,
    )


def referent_of(state: Mapping[str, Any]) -> Referent | None:
    """What "it" can mean after this run; None unless it completed with an output, not too large.

    None too where that is only the last of several records, such as two to-dos that were added.
    """
    result = state.get("result")
    if state["status"] != "completed" or not result or result["output"] is None:
        return None
    output, tool = result["output"], _tool_of_output(state)
    size = len(json.dumps(output, ensure_ascii=False).encode(errors="replace"))
    if tool is None or size > LARGEST_REFERENT or _is_one_of_several(state, tool, output):
        return None
    return Referent(run_id=state["run_id"], tool=tool, output=output)


def _tool_of_output(state: Mapping[str, Any]) -> str | None:
    """The tool of the step that was done last, whose output is the result's."""
    skipped = state.get("skipped", [])
    for entry in reversed(state.get("log", [])):
        done = entry.get("status") == "ok" or is_said_done(entry)
        if done and entry["step"] not in skipped:
            steps = state["plan"]["steps"]
            return cast("str", entry.get("tool") or steps[entry["step"] - 1]["tool"])
    return None


def _is_one_of_several(state: Mapping[str, Any], tool: str, output: Any) -> bool:
    """Whether other steps of the same tool have returned records with another id."""
    if not isinstance(output, dict) or "id" not in output:
        return False
    steps, skipped = state["plan"]["steps"] if state.get("plan") else [], state.get("skipped", [])
    return any(
        isinstance(other, dict) and other.get("id", output["id"]) != output["id"]
        for step, other in outputs(state).items()
        if step <= len(steps) and step not in skipped and steps[step - 1]["tool"] == tool
    )


def _with_summary(text: str, summary: str, most: int) -> str:
    """An answer with what we counted below, which stays where the answer is cut: words may lie."""
    counted = f"\n({summary})" if summary else ""
    if len(counted) > most // 2:
        return f"{text}{counted}"
    return f"{_cut(text, most - len(counted))}{counted}"


def _in_blocks(least: int, total: int) -> int:
    """How many of all turns are left out where `least` do not fit: in blocks, as far as it goes.

    At least half of those that fit stay.
    """
    if not least:
        return 0
    block = _BLOCK
    while block > 1 and block > (total - least) // 2:
        block //= 2
    return -(-least // block) * block


def _cut(text: str, most: int) -> str:
    """The text with at most so many characters; one that is cut says so."""
    if len(text) <= most:
        return text
    mark = f"… (cut; it has {len(text)} characters)"
    if len(mark) > most // 2:
        mark = "…"[:most]
    return text[: most - len(mark)] + mark
