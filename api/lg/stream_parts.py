"""What a stream tells of one step of a run, from one stored state to the next, in each mode.

All but the parts of an answer is a function of the two states and their checkpoints, so that it can
be told again from the record, under the same ids. A task begins with the checkpoint that it is due
at, and has ended with the next one.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pydantic_core import to_json

from api.errors.kinds import unprocessable
from api.lg.views import (
    OURS,
    RUN_STATUS,
    Message,
    ai,
    answer_id,
    error_of,
    final,
    messages_of,
    question,
    values_of,
)
from graph.record.events import Event
from graph.state import RunState, new_run, split
from graph.state.rounds import is_called
from graph.state.status import SETTLED
from graph.state.wording import rfc3339
from tools.toolbox import Tool

#: What can be streamed, and how it is told again: of the others, clients are told that they are
#: not supported.
MODES = (
    *("values", "updates", "messages-tuple", "messages", "custom", "lifecycle"),
    *("tasks", "debug", "checkpoints"),
)

#: Places of what is told at one number of events, in this order.
LIFECYCLE, UPDATES, FIRST_MESSAGE = 1, 2, 3
VALUES, ERROR, END, PARTS = 900, 998, 999, 1_000


@dataclass(frozen=True, order=True)
class Position:
    """Where a reader is: after so many events of the run, and so many things told there.

    From `PARTS` on the place says how many characters of the answer were told.
    """

    events: int
    place: int

    def __str__(self) -> str:
        return f"{self.events}-{self.place}"

    @classmethod
    def read(cls, text: str) -> "Position | None":
        """The position that a reader names; None for all from the beginning.

        Raises `Unprocessable`.
        """
        if text in ("", "-1"):
            return None
        events, _, place = text.partition("-")
        if not (events.isascii() and events.isdigit() and place.isascii() and place.isdigit()):
            raise unprocessable("last-event-id", "is the id of an event of this run, or -1")
        return cls(int(events[:9]), int(place[:9]))


#: Before everything.
BEGINNING = Position(0, 0)


@dataclass(frozen=True)
class StreamPart:
    """One event of a stream; one without a position is live only."""

    event: str
    data: Any
    at: Position | None = None

    def encoded(self, of: str = "") -> bytes:
        """The event on the wire; `of` comes before its id."""
        number = f"id: {of}{self.at}\n" if self.at else ""
        return f"{number}event: {self.event}\ndata: ".encode() + to_json(self.data) + b"\n\n"


@dataclass
class Answering:
    """How much of a run's answer a reader has been told."""

    said: str = ""
    known: int = 0  # characters, of who comes again
    before: str = ""  # and which they are, once that is told
    beginnings: int = 1

    @property
    def count(self) -> int:
        """Characters."""
        return self.known + len(self.said)

    @property
    def so_far(self) -> str | None:
        """All of it; None where what who comes again knows is not told any more."""
        return self.before + self.said if len(self.before) == self.known else None


@dataclass
class Teller:
    """What a reader of a run is told, who has asked for these modes."""

    modes: Collection[str]
    tools: Mapping[str, Tool]
    thread_id: str
    earlier: Sequence[Message] = ()
    answering: Answering = field(default_factory=Answering)

    def step(
        self, before: RunState | None, state: RunState, number: int, events: Sequence[Event]
    ) -> Iterator[StreamPart]:
        """What is told of a state with so many events, and of the `events` that led to it."""
        if "custom" in self.modes:
            for event in events:
                yield StreamPart("custom", event, Position(event["id"], 0))
        if "lifecycle" in self.modes and (lifecycle := _lifecycle(before, state)):
            yield StreamPart("lifecycle", lifecycle, Position(number, LIFECYCLE))
        if "updates" in self.modes and before is not None:
            node = next((event["node"] for event in events if event["node"]), None)
            if node is not None and (changed := update_of(before, state)):
                yield StreamPart("updates", {node: changed}, Position(number, UPDATES))
        yield from self._messages(before, state, number)
        asked = question(state, self.tools)
        if "updates" in self.modes and asked:
            yield StreamPart("updates", {"__interrupt__": [asked]}, Position(number, VALUES - 1))
        if "values" in self.modes:
            values = values_of(state, [*self.earlier, *messages_of(state)], self.tools)
            yield StreamPart("values", values, Position(number, VALUES))

    def _messages(
        self, before: RunState | None, state: RunState, number: int
    ) -> Iterator[StreamPart]:
        if not {"messages", "messages-tuple"} & {*self.modes}:
            return
        known = {message["id"]: message for message in messages_of(before)} if before else {}
        for place, message in enumerate(messages_of(state), start=FIRST_MESSAGE):
            if message["type"] == "human" or known.get(message["id"]) == message:
                continue
            at = Position(number, min(place, VALUES - 2))
            if state["status"] not in SETTLED or message["id"] != answer_id(state):
                yield from self.message(message, at)
            elif rest := self._rest(state):
                yield from self.message(rest, at, final(state)["content"])

    def _rest(self, state: RunState) -> Message | None:
        """What of the answer was not told: all of it, or what is left of its parts."""
        whole = final(state)
        answering = self.answering
        text = whole["content"]
        if not answering.count:
            return whole
        if answering.beginnings > 1 or not text[answering.known :].startswith(answering.said):
            return {**whole, "id": f"{whole['id']}-whole"}
        left = text[answering.count :]
        unknown = "messages" in self.modes and answering.so_far is None
        return chunk(whole["id"], left) if left or unknown else None

    def message(
        self, message: Message, at: Position | None, so_far: str | None = None
    ) -> Iterator[StreamPart]:
        """A message in the forms that were asked for, a part in one of them as all `so_far`."""
        node = {"ai": "plan", "tool": "execute_step"}.get(message["type"], "finalize")
        known = {**OURS, "thread_id": self.thread_id, "langgraph_node": node}
        if "messages-tuple" in self.modes:
            yield StreamPart("messages", [message, known], at)
        if "messages" in self.modes:
            if message["type"] == "AIMessageChunk":
                if so_far is not None:
                    yield StreamPart("messages/partial", [ai(message["id"], so_far)], at)
            else:
                yield StreamPart("messages/metadata", {message["id"]: {"metadata": known}}, None)
                yield StreamPart("messages/complete", [message], at)

    def part(self, state: RunState, text: str, offset: int, number: int) -> Iterator[StreamPart]:
        """The next words of an answer that is being given, unless the reader has them."""
        answering = self.answering
        if offset == 0 and answering.count and answering.said:
            answering.said, answering.known, answering.beginnings = "", 0, answering.beginnings + 1
            answering.before = ""
        if offset == len(answering.before) < answering.known:
            answering.before += text[: answering.known - offset]
        if offset > answering.count:
            return  # something was missed: the whole comes at the end
        text = text[answering.count - offset :]
        if not text:
            return
        answering.said += text
        name = answer_id(state)
        if answering.beginnings > 1:
            name = f"{name}-{answering.beginnings}"
        at = Position(number, PARTS + answering.count) if answering.beginnings == 1 else None
        yield from self.message(chunk(name, text), at, answering.so_far)


def chunk(name: str, text: str) -> Message:
    """A part of a message of ours."""
    return {**ai(name, text), "type": "AIMessageChunk", "tool_call_chunks": []}


def _lifecycle(before: RunState | None, state: RunState) -> dict[str, Any] | None:
    if before is not None and before["status"] == state["status"]:
        return None
    names = {"pending": "started", "waiting": "interrupted", "cancelled": "interrupted"}
    event: str = names.get(state["status"], state["status"])
    error = error_of(state)
    return {
        "event": event,
        "namespace": [],
        "run_id": state["run_id"],
        **({"error": error["message"]} if error else {}),
    }


def ending(state: RunState, number: int) -> Iterator[StreamPart]:
    """What a stream closes with, of a run that has ended or waits."""
    if error := error_of(state):
        yield StreamPart("error", error, Position(number, ERROR))
    ended = {"run_id": state["run_id"], "status": RUN_STATUS[state["status"]]}
    yield StreamPart("end", ended, Position(number, END))


def update_of(before: RunState, state: RunState) -> dict[str, Any]:
    """What of the channels is not as it was: of the log what was added, of `run` what changed."""
    old, new = split(before), split(state)
    changed = {name: value for name, value in new.items() if name not in old or old[name] != value}
    if "log" in changed:
        changed["log"] = new["log"][len(old.get("log", ())) :]
    if "run" in changed:
        changed["run"] = {
            name: value
            for name, value in new["run"].items()
            if name not in old["run"] or old["run"][name] != value
        }
    return changed


def accepted(state: RunState) -> RunState:
    """A run as it was when it was accepted: what comes before all of its checkpoints."""
    first = new_run(
        state["prompt"],
        run_id=state["run_id"],
        owner=state["owner"],
        limits=state["limits"],
        created_at=state["created_at"],
        budget=state.get("budget"),
        approve=state.get("approve", "never"),
        choice=state.get("choice"),
        metadata=state.get("metadata"),
        thread_id=state.get("thread_id"),
    )
    return {**first, "log": []}


def is_seed(state: RunState) -> bool:
    """Whether a run was given a state to begin with, which is its first checkpoint."""
    return state.get("forked_from") is not None or is_called(state)


#: What of the modes this tells.
LOOKING = frozenset({"tasks", "debug", "checkpoints"})

#: Places of what is told at one number of events: after the values there.
_RESULT, _CHECKPOINT, _TASK, _ASKED = 902, 904, 906, 908

#: The node that every run begins with; of an accepted run, no checkpoint has it as a task.
_FIRST = "plan"

View = Mapping[str, Any]


def told_of(
    modes: Collection[str], number: int, state: RunState, older: View | None, view: View | None
) -> Iterator[StreamPart]:
    """What is told of a state with so many events, whose checkpoint this is, and of the one before.

    None of a run that was accepted, and has no checkpoint as yet.
    """
    metadata = (view or {}).get("metadata") or {}
    step = metadata.get("step", -1)
    at = view["created_at"] if view else rfc3339(state["created_at"])
    for place, kind, payload in _happened(state, older, view):
        mode = "checkpoints" if kind == "checkpoint" else "tasks"
        if mode in modes:
            yield StreamPart(mode, payload, Position(number, place))
        if "debug" in modes:
            entry = {"type": kind, "step": step, "timestamp": at, "payload": payload}
            yield StreamPart("debug", entry, Position(number, place + 1))


def _happened(
    state: RunState, older: View | None, view: View | None
) -> Iterator[tuple[int, str, View]]:
    """What happened with a checkpoint, in order: its place, its kind as `debug` says it, and it."""
    for task in _ended(state, older, view):
        yield _RESULT, "task_result", task
    if view:
        yield _CHECKPOINT, "checkpoint", _checkpoint(view)
    for task in view["tasks"] if view else [_first(state)]:
        begun = {
            **{name: task[name] for name in ("id", "name")},
            "input": _input(view) if view else {"prompt": state["prompt"]},
            "triggers": [f"branch:to:{task['name']}"],
        }
        yield _TASK, "task", begun
        if view and view["interrupts"]:
            yield _ASKED, "task_result", _result(task, None, view["interrupts"])


def _ended(state: RunState, older: View | None, view: View | None) -> Iterator[View]:
    """The tasks that led to a checkpoint, and what they changed; none led to an edited one."""
    if view is None or view["metadata"].get("source") != "loop":
        return
    if older is None:
        yield _result(_first(state), _input(view), [])
        return
    for task in older["tasks"]:
        before = _input(older)
        changed = {name: one for name, one in _input(view).items() if before.get(name) != one}
        yield _result(task, changed, [])


def _first(state: RunState) -> View:
    place = f"{state['run_id']} {state['generation']} {_FIRST}"
    return {"id": str(uuid5(NAMESPACE_URL, place)), "name": _FIRST}


def _result(task: View, result: Any, asked: Sequence[Any]) -> View:
    return {
        "id": task["id"],
        "name": task["name"],
        "error": None,
        "result": result or {},
        "interrupts": asked,
    }


def _input(view: View) -> dict[str, Any]:
    return {name: value for name, value in view["values"].items() if name != "messages"}


def _checkpoint(view: View) -> View:
    """The state as it was when it was stored: nothing had come of its tasks by then."""
    names = ("values", "next", "metadata", "checkpoint", "parent_checkpoint")
    tasks = [{**task, "result": None, "error": None} for task in view["tasks"]]
    config, parent = (
        place and {"configurable": place}
        for place in (view["checkpoint"], view["parent_checkpoint"])
    )
    return {
        **{name: view[name] for name in names},
        "tasks": tasks,
        "config": config,
        "parent_config": parent,
    }
