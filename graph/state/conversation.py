"""What a run is given of its thread: the runs before it, as they were when it began."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from graph.state.status import Status
from graph.state.wording import doc


class Turn(TypedDict):
    """An earlier run of the thread, as later ones see it."""

    run_id: Annotated[str, doc("The run.")]
    prompt: Annotated[str, doc("What was asked.")]
    status: Annotated[Status, doc("How it ended.")]
    text: Annotated[str, doc("Its answer in words, else its summary, else why it failed.")]
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
        doc("What the last of them returned; null where that is nothing, or too large."),
    ]


def conversation_of(
    earlier: Iterable[Mapping[str, Any]], *, characters: int, total: int | None = None
) -> Conversation:
    """What a run is given of the runs before it, the newest of which comes first in `earlier`.

    No more of them is read than fits into so many `characters`. `total` is how many there are.
    """
    turns: list[Turn] = []
    last: Referent | None = None
    left = characters
    seen = 0
    for state in earlier:
        seen += 1
        if seen == 1:
            last = _referent(state)
        turn = _turn(state)
        left -= len(turn["prompt"]) + len(turn["text"])
        if left < 0:
            break
        turns.append(turn)
    return Conversation(
        turns=turns[::-1],
        left_out=(seen if total is None else total) - len(turns),
        last=last,
    )


def _turn(state: Mapping[str, Any]) -> Turn:
    result, error = state["result"], state["error"]
    text = result["summary"] if result else error["message"] if error else ""
    return Turn(
        run_id=state["run_id"],
        prompt=state["prompt"],
        status=state["status"],
        text=text,
        source="summary" if result else "error",
    )


def _referent(state: Mapping[str, Any]) -> Referent | None:
    if state["status"] != "completed" or not state["result"] or not state["plan"]["steps"]:
        return None
    tool = state["plan"]["steps"][-1]["tool"]
    return Referent(run_id=state["run_id"], tool=tool, output=state["result"]["output"])
