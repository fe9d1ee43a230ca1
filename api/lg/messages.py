"""Runs as messages: what was asked, the calls of the plan, what they returned, and the answer.

They are a projection: the record is what is kept. A message that has changed has another id, so
that clients which put messages together by their ids never mix two.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from graph.state import RunState, Step, attempts, outputs
from graph.state.rounds import digest, dropped, rounds_of, steps_of
from graph.state.status import SETTLED
from graph.state.wording import text_of

Message = dict[str, Any]

#: Longest text of what a tool has returned, in characters; the log has the whole.
LONGEST_OUTPUT = 32_000

#: So many runs of a thread are shown as messages, the newest ones.
MOST_RUNS = 100

#: What a client says who is asked, whatever it calls them, and what else a thread has.
_HUMAN = frozenset({"human", "user"})
_OURS = frozenset({"ai", "assistant", "AIMessageChunk", "tool"})


def messages_of(state: RunState) -> list[Message]:
    """The messages of one run, as far as it is."""
    messages = [_human(state)]
    for entry in rounds_of(state):
        if steps := steps_of(state["plan"], entry):
            messages.append(_plan(state, entry["round"], steps))
            is_last = entry["last"] >= len(state["plan"]["steps"])
            messages += _returned(state, steps, is_last=is_last)
    if state["status"] in SETTLED:
        messages.append(final(state))
    return messages


def _human(state: RunState) -> Message:
    return {
        "id": f"{state['run_id']}-human",
        "type": "human",
        "content": state["prompt"],
        "additional_kwargs": {},
        "response_metadata": {},
    }


def ai(name: str, content: str, calls: Sequence[Message] = ()) -> Message:
    """A message of ours."""
    return {
        "id": name,
        "type": "ai",
        "content": content,
        "tool_calls": [*calls],
        "invalid_tool_calls": [],
        "additional_kwargs": {},
        "response_metadata": {},
    }


def _plan(state: RunState, number: int, steps: Sequence[Step]) -> Message:
    calls = [
        {
            "id": call_id(state, step["step"]),
            "name": step["tool"],
            "args": step["input"],
            "type": "tool_call",
        }
        for step in steps
    ]
    return ai(f"{state['run_id']}-plan-{number}-{digest(steps)[:8]}", "", calls)


def call_id(state: RunState, step: int) -> str:
    """What the call of a step is known by."""
    return f"{state['run_id']}-{step}"


def _returned(state: RunState, steps: Sequence[Step], *, is_last: bool) -> list[Message]:
    """What became of the steps; of one that may still be attempted, nothing."""
    done, gone = outputs(state), dropped(state)
    over = state["status"] in SETTLED or not is_last
    failures = {one["step"]: one["error"] for one in attempts(state) if one["error"]}
    messages = []
    for step in steps:
        number = step["step"]
        if number in done:
            messages.append(_tool(state, step, _text(done[number])))
        elif over or number in gone:
            error = failures.get(number)
            words = error["message"] if error else "not executed"
            messages.append(_tool(state, step, words, status="error"))
    return messages


def _tool(state: RunState, step: Step, content: str, *, status: str = "success") -> Message:
    number = step["step"]
    return {
        "id": f"{call_id(state, number)}-{status}-{state['generation']}",
        "type": "tool",
        "name": step["tool"],
        "tool_call_id": call_id(state, number),
        "content": content,
        "status": status,
        "artifact": None,
        "additional_kwargs": {},
        "response_metadata": {},
    }


def _text(output: Any) -> str:
    text = text_of(output)
    if len(text) <= LONGEST_OUTPUT:
        return text
    return f"{text[:LONGEST_OUTPUT]}… (cut; it has {len(text)} characters)"


def final(state: RunState) -> Message:
    """The message that a settled run ends with."""
    result, error = state["result"], state["error"]
    said = result.get("answer") if result else None
    if said:
        words = said["text"]
    elif error:
        words = error["message"]
    else:
        words = result["summary"] if result else state["status"]
    return ai(answer_id(state), words)


def answer_id(state: RunState) -> str:
    """What the last message of a run is known by, before it is there."""
    return f"{state['run_id']}-answer-{state['generation']}"


class SettledMessages:
    """The messages of runs that have ended, kept while there is room: they are told with each
    later run of their thread.
    """

    def __init__(self, room: int = 4 * 2**20) -> None:
        self._room = room
        self._kept: OrderedDict[tuple[str, int], tuple[list[Message], int]] = OrderedDict()
        self._size = 0

    def of(self, state: RunState) -> list[Message]:
        """The messages of a run."""
        if state["status"] not in SETTLED:
            return messages_of(state)
        place = state["run_id"], state["generation"]
        if (kept := self._kept.get(place)) is not None:
            self._kept.move_to_end(place)
            return kept[0]
        messages = messages_of(state)
        size = len(json.dumps(messages))
        self._kept[place] = messages, size
        self._size += size
        while self._size > self._room:
            _, (_, gone) = self._kept.popitem(last=False)
            self._size -= gone
        return messages


# What clients send.


def prompt_of(messages: Any) -> str:
    """The task that messages end with: the text of the last one of a person. Raises `ValueError`.

    What stands before it in the thread is known here, so that it may be sent again or not.
    """
    if not isinstance(messages, list):
        messages = [messages]
    for message in reversed(messages):
        if isinstance(message, str):
            return message
        if not isinstance(message, Mapping):
            raise ValueError("a message is an object with `type` and `content`")
        kind = message.get("type", message.get("role"))
        if kind in _HUMAN:
            return _words(message.get("content"))
        if kind not in _OURS:
            raise ValueError(f"no thread has a message of the type {kind!r}"[:200])
    raise ValueError("none of the messages is of a person: one has the type `human`")


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ValueError("the content of a message is text, or a list of blocks")
    texts = []
    for block in content:
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block, Mapping) and isinstance(block.get("text"), str):
            texts.append(block["text"])
        else:
            kind = block.get("type") if isinstance(block, Mapping) else None
            raise ValueError(f"a task is text; a block of the type {kind!r} is none"[:200])
    return "\n".join(texts)
