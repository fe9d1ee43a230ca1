"""The channels of the graph: what people read and edit of a run, and one for everything else.

Nodes, records and other readers of a run have it whole, as `RunState`; LangGraph has these. Each
channel costs at every super-step, whether it was written or not.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

from langgraph.channels.delta import DeltaChannel
from langgraph.types import Overwrite
from typing_extensions import TypedDict

from graph.state.conversation import Conversation
from graph.state.log import extend
from graph.state.plan import Plan
from graph.state.run import RunDetails, RunState
from graph.state.status import Result


def merged(details: Any, changes: Any) -> Any:
    """Reducer of `run`: what is written changes, everything else stays.

    What is no mapping is kept as it is, for the nodes to say what is wrong.
    """
    if not isinstance(changes, dict) or not isinstance(details, dict):
        return changes
    return {**details, **changes}


class Channels(TypedDict, total=False):
    """The state of the graph.

    The log is stored as what each checkpoint adds, and whole at every hundredth and at the end.
    What went before in a thread is a channel, since it may be long and never changes.
    """

    prompt: str
    plan: Plan
    log: Annotated[list[Any], DeltaChannel(extend, snapshot_frequency=100)]
    result: Result | None
    conversation: Conversation
    run: Annotated[RunDetails, merged]


#: The fields of a run that are channels of their own.
OWN = ("prompt", "plan", "log", "result", "conversation")

#: Those that are in `run`.
DETAILS = frozenset(RunDetails.__annotations__)


def whole(channels: Mapping[str, Any]) -> RunState:
    """The run that is in the channels; what they do not hold, it lacks."""
    details = channels.get("run")
    own = {name: channels[name] for name in OWN if name in channels}
    return cast("RunState", {**details, **own} if isinstance(details, dict) else own)


def split(update: Mapping[str, Any]) -> dict[str, Any]:
    """A run, or an update of one, as it is written to the channels."""
    written = {name: update[name] for name in OWN if name in update}
    details = {name: value for name, value in update.items() if name not in OWN}
    return {**written, "run": details} if details else written


def logged(log: list[Any], writes: Sequence[Any]) -> list[Any]:
    """A log after what nodes have written to it in one super-step, as its channel has it then."""
    for write in writes:
        if isinstance(write, Overwrite):
            return list(write.value)
    return extend(log, writes)
