"""Runs as the protocol has them: as messages, with what they ask a person, and by their values.

Messages are a projection, the record is what is kept: what was asked, the calls of the plan, what
they returned, and the answer. A message that has changed has another id, so that clients which put
messages together by their ids never mix two.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from api.errors.kinds import unprocessable
from graph.state import RunState, Status, Step, attempts, outputs, question_of, split
from graph.state.rounds import approval_of, asked_about, digest, dropped, rounds_of, steps_of
from graph.state.status import SETTLED
from graph.state.wording import rfc3339, text_of
from nodes.approval.questions import ANSWERS, doubt_question, plan_question
from tools.toolbox import Tool

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


# What clients send.


def task_of(given: Any) -> str | None:
    """The task of an input, None without one. Raises `Unprocessable`."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise unprocessable("input", 'is {"prompt": …} or {"messages": […]}')
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return None  # as chat pages send it beside an answer
    if unknown := [name for name in given if name not in ("prompt", "messages")]:
        raise unprocessable(f"input.{unknown[0][:60]}", "is not supported: prompt or messages is")
    if len(given) != 1:
        raise unprocessable("input", "has either a prompt or messages")
    if "prompt" in given:
        if not isinstance(given["prompt"], str):
            raise unprocessable("input.prompt", "must be text")
        return given["prompt"]
    try:
        return prompt_of(given["messages"])
    except ValueError as error:
        raise unprocessable("input.messages", str(error)) from None


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


# What runs ask a person, as interrupts.


#: What fits the question whether a plan is to be executed.
PLAN_SCHEMA: dict[str, Any] = {
    "oneOf": [
        {"type": "boolean", "description": "true approves the plan, false rejects it."},
        {
            "type": "object",
            "description": "Approves another plan, which is executed instead.",
            "properties": {
                "what": {"const": "approved"},
                "plan": {
                    "type": "object",
                    "properties": {"steps": {"type": "array", "items": {"type": "object"}}},
                    "required": ["steps"],
                },
            },
            "required": ["plan"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "what": {"enum": ["approved", "rejected"]},
                "reason": {"type": "string", "description": "Why, where it is rejected."},
            },
            "required": ["what"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "description": "As chat pages decide: one for each step that is asked about, in their "
            "order. One that is rejected rejects the plan.",
            "properties": {"decisions": {"type": "array", "items": {"type": "object"}}},
            "required": ["decisions"],
            "additionalProperties": False,
        },
    ]
}

#: What may be decided about each step.
_DECISIONS = ("approve", "edit", "reject")

#: What fits the question whether a step has acted.
DOUBT_SCHEMA: dict[str, Any] = {
    "oneOf": [
        {"enum": [*ANSWERS], "description": "What became of the step."},
        {
            "type": "object",
            "properties": {
                "as": {"enum": [*ANSWERS]},
                "output": {"description": "With done: what it has returned."},
            },
            "required": ["as"],
            "additionalProperties": False,
        },
    ]
}


def question(state: RunState, tools: Mapping[str, Tool]) -> dict[str, Any] | None:
    """What a run asks, as an interrupt; None of one that asks nothing.

    Its id is a function of the record, and another for every question.
    """
    if state["status"] != "waiting":
        return None
    if doubt := question_of(state):
        value, schema, number = doubt_question(doubt), DOUBT_SCHEMA, f"doubt {doubt['number']}"
    else:
        approval = approval_of(state)
        value, schema = _with_actions(plan_question(state, tools)), PLAN_SCHEMA
        number = f"plan {asked_about(state)} {approval and approval['asked_at']}"
    place = f"{state['run_id']} {state['generation']} {number}"
    return {"value": value, "id": uuid5(NAMESPACE_URL, place).hex, "response_schema": schema}


def _with_actions(value: dict[str, Any]) -> dict[str, Any]:
    """The question about a plan with its steps as chat pages show what is to be reviewed."""
    steps = value["plan"]["steps"]
    actions = [
        {"name": step["tool"], "args": step["input"], "description": step["reasoning"]}
        for step in steps
    ]
    configs = [
        {"action_name": name, "allowed_decisions": [*_DECISIONS]}
        for name in dict.fromkeys(step["tool"] for step in steps)
    ]
    return {**value, "action_requests": actions, "review_configs": configs}


# Runs, and their values.


#: The name of the graph, and the id of the one assistant that there is of it: the same on every
#: server, as LangGraph's makes it.
GRAPH = "runwright"
ASSISTANT_ID = str(uuid5(UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), GRAPH))

#: What every run and thread is known by beside what its caller gives.
OURS = {"graph_id": GRAPH, "assistant_id": ASSISTANT_ID}

RUN_STATUS: Mapping[Status, str] = {
    "pending": "pending",
    "running": "running",
    "waiting": "interrupted",
    "completed": "success",
    "failed": "error",
    "cancelled": "interrupted",
}


def values_of(
    state: RunState, messages: Sequence[Message], tools: Mapping[str, Tool] | None = None
) -> dict[str, Any]:
    """The values of a thread at a state of one of its runs, with the thread's messages.

    With the `tools` a run that asks a person tells its question, as streams have it.
    """
    values = {**split(state), "messages": [*messages]}
    if tools is not None and (asked := question(state, tools)):
        values["__interrupt__"] = [asked]
    return values


def run_of(run: Mapping[str, Any], *, cancel_reason: str | None = None) -> dict[str, Any]:
    """A run, of its record or of a list's row."""
    changed = run["completed_at"] or run["started_at"] or run["created_at"]
    return {
        "run_id": run["run_id"],
        "thread_id": run["thread_id"],
        "assistant_id": ASSISTANT_ID,
        "created_at": rfc3339(run["created_at"]),
        "updated_at": rfc3339(changed),
        "status": RUN_STATUS[run["status"]],
        "metadata": {**(run.get("metadata") or {}), **OURS},
        "multitask_strategy": "enqueue",
        "kwargs": {"input": {"prompt": run["prompt"]}},
        "cancel_reason": cancel_reason,
    }


def cancel_reason_of(state: Mapping[str, Any]) -> str | None:
    """Why a run was cancelled; None of any other."""
    error = state.get("error")
    if state["status"] != "cancelled" or not error:
        return None
    return f"{error['type']}: {error['message']}"


def error_of(state: RunState) -> dict[str, str] | None:
    """Why a run has failed, as streams and waits tell it; None of any other."""
    error = state["error"]
    if state["status"] != "failed" or not error:
        return None
    return {"error": error["type"], "message": error["message"]}


def selected(view: dict[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
    """Of a view only these parts; `values.name` is one of its values. Raises `Unprocessable`."""
    if not names:
        return view
    found: dict[str, Any] = {}
    for name in names:
        field, _, part = name.partition(".")
        if field not in view or (part and field != "values"):
            known = ", ".join(view)
            raise unprocessable("select", f"{name[:60]!r} is none of {known}, values.<name>")
        if not part:
            found[field] = view[field]
        elif part in (view[field] or {}):
            found.setdefault(field, {})[part] = view[field][part]
        else:
            found.setdefault(field, {})
    return found
