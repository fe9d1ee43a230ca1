"""What a run is given of its thread: the runs before it, as they were when it began."""

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
