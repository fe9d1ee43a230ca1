"""The spans of a run: a pure function of its state, as its events are.

Each has an id that follows from the run, its generation and what it is about, so that one that is
exported twice, or by another process after a crash, is the same span. Every generation is a trace
of its own; a retry links to the generation before it, and a fork to its origin.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from graph.record.generations import (
    Generation,
    Place,
    caller,
    generations,
    root,
    span_id,
    traceparents,
)
from graph.record.reasons import time_spent
from graph.state import Attempt, PlanningCall, Round, RunState, ended_at, step_key
from graph.state.status import SETTLED
from graph.state.wording import text_of

# The names of OpenTelemetry's conventions for generative AI that spans use. All of them are in
# development there and have been renamed before, so that they stand here alone:
# github.com/open-telemetry/semantic-conventions-genai, v0.1.0.

OPERATION = "gen_ai.operation.name"
AGENT = "gen_ai.agent.name"
AGENT_VERSION = "gen_ai.agent.version"
CONVERSATION = "gen_ai.conversation.id"
PROVIDER = "gen_ai.provider.name"
MODEL = "gen_ai.request.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
ERROR = "error.type"

#: What viewers of another convention (OpenInference) tell kinds of spans by.
VIEWER_KIND = "openinference.span.kind"

#: A call of an MCP server, as its own conventions name it.
MCP_METHOD, TOOLS_CALL = "mcp.method.name", "tools/call"

#: The operations that there are, and how spans of each are named.
INVOKE_AGENT, CHAT, EXECUTE_TOOL, PLAN = "invoke_agent", "chat", "execute_tool", "plan"


#: What of a run's time is told as a wait, beside the work itself.
WAITS = frozenset({"queue", "waiting", "backoff", "interruption"})

#: Most characters of a content that is told.
MOST_CONTENT = 16_000

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True)
class Span:
    """Something that took its time, and is over; times in epoch seconds.

    `error` is what kind of failure it was. A `client` span is a call of something else.
    """

    name: str
    place: Place
    parent: Place | None
    start: float
    end: float
    attributes: Attributes
    kind: Literal["internal", "client"] = "internal"
    error: str | None = None
    links: tuple[Place, ...] = field(default=())


@dataclass(frozen=True)
class Exported:
    """How many entries of the two logs of a run have been told already."""

    logged: int = 0
    planned: int = 0


def spans(
    state: RunState, *, after: Exported = Exported(), version: str = "", contents: bool = False
) -> Iterator[Span]:
    """The spans of a run that are over, in no order that means anything.

    Without those of entries that were told before, but for what ends with the run. `version` is
    that of this program. With `contents` they have prompts, inputs and outputs too.
    """
    fork = state.get("forked_from")
    logged = fork["logged"] if fork else 0
    for number, generation in enumerate(generations(state)):
        yield from _Trace(state, generation, number, logged, after, version, contents).spans()
        logged += len(generation.state.get("log", []))
    if state["status"] in SETTLED:
        yield from _waits(state)


@dataclass(frozen=True)
class _Trace:
    """One generation of a run, whose log begins at the entry `logged` of the run's."""

    run: RunState
    generation: Generation
    number: int
    logged: int
    after: Exported
    version: str
    contents: bool

    @property
    def state(self) -> RunState:
        return self.generation.state

    def spans(self) -> Iterator[Span]:
        """Those that are over."""
        new = max(0, self.after.logged - self.logged)
        for entry in self.state.get("log", [])[new:]:
            if entry["kind"] == "attempt":
                attempt = self._attempt(entry)
                yield attempt
                yield from self._server_call(entry, attempt)
        calls, first = self.state["planning_log"], self.generation.planned
        rounds = self.generation.rounds
        begins = [max(0, entry["calls"][0] - first) for entry in rounds]
        for entry, begin, end in zip(rounds, begins, [*begins[1:], len(calls)], strict=False):
            yield from self._round(entry, begin, end)
        if not rounds:
            yield from (self._call(number, None) for number in self._new(0, len(calls)))
        if self.state["status"] in SETTLED and self._is_new:
            yield self._whole()

    @property
    def _is_new(self) -> bool:
        """Whether this end was not told before, as the one that a retry has undone was."""
        return self.run["status"] in SETTLED or self.logged >= self.after.logged

    def _new(self, begin: int, end: int) -> range:
        """Those of these planning calls that were not told before."""
        return range(max(begin, self.after.planned - self.generation.planned), end)

    def _place(self, about: str) -> Place:
        return replace(self._root, span_id=span_id(self.run["run_id"], f"{self.number}:{about}"))

    @property
    def _root(self) -> Place:
        return root(self.run["run_id"], self.number, traceparents(self.run)[self.number])

    def _whole(self) -> Span:
        state, error = self.state, self.state["error"]
        begun = [mark["at"] for mark in self.state.get("log", []) if mark.get("what") == "retry"]
        end = state["completed_at"] or state["created_at"]
        attributes: dict[str, Any] = {
            OPERATION: INVOKE_AGENT,
            AGENT: "runwright",
            CONVERSATION: state.get("thread_id", state["run_id"]),
            VIEWER_KIND: "AGENT",
            "runwright.run_id": state["run_id"],
            "runwright.status": state["status"],
            "runwright.generation": self.number,
            "runwright.steps": len(state["plan"]["steps"]),
        }
        if self.version:
            attributes[AGENT_VERSION] = self.version
        if by := state["planned_by"]:
            attributes["runwright.planner"] = by["source"]
        if self.contents:
            attributes[INPUT_MESSAGES] = _content(state["prompt"])
            attributes[OUTPUT_MESSAGES] = _content(state["result"])
        return Span(
            name="invoke_agent runwright",
            place=self._root,
            parent=caller(traceparents(self.run)[self.number]),
            start=begun[0] if begun else state["created_at"],
            end=end,
            attributes=attributes,
            error=error["type"] if error else None,
            links=tuple(self._links()),
        )

    def _links(self) -> Iterator[Place]:
        fork = self.run.get("forked_from")
        if self.number:
            before = self.number - 1
            yield root(self.run["run_id"], before, traceparents(self.run)[before])
        elif fork:
            yield root(fork["run_id"], 0, fork.get("traceparent"))

    def _round(self, entry: Round, begin: int, end: int) -> Iterator[Span]:
        """The calls of a round, and its planning once that has come to its end."""
        calls, new = self.state["planning_log"], self._new(begin, end)
        planned = [number for number in range(begin, end) if not _is_answer(calls[number])]
        yield from (self._call(number, entry) for number in new)
        settled = self.state["status"] in SETTLED
        if planned and (new if entry["then"] is not None else settled):
            yield Span(
                name="plan",
                place=self._place(f"round {entry['round']}"),
                parent=self._root,
                start=min(calls[planned[0]]["started_at"], entry["at"]),
                end=ended_at(calls[planned[-1]]),
                attributes={
                    OPERATION: PLAN,
                    VIEWER_KIND: "CHAIN",
                    "runwright.round": entry["round"],
                    "runwright.why": entry["why"],
                },
                error=None if entry["then"] is not None else "planning_failed",
            )

    def _call(self, number: int, entry: Round | None) -> Span:
        call = self.state["planning_log"][number]
        within = entry is not None and not _is_answer(call)
        model = call["model"]
        provider, _, _ = (model or "").partition("/")
        attributes: dict[str, Any] = {
            VIEWER_KIND: "LLM" if model else "CHAIN",
            OPERATION: CHAT if model else PLAN,
            "runwright.planner": call["planner"],
            "runwright.purpose": call.get("purpose", "plan"),
            "runwright.outcome": call["outcome"],
        }
        if model:
            attributes |= {PROVIDER: provider, MODEL: model}
        counted = {
            INPUT_TOKENS: call["input_tokens"],
            OUTPUT_TOKENS: call["output_tokens"],
            CACHED_TOKENS: call.get("cached_tokens"),
            "runwright.usd": call["usd"],
        }
        attributes |= {name: value for name, value in counted.items() if value is not None}
        if self.contents and "raw" in call:
            attributes[OUTPUT_MESSAGES] = _content(call["raw"])
        return Span(
            name=f"chat {model}" if model else "plan by patterns",
            place=self._place(f"call {self.generation.planned + number}"),
            parent=self._place(f"round {entry['round']}") if entry and within else self._root,
            start=call["started_at"],
            end=ended_at(call),
            attributes=attributes,
            kind="client" if model else "internal",
            error=call["error_class"],
        )

    def _attempt(self, attempt: Attempt) -> Span:
        step, made = attempt["step"], attempt["attempt"]
        of: RunState = {**self.run, "generation": attempt["generation"]}
        attributes: dict[str, Any] = {
            OPERATION: EXECUTE_TOOL,
            TOOL: attempt["tool"],
            TOOL_TYPE: "function",
            TOOL_CALL: step_key(of, step),
            VIEWER_KIND: "TOOL",
            "runwright.step": step,
            "runwright.attempt": made,
            "runwright.outcome": attempt["status"],
        }
        if self.contents:
            attributes[TOOL_ARGUMENTS] = _content(attempt["input"])
            attributes[TOOL_RESULT] = _content(attempt["output"])
        failed = attempt["status"] != "ok"
        error = attempt["error"]
        return Span(
            name=f"execute_tool {attempt['tool']}",
            place=self._place(f"step {step}:{attempt['generation']}:{made}"),
            parent=self._root,
            start=attempt["started_at"],
            end=ended_at(attempt),
            attributes=attributes,
            error=(error["type"] if error else attempt["status"]) if failed else None,
        )

    def _server_call(self, attempt: Attempt, within: Span) -> Iterator[Span]:
        """The call of an MCP server that an attempt was, if it was one."""
        steps = self.run["plan"]["steps"]
        step = next((one for one in steps if one["step"] == attempt["step"]), None)
        error = attempt["error"]
        refused = error is not None and error["type"] == "InvalidInput"
        if step is None or "definition" not in step or refused:
            return
        _, _, name = attempt["tool"].partition(".")
        yield replace(
            within,
            name=f"{TOOLS_CALL} {name}",
            place=self._place(
                f"mcp {attempt['step']}:{attempt['generation']}:{attempt['attempt']}"
            ),
            parent=within.place,
            kind="client",
            attributes={MCP_METHOD: TOOLS_CALL, TOOL: name},
        )


def _waits(state: RunState) -> Iterator[Span]:
    """For what the run waited, in the generation in which it did; told once it has ended."""
    begun = [state["created_at"]]
    begun += [mark["at"] for mark in state.get("log", []) if mark.get("what") == "retry"]
    now = state["completed_at"] or state["created_at"]
    for number, wait in enumerate(time_spent(state, now=now)):
        if wait.part not in WAITS:
            continue
        start, end = (state["created_at"] + at / 1e6 for at in (wait.start, wait.end))
        generation = max(0, sum(at <= start for at in begun) - 1)
        within = root(state["run_id"], generation, traceparents(state)[generation])
        yield Span(
            name=f"wait {wait.part}",
            place=replace(within, span_id=span_id(state["run_id"], f"{generation}:wait {number}")),
            parent=within,
            start=start,
            end=end,
            attributes={"runwright.wait": wait.part},
        )


def _is_answer(call: PlanningCall) -> bool:
    return call.get("purpose") == "answer"


def _content(value: Any) -> str:
    return text_of(value)[:MOST_CONTENT]
