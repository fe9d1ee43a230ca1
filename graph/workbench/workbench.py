"""The door for notebooks and scripts: the runs of a server, without the server."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal, Self, get_args

from graph.build import RunGraph
from graph.commands.retry import RetryRequest
from graph.commands.seeded import Edits
from graph.compose import open_runs
from graph.record.events import Event
from graph.record.record import Record
from graph.runs.accept import RunOptions
from graph.service import Runs
from graph.settings import read_settings
from graph.settings.configured import DEFAULT_OWNER
from graph.state import Approve, ResolvedAs
from graph.state.status import SETTLED_OR_WAITING
from graph.storage.records import DatabaseOwned
from graph.telemetry.server import Drawing, draw
from graph.workbench.tables import Table, history_table, log_table, plan_table, run_table

#: Who decides about the runs of a workbench.
BY = "workbench"

#: How long one look at a run takes before the next, in seconds.
_LOOK = 60.0

#: More checkpoints than a run has.
_ALL = 1_000_000


#: Whether a plan is executed at once, or waits until somebody approves it.
Mode = Literal["execute", "plan"]


class WorkbenchClosed(Exception):
    """The workbench executes nothing any more."""

    def __init__(self) -> None:
        super().__init__("this workbench is closed; open another with open_workbench()")


async def open_workbench(
    *tools: Callable[..., Any], database_url: str = "memory://", **settings: Any
) -> "Workbench":
    """A workbench with these functions as further tools; in memory unless a database is named.

    `settings` are those of the server, by their names in lower case without the prefix
    (`backoff=0.1`); what is not given comes from the environment. A database can be open in one
    process at a time. Raises `InvalidSettings`, `InvalidTool`, `StorageError` and `DatabaseOwned`.
    """
    configured = read_settings(database_url=database_url, **settings)
    opened = AsyncExitStack()
    try:
        runs = await opened.enter_async_context(open_runs(configured, functions=tools))
    except DatabaseOwned as owned:
        if owned.owner and owned.owner.pid == os.getpid():  # as when a cell is executed twice
            owned.add_note("that is this process: close the workbench that has it open first")
        raise
    return Workbench(runs, opened)


class Workbench:
    """Runs in this process, executed as a server executes them; `open_workbench` makes one."""

    def __init__(self, runs: Runs, opened: AsyncExitStack) -> None:
        self._runs = runs
        self._opened = opened

    async def close(self) -> None:
        """Stop executing; what has not ended is resumed when its database is opened again."""
        await self._opened.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Workbench with the tools {', '.join(self._runs.tools)}>"

    @property
    def graph(self) -> RunGraph:
        """The compiled graph, with checkpointer and store.

        As the last value of a cell it would be sent to a public service for its picture;
        `drawing` is the picture that needs none.
        """
        return self._runs.graph

    @property
    def drawing(self) -> Drawing:
        """The graph as a picture."""
        return draw(self._runs.graph)

    async def run(self, prompt: str, *, mode: Mode = "execute", **options: Any) -> "Run":
        """Run a task until it has ended, or waits for a person; with `mode="plan"` it does.

        `options` are those of `start`. Stopping the cell does not stop the run. Raises what `start`
        raises.
        """
        run = await self.start(prompt, mode=mode, **options)
        return await run.rest()

    async def start(
        self,
        prompt: str,
        *,
        mode: Mode = "execute",
        model: str | None = None,
        instructions: str | None = None,
        tools: Sequence[str] | None = None,
        answer: bool | None = None,
        result_schema: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        thread_id: str | None = None,
        thread_name: str | None = None,
    ) -> "Run":
        """Start a task and return at once.

        `model` is asked alone, `instructions` are told to models, and of all tools the plan may use
        these `tools`; `answer` says whether one answers in words at the end, and `result_schema` in
        which shape as well; `metadata` stays with the run. It continues the thread of that id or
        name, which `thread` does by itself. Raises `PromptRejected`, `ChoiceRejected`,
        `ThreadNotFound` and `WorkbenchClosed`.
        """
        if mode not in get_args(Mode):
            raise ValueError(f'the mode is "execute" or "plan", not {mode!r}')
        options = RunOptions(
            model=model,
            instructions=instructions,
            tools=tools,
            answer=answer,
            result_schema=result_schema,
            metadata=metadata or {},
        )
        approve: Approve | None = "always" if mode == "plan" else None
        runs = _opened(self._runs)
        record = await runs.start(
            prompt,
            owner=DEFAULT_OWNER,
            approve=approve,
            options=options,
            thread_id=thread_id,
            thread_name=thread_name,
            by=BY,
        )
        return Run(runs, record)

    def thread(self, name: str | None = None) -> "Conversation":
        """A conversation, to be gone on with by its `run`; that of this name, if there is one."""
        return Conversation(self, name)

    async def get(self, run_id: str) -> "Run":
        """The run with this id. Raises `RunNotFound`."""
        return Run(self._runs, await _opened(self._runs).get(str(run_id), owner=DEFAULT_OWNER))


class Conversation:
    """Runs that go on one after the other, each with what went before it; `thread` makes one.

    `runs` are those that it has begun. `thread_id` is known once there is one.
    """

    def __init__(self, bench: Workbench, name: str | None = None) -> None:
        self._bench = bench
        self._name = name
        self.thread_id: str | None = None
        self.runs: list[Run] = []
        self._starting = asyncio.Lock()  # two at once begin one conversation

    async def run(self, prompt: str, **options: Any) -> "Run":
        """Go on with a task, as `Workbench.run` does. Raises what `start` raises."""
        return await (await self.start(prompt, **options)).rest()

    async def start(self, prompt: str, **options: Any) -> "Run":
        """Go on with a task and return at once; it begins when those before it have ended."""
        async with self._starting:
            own = self.thread_id
            place = {"thread_name": self._name} if own is None else {"thread_id": own}
            run = await self._bench.start(prompt, **options, **place)
            self.thread_id = run.thread_id
            self.runs.append(run)
        return run

    def __repr__(self) -> str:
        turns = [f"> {run.record['prompt']}\n{run.said}" for run in self.runs]
        return "\n".join(turns) or "<Conversation without a run>"


class Run:
    """One run; `record` is how it stood when it was last looked at.

    Whatever waits for the run, returns it, so that a cell shows it. Calls raise what those of
    `graph.service.Runs` raise.
    """

    def __init__(self, runs: Runs, record: Record) -> None:
        self._runs = runs
        self.record = record

    @property
    def run_id(self) -> str:
        """Its id, also the `thread_id` of its checkpoints."""
        return self.record["run_id"]

    @property
    def thread_id(self) -> str:
        """The conversation that it belongs to."""
        return self.record["thread_id"]

    @property
    def status(self) -> str:
        """How it stood."""
        return self.record["status"]

    @property
    def said(self) -> str:
        """What came of it, in words."""
        result, error = self.record["result"], self.record["error"]
        answer = result and result.get("answer")
        if answer:
            return answer["text"]
        return result["summary"] if result else error["message"] if error else self.status

    @property
    def output(self) -> Any:
        """What its last step returned; None unless it is completed."""
        result = self.record["result"]
        return result and result["output"]

    @property
    def answer(self) -> str | None:
        """What a model says of it in words; `summary` is what we say. None where there is none."""
        result = self.record["result"]
        answer = result.get("answer") if result else None
        return answer["text"] if answer else None

    @property
    def summary(self) -> str | None:
        """What came out in one line that counts, whatever a model says; None until it has ended."""
        result = self.record["result"]
        return result["summary"] if result else None

    @property
    def plan(self) -> Table:
        """Its steps as planned; the rows are copies, to be edited and given to `approve`."""
        return plan_table(self.record)

    @property
    def log(self) -> Table:
        """Every attempt at a step."""
        return log_table(self.record)

    async def rest(self) -> Self:
        """Wait until it has ended, or waits for a person. Raises `WorkbenchClosed`."""
        self.record = await _opened(self._runs).get(self.run_id, owner=DEFAULT_OWNER)
        while self.status not in SETTLED_OR_WAITING:
            self.record = await _opened(self._runs).wait(self.run_id, _LOOK, owner=DEFAULT_OWNER)
        return self

    async def events(self, after: int = 0) -> AsyncIterator[Event]:
        """What happens, as it happens, from the event after that number until the run is settled or
        waits."""
        if after < 0:
            raise ValueError(f"after is the number of an event, or 0 for all of them, not {after}")
        async with _opened(self._runs).watching(self.run_id, owner=DEFAULT_OWNER) as subscription:
            while len(subscription.events) > after or not subscription.settled_or_waiting:
                await subscription.after(after)
                for event in subscription.events[after:]:
                    after = event["id"]
                    yield event
                if subscription.closed:
                    break
        self.record = await _opened(self._runs).get(self.run_id, owner=DEFAULT_OWNER)

    async def words(self) -> AsyncIterator[str]:
        """The words of its answer as they come, until the run is settled or waits.

        Who begins to listen in the middle, or is slow, gets what was missed at the end.
        """
        async with _opened(self._runs).watching(self.run_id, owner=DEFAULT_OWNER) as subscription:
            spoken, heard = subscription.spoken, 0
            while not (subscription.settled_or_waiting or subscription.closed):
                events = len(subscription.events)
                await subscription.after(events, spoken=spoken)
                for delta in subscription.deltas_after(spoken):
                    if delta["offset"] == heard:
                        heard += len(delta["text"])
                        yield delta["text"]
                spoken = subscription.spoken
        self.record = await _opened(self._runs).get(self.run_id, owner=DEFAULT_OWNER)
        if rest := (self.answer or "")[heard:]:
            yield rest

    async def approve(
        self, plan: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None
    ) -> Self:
        """Execute the plan, or these steps instead, and wait."""
        edited = None if plan is None else _plan(plan)
        await _opened(self._runs).approve(self.run_id, by=BY, owner=DEFAULT_OWNER, plan=edited)
        return await self.rest()

    async def reject(self, reason: str | None = None) -> Self:
        """Let the plan not be executed."""
        if not isinstance(reason, str | None):
            raise ValueError(f"the reason is text, not {reason!r}")
        await _opened(self._runs).reject(self.run_id, by=BY, owner=DEFAULT_OWNER, reason=reason)
        return await self.rest()

    async def resolve(self, decided: ResolvedAs, output: Any = None) -> Self:
        """Say what became of the step in doubt, as `done` with its output, and wait."""
        await _opened(self._runs).resolve(self.run_id, decided, output, by=BY, owner=DEFAULT_OWNER)
        return await self.rest()

    async def cancel(self) -> Self:
        """Stop it."""
        await _opened(self._runs).cancel(self.run_id, by=BY, owner=DEFAULT_OWNER)
        return await self.rest()

    async def retry(
        self,
        from_step: int | None = None,
        *,
        input: dict[str, Any] | None = None,  # noqa: A002 - what it is called over HTTP
        skip: Sequence[int] | None = None,
        replan: bool = False,
    ) -> Self:
        """Let it go on where it failed, perhaps with another input of that step, and wait.

        With `replan` a model plans anew what is left, or what follows the round of `from_step`.
        """
        skipped = None if skip is None else tuple(skip)
        request = RetryRequest(from_step, input, skipped, replan)
        await _opened(self._runs).retry(self.run_id, request, by=BY, owner=DEFAULT_OWNER)
        return await self.rest()

    async def history(self) -> Table:
        """Every checkpoint that was stored, the first one first."""
        page = await _opened(self._runs).history(self.run_id, owner=DEFAULT_OWNER, limit=_ALL)
        return history_table(page["checkpoints"][::-1])

    async def fork(
        self,
        checkpoint_id: str,
        *,
        prompt: str | None = None,
        plan: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
        cursor: int | None = None,
    ) -> "Run":
        """Another run that continues from a checkpoint of this one, and wait for it.

        With another `prompt` it is planned anew; with another `plan`, steps that are done in the
        same way are not done again. `cursor`: how many count as done.
        """
        edits = Edits(prompt=prompt, steps=_steps(plan), cursor=cursor)
        forked = await _opened(self._runs).fork(
            self.run_id, checkpoint_id, edits, owner=DEFAULT_OWNER, by=BY
        )
        return await Run(self._runs, forked).rest()

    async def explain(self) -> list[str]:
        """Where its time went and why it ended so, in sentences."""
        return (await _opened(self._runs).explain(self.run_id, owner=DEFAULT_OWNER))["sentences"]

    def __repr__(self) -> str:
        return repr(run_table(self.record))

    def _repr_html_(self) -> str:
        return run_table(self.record)._repr_html_()


def _opened(runs: Runs) -> Runs:
    """Raises `WorkbenchClosed`."""
    if not runs.ready:
        raise WorkbenchClosed
    return runs


def _steps(given: Any) -> Any:
    """The steps of a plan; what else is given is left to the check of the fork."""
    return given["steps"] if isinstance(given, Mapping) and "steps" in given else given


def _plan(given: object) -> object:
    """Steps as a plan; what else is given is left to the plan's own check."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        return {"steps": [dict(step) if isinstance(step, Mapping) else step for step in given]}
    return given
