"""What a run is given of its thread: the runs before it, as they were when it began."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from typing_extensions import TypedDict

from graph.state.log import is_said_done, outputs
from graph.state.status import SETTLED, Status
from graph.state.wording import doc

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


class Turn(TypedDict):
    """An earlier run of the thread, as later ones see it."""

    run_id: Annotated[str, doc("The run.")]
    prompt: Annotated[str, doc("What was asked; what is long is cut, and says so.")]
    status: Annotated[Status, doc("How it ended.")]
    text: Annotated[
        str,
        doc(
            "Its answer in words with its summary below, else its summary, else why it failed; "
            "what is long is cut."
        ),
    ]
    source: Annotated[Literal["answer", "summary", "error"], doc("Which of them `text` is.")]


class Referent(TypedDict):
    """What "it" and "that" can mean: what the last run of the thread has returned."""

    run_id: Annotated[str, doc("The run that returned it.")]
    tool: Annotated[str, doc("The tool whose output it is.")]
    output: Annotated[Any, doc("The output, as that run recorded it.")]


class Conversation(TypedDict):
    """The thread's earlier runs, oldest first; what is too long is left out, oldest first.

    It is fixed when the run begins: a retry, and a later run that is retried, keep what they had.
    """

    turns: Annotated[list[Turn], doc("The earlier runs, oldest first.")]
    left_out: Annotated[int, doc("How many still earlier ones were left out, to keep it short.")]
    last: Annotated[
        Referent | None,
        doc(
            "What the last of them returned; null where it is nothing, one of several, or too big."
        ),
    ]


#: The conversation of a run that is the first of its thread.
NOTHING_BEFORE = Conversation(turns=[], left_out=0, last=None)


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
