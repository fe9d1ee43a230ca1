"""The whole wiring: four nodes, the edges between them, and what each node is given.

An edge begins with a router: a pure function from the state to what becomes of the run, which is
the edge's label in the drawing, and where that leads. Routers are `async def` although nothing
waits in them: LangGraph sends a plain function through the shared thread pool, where it would queue
behind blocking work.
"""

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Literal, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_async_callback_manager_for_config
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_config, get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore

from graph.record.events import Event, events, next_event
from graph.state import (
    DEFAULT_LIMITS,
    MOST_KEPT,
    THREAD_CONTEXT,
    Approve,
    Channels,
    Limits,
    RunInput,
    RunState,
    logged,
    split,
    whole,
)
from graph.state.rounds import is_answered, is_planning
from nodes.approval.asking import EXPIRES, ApprovalGate, DoubtGate
from nodes.approval.hand_edits import Check, checks
from nodes.contract.steps import (
    Wait,
    WithoutSlot,
    edited_step_key,
    no_slots,
    planned_key,
    sleep_until,
)
from nodes.execute_step import Learn, Tell, execute_step
from nodes.fallback_plan import LazyPlanner, fallback_plan
from nodes.finalize import Answers, finalize
from nodes.plan import ModelPlanner, plan
from nodes.planning.model import ModelLadder
from tools.invocation import Invoke, ToolErrors, invoke
from tools.threads import ToolThreads
from tools.toolbox import Tool

if TYPE_CHECKING:  # what asks models is loaded where there are any
    from nodes.answers.writer import Audience, Say

#: Where each label leads.
AFTER_PLAN: dict[Hashable, str] = {
    "planned": "execute_step",
    "repair or next model": "plan",
    "no model left": "fallback_plan",
    "nothing to execute": "finalize",
}
AFTER_FALLBACK_PLAN: dict[Hashable, str] = {"planned": "execute_step", "refused": "finalize"}
AFTER_STEP: dict[Hashable, str] = {
    "next step or retry": "execute_step",
    "look or mend": "plan",
    "all done or failed": "finalize",
}


async def after_plan(
    state: RunState,
) -> Literal["planned", "repair or next model", "no model left", "nothing to execute"]:
    """What is left of a plan is executed; an error ends the run, and so does a plan that is done,
    or an answer instead of one.

    While a round is planned a model is asked again, or the next one; where none is left for the
    first round, the pattern planner.
    """
    if state.get("error"):
        return "nothing to execute"
    if is_planning(state):
        return "repair or next model"
    if is_answered(state):
        return "nothing to execute"
    if _steps(state) == []:
        return "no model left"
    return "nothing to execute" if _is_done(state) else "planned"


async def after_fallback_plan(state: RunState) -> Literal["planned", "refused"]:
    """A plan is executed; a refusal ends the run with nothing done."""
    return "refused" if state.get("error") else "planned"


async def after_step(
    state: RunState,
) -> Literal["next step or retry", "look or mend", "all done or failed"]:
    """The next step, or the same one again, until all are done or one has failed for good.

    Between two rounds a model is asked.
    """
    if state.get("error"):
        return "all done or failed"
    if is_planning(state):
        return "look or mend"
    return "all done or failed" if _is_done(state) else "next step or retry"


def _is_done(state: RunState) -> bool:
    """Whether no step is left; a plan edited by hand into none is for `execute_step` to refuse."""
    steps, cursor = _steps(state), state.get("cursor")
    return bool(steps) and isinstance(cursor, int) and cursor >= len(steps or ())


def _steps(state: RunState) -> list[Any] | None:
    """The plan's steps; None where somebody edited the plan into something else."""
    plan: Any = state.get("plan")
    steps = plan.get("steps") if isinstance(plan, dict) else None
    return steps if isinstance(steps, list) else None


#: Waits until it is the turn of the run's owner.
Turn = Callable[[], Awaitable[None]]

#: A graph over the channels of a run.
RunGraph = CompiledStateGraph[Channels, None, Any, Any]


def build_graph(
    tools: Mapping[str, Tool],
    *,
    checkpointer: BaseCheckpointSaver[str] | None = None,
    store: BaseStore | None = None,
    limits: Limits = DEFAULT_LIMITS,
    threads: ToolThreads | None = None,
    ladder: ModelLadder | None = None,
    wait: Wait = sleep_until,
    without_slot: WithoutSlot = no_slots,
    turn: Turn | None = None,
    input_schema: type[Any] = RunInput,
    approve: Approve = "never",
    approval_expires: float = EXPIRES,
    doubts: DoubtGate | None = None,
    learn: Learn | None = None,
    tell: Tell | None = None,
    tool_errors: ToolErrors = "text",
    calls: Invoke = invoke,
    planner: LazyPlanner | None = None,
    max_kept: int = MOST_KEPT,
    thread_context: int = THREAD_CONTEXT,
    audience: "Audience | None" = None,
) -> RunGraph:
    """Compile the graph over the given tools.

    `limits` hold for runs that bring none of their own, `threads` run blocking tools, `ladder` has
    the models that plan, `wait` sits out a backoff, and what is awaited is so `without_slot`.
    `input_schema` is what a caller may put in: a prompt, or prepared `Channels`. A graph that
    takes prompts is worked with by hand, in Studio and notebooks: it tells its events to the stream
    mode `custom`, and checks its plan again at every visit, since somebody may have edited the
    state. `approve` is how runs ask for approval
    that bring no way of their own; every run waits `approval_expires` seconds for it. `doubts` says
    what becomes of a step that may have acted, `learn` is told how calls ended that were left to
    themselves, `tell` how far calls say that they are. `tool_errors` says what is told of
    exceptions that tools did not announce, `calls` calls the tools, and `max_kept` is how many
    bytes the attempts of a run keep. `planner` is the one that plans by patterns; without it the
    graph has one of its own. A second prompt that is given by hand to a thread has `thread_context`
    characters of what went before. The `audience` hears answers while they are given.
    """
    by_hand = input_schema is RunInput
    builder = StateGraph(Channels, input_schema=input_schema)
    models = ModelPlanner(ladder, tools, without_slot) if ladder else None
    asking = ApprovalGate(tools, next_event, approve, approval_expires)
    doubts = doubts or DoubtGate(expires=approval_expires, number=next_event)
    if audience is None and by_hand:  # one without runs so far counts
        audience = LangGraphAudience()
    nodes: dict[str, Node] = {
        "plan": partial(
            plan,
            limits=limits,
            models=models,
            wait=wait,
            asking=asking,
        ),
        "fallback_plan": partial(
            fallback_plan,
            planner=planner or LazyPlanner(tools),
            tools=tools,
            asking=asking,
            without_slot=without_slot,
        ),
        "execute_step": partial(
            execute_step,
            tools=tools,
            threads=threads or ToolThreads(),
            wait=wait,
            without_slot=without_slot,
            asking=asking,
            doubts=doubts,
            learn=learn,
            tell=tell,
            key=edited_step_key if by_hand else planned_key,
            errors=tool_errors,
            models=models.queue if models else None,
            max_kept=max_kept,
            calls=calls,
        ),
        "finalize": partial(
            finalize,
            tools=tools,
            answers=_answers(ladder, without_slot, audience),
            policy=ladder.answer if ladder else "auto",
        ),
    }
    if by_hand:
        first = checks(tools, thread_context)
        nodes |= {name: checked(nodes[name], check) for name, check in first.items()}
    for name, node in nodes.items():
        builder.add_node(name, visiting(node, turn, tells=by_hand))
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", Router(after_plan), AFTER_PLAN)
    builder.add_conditional_edges("fallback_plan", Router(after_fallback_plan), AFTER_FALLBACK_PLAN)
    builder.add_conditional_edges("execute_step", Router(after_step), AFTER_STEP)
    builder.add_edge("finalize", END)
    return builder.compile(checkpointer=checkpointer, store=store, name="runwright")


def _answers(
    ladder: ModelLadder | None, without_slot: WithoutSlot, audience: "Audience | None"
) -> Answers:
    """Writes answers; loaded at once where a model may be asked for them, else with the first."""
    if ladder is None:
        return _LateAnswers(without_slot, audience)
    from nodes.answers.writer import AnswerWriter, Nobody  # half a MB without models

    return AnswerWriter(ladder, without_slot, Nobody() if audience is None else audience)


class _LateAnswers:
    """Writes answers where no model is: of runs that were begun with one, or that ask for them."""

    def __init__(self, without_slot: WithoutSlot, audience: "Audience | None") -> None:
        self._parts = without_slot, audience

    async def write(self, state: RunState) -> dict[str, Any]:
        from nodes.answers.writer import AnswerWriter, Nobody  # few runs ask for one then

        without_slot, audience = self._parts
        hears = Nobody() if audience is None else audience  # who has no runs yet counts
        return await AnswerWriter(None, without_slot, hears).write(state)


def recursion_limit(limits: Limits, tools: Iterable[Tool] = (), *, models: int = 0) -> int:
    """Super-steps that a run within its limits can need, fixed before it is planned.

    Every attempt is one super-step, and so is every call of a model: in each round each model can
    be asked, tried again after a failure, asked to repair, and tried again at that; beside that is
    its beginning and its approval. The rest is `fallback_plan`, `finalize` and a margin; a
    resumption after a crash starts the count anew.
    """
    attempts = max([limits["max_attempts"], *(tool.attempts or 1 for tool in tools)])
    rounds = limits.get("max_rounds", 1) + limits.get("mend", 0)
    return limits["max_steps"] * attempts + rounds * (4 * models + 3) + 20


# Nodes and routers know runs, not channels.


#: A node before it is added to the graph.
Node = Callable[..., Awaitable[dict[str, Any]]]

#: What reading a state may raise that a person has edited into no run at all.
_UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError)


def visiting(node: Node, turn: Turn | None = None, *, tells: bool = False) -> Node:
    """The node over the channels.

    One that `tells` streams at its end, in the mode `custom`, what has happened since its
    beginning. The events are those of the record, under the same numbers. They are told just before
    the checkpoint is stored, as all that LangGraph streams from inside of a node.
    """
    takes_runtime = "runtime" in inspect.signature(node).parameters

    async def visit(channels: Channels) -> dict[str, Any]:
        if turn is not None:
            await turn()
        return split(await node(whole(channels)))

    async def visit_with_runtime(channels: Channels, runtime: Runtime[None]) -> dict[str, Any]:
        if turn is not None:
            await turn()
        state = whole(channels)
        update = await (node(state, runtime) if takes_runtime else node(state))
        if tells:
            for event in _news(state, update):
                runtime.stream_writer(event)
        return split(update)

    return visit_with_runtime if takes_runtime or tells else visit


def checked(node: Node, check: Check) -> Node:
    """The node for states that somebody may have edited since the last one: each is checked first.

    The check may give another state to be visited, or the update instead of that.
    """

    @wraps(node)
    async def visit(state: RunState, *runtime: Runtime[None]) -> dict[str, Any]:
        state, instead = check(state)
        return await node(state, *runtime) if instead is None else instead

    return visit


class Router(Runnable[Channels, str]):
    """A router over the channels.

    It is a plain `Runnable`, since LangGraph would run a function with callbacks and a task of its
    own, for an answer that takes microseconds.
    """

    def __init__(self, route: Callable[[RunState], Awaitable[str]]) -> None:
        self._route = route
        self.name = getattr(route, "__name__", None)

    def invoke(self, input: Channels, config: RunnableConfig | None = None, **kwargs: Any) -> str:  # noqa: A002 - its name there
        raise NotImplementedError("the graph is asynchronous; use ainvoke or astream")

    async def ainvoke(
        self,
        input: Channels,  # noqa: A002 - its name there
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> str:
        return await self._route(whole(input))


class LangGraphAudience:
    """The words of an answer for who streams the graph, in the modes `messages` and `custom`."""

    def waits(self, _state: RunState) -> bool:
        """It does."""
        return True

    @asynccontextmanager
    async def speaking(self, _state: RunState) -> "AsyncIterator[Say]":
        """What streams the words, as those of a chat model that is called in the node."""
        config, write = get_config(), get_stream_writer()
        callbacks = get_async_callback_manager_for_config(config)
        [call] = await callbacks.on_chat_model_start({"name": "answer"}, [[]])
        message, said = f"answer-{uuid4()}", ""

        async def say(text: str, offset: int) -> None:
            nonlocal said
            said = said[:offset] + text
            write(_live("answer.delta", "finalize", text=text, offset=offset))
            part = ChatGenerationChunk(message=AIMessageChunk(content=text, id=message))
            await call.on_llm_new_token(text, chunk=part)

        try:
            yield say
        except BaseException as error:
            await call.on_llm_error(error)
            raise
        whole = ChatGeneration(message=AIMessage(content=said, id=message))
        await call.on_llm_end(LLMResult(generations=[[whole]] if said else []))


def _live(kind: str, node: str, **data: Any) -> dict[str, Any]:
    """What is streamed among the events of a run and is none: it has no number."""
    nothing = dict.fromkeys(("id", "step", "attempt", "generation"))
    return {**nothing, "type": kind, "at": time.time(), "node": node, "data": data}


def _news(state: RunState, update: dict[str, Any]) -> list[Event]:
    written = [update["log"]] if "log" in update else []
    log = logged(state.get("log", []), written)
    after = cast("RunState", {**state, **update, "log": log})
    try:
        continues = state.get("run_id") == after["run_id"]
        return events(after)[len(events(state)) if continues else 0 :]
    except _UNREADABLE:
        return []
