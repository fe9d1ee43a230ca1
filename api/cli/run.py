"""`runwright run`, and what is done with a run: watch, retry, cancel, approve and reject it.

In this process, or on the server that has the database.
"""

import argparse
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import httpx

from api.cli.follow import (
    LocalRun,
    NotCancelled,
    NotDecided,
    NotStarted,
    NotWatched,
    RunSource,
    check_kept,
    checked_url,
    follow,
    is_id,
    owner_here,
    quiet_logging,
)
from api.cli.server_run import (
    ServerRun,
    ask_of_run,
    open_client,
    post_approval_answer,
    post_order,
    post_task,
)
from api.cli.text import in_doubt_lines, line
from graph.commands.retry import NotPlanned, RetryRejected, RetryRequest
from graph.compose import open_runs
from graph.queue.executor import QueueFull
from graph.queue.fair import NoRoom, TooManyPosts
from graph.runs.accept import NO_OPTIONS, ChoiceRejected, RunOptions
from graph.runs.context import RunNotFound
from graph.runs.threads import ThreadNotFound
from graph.service import PromptRejected, Runs
from graph.settings import Settings
from graph.state.status import SETTLED, WrongStatus
from graph.storage.open import owning
from graph.storage.records import DatabaseOwned
from graph.storage.storage import StorageUnavailable


def add_task(task: argparse.ArgumentParser) -> None:
    """What a run can be given."""
    task.add_argument(
        "task", nargs="+", help="what is to be done, in plain words; - reads the standard input"
    )
    task.add_argument("--json", action="store_true", help="print the whole record as JSON")
    task.add_argument("--model", help="the model that plans it, one of those configured")
    task.add_argument("--instructions", help="how it is to be planned, for models")
    task.add_argument(
        "--tool", action="append", metavar="NAME", help="a tool that it may use; once or more"
    )
    task.add_argument(
        "--answer",
        action=argparse.BooleanOptionalAction,
        help="whether a model answers in words at its end (RUNWRIGHT_ANSWER)",
    )
    task.add_argument(
        "--result-schema", metavar="FILE", help="JSON Schema of a shape that the answer has as well"
    )
    task.add_argument("--webhook", metavar="URL", help="where its end is posted as well")
    task.add_argument("--thread", help="what it goes on with, by name or id; a new name begins it")
    add_metadata(task, "stays with the run")


def task_options(options: argparse.Namespace) -> RunOptions:
    """What a run was given beside its task. Raises `NotStarted`."""
    return RunOptions(
        model=options.model,
        instructions=options.instructions,
        tools=options.tool,
        answer=options.answer,
        result_schema=options.result_schema and _schema_in(options.result_schema),
        webhook=options.webhook,
        metadata=metadata_of(options),
    )


def add_metadata(command: argparse.ArgumentParser, does: str) -> None:
    """The option by which a command is given pairs; `does` says what for."""
    command.add_argument(
        "--metadata",
        action="append",
        default=[],
        metavar="KEY:VALUE",
        help=f"{does}; once or more",
    )


def metadata_of(options: argparse.Namespace) -> dict[str, str]:
    """The pairs. Raises `NotStarted` for what is none."""
    pairs = [given.partition(":") for given in options.metadata]
    for key, colon, _ in pairs:
        if not colon:
            raise NotStarted(f"--metadata {key!r} should be a pair, as key:value")
    return {key: value for key, _, value in pairs}


def _schema_in(file: str) -> dict[str, Any]:
    """The JSON Schema that a file has. Raises `NotStarted`."""
    try:
        schema = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise NotStarted(f"--result-schema {file}: no JSON can be read there: {error}") from None
    if not isinstance(schema, dict):
        raise NotStarted(f"--result-schema {file}: it should be a JSON Schema, which is an object")
    return schema


async def run_task(
    settings: Settings,
    task: str,
    options: RunOptions = NO_OPTIONS,
    *,
    thread: str | None = None,
    as_json: bool,
) -> int:
    """Run `task` with these `options` and show how it goes; 0 when it completed, else 1.

    It continues the `thread` of this id or name, which it begins where there is none of the
    name. Raises what `open_runs` raises, `NotStarted`, `Detached` and `Interrupted`.
    """
    quiet_logging(settings)
    async with _started(settings, task, options, thread) as run:
        return 0 if await follow(run, as_json=as_json) else 1


@asynccontextmanager
async def _started(
    settings: Settings, task: str, options: RunOptions, thread: str | None
) -> AsyncIterator[RunSource]:
    try:
        async with open_runs(settings, resume_unfinished=False) as runs:
            run_id = await _start(runs, task, owner_here(settings), options, thread)
            yield LocalRun(runs, run_id, kept=settings.database_url != "memory://")
    except DatabaseOwned as owned:
        if owned.owner is None or owned.owner.url is None:
            raise
        async with open_client(owned, settings.api_key) as client:
            run = await post_task(client, task, options, **_of_thread(thread))
            if thread is not None:
                with suppress(NotWatched):  # it is accepted all the same
                    run.behind = (await ask_of_run(client, run.run_id)).get("waits_for_run")
            yield run


def _of_thread(thread: str | None) -> dict[str, str]:
    """A thread as a run names it: by its id, or by a name."""
    if thread is None:
        return {}
    return {"thread_id" if is_id(thread) else "thread_name": thread}


async def _check_free(
    runs: Runs, owner: str, *, thread_id: str | None = None, thread_name: str | None = None
) -> None:
    """Raises `NotStarted` where a run of the thread has not ended: nothing executes that here."""
    head = await runs.threads.head(owner, thread_id=thread_id, name=thread_name)
    if head is not None and await runs.health.workers() is None:
        raise NotStarted(
            f"run {head.run_id} of the thread is {head.status} and comes first; start one with"
            " `runwright serve`, where it goes on, and try again"
        )


async def _start(runs: Runs, task: str, owner: str, options: RunOptions, thread: str | None) -> str:
    given: dict[str, Any] = _of_thread(thread)
    try:
        with told_in_a_line(NotStarted):
            if given:
                await _check_free(runs, owner, **given)
            return (await runs.start(task, owner=owner, options=options, by=BY, **given))["run_id"]
    except ChoiceRejected as error:
        raise NotStarted(f"{error.field}: {error}") from None
    except (PromptRejected, TooManyPosts, QueueFull, NoRoom, ThreadNotFound) as error:
        raise NotStarted(str(error)) from None


# `runwright approve` and `reject`: a decision about a plan that waits, told to its server.


Act = Literal["approve", "reject"]

#: What has become of the run, in words.
_OUTCOME = {
    "approve": "approved; `runwright watch {run_id}` shows how it goes on",
    "reject": "rejected; nothing more is done",
}


async def decide(
    settings: Settings, run_id: str, act: Act, *, reason: str | None, url: str | None
) -> str:
    """Approve or reject the plan of a run; what has become of it, in one line.

    Without `url` at the server that has the configured database. Raises `NotDecided`, and
    `NotWatched` where no run can be.
    """
    server = checked_url(url) if url is not None else await _serving(settings.database_url, run_id)
    body = {} if reason is None else {"reason": reason}
    async with open_client(server, settings.api_key) as client:
        await post_approval_answer(client, run_id, act, body)
    return line(f"run {run_id} is {_OUTCOME[act].format(run_id=run_id)}")


async def _serving(database_url: str, run_id: str) -> DatabaseOwned:
    """The server that has the database. Raises `NotDecided` where there is none."""
    check_kept(database_url)
    try:
        async with owning(database_url):
            start = "start one with `runwright serve`"
            raise NotDecided(f"no server is there to execute run {run_id}; {start}, then try again")
    except DatabaseOwned as owned:
        if owned.shared:
            raise NotDecided(f"{owned}; name one of their servers with --url") from None
        if owned.owner is None or owned.owner.url is None:
            raise NotDecided(
                f"{owned}, which answers nobody; try again when it has ended"
            ) from None
        return owned


# `runwright resolve`: what became of a step that may have acted, told to its server.


def add_resolve(commands: Any) -> argparse.ArgumentParser:
    """The command line of `resolve`."""
    doubt: argparse.ArgumentParser = commands.add_parser(
        "resolve", help="say what became of a step that may have acted"
    )
    doubt.add_argument("run_id", help="the run's id")
    doubt.add_argument(
        "--as",
        dest="decided",
        choices=["done", "redo", "skip", "fail"],
        help="it has acted; call it again; go on without it; fail the run. "
        "Left out: print what is known",
    )
    doubt.add_argument("--output", metavar="JSON", help="with done: what it has returned")
    return doubt


async def resolve(
    settings: Settings, run_id: str, *, decided: str | None, output: str | None, url: str | None
) -> list[str]:
    """Say what became of the step in doubt of a run, or without that ask what is known of it.

    `output` is JSON. What has become of the run, in lines. Raises what `decide` raises.
    """
    body: dict[str, object] = {} if decided is None else {"as": decided}
    if output is not None:
        try:
            body["output"] = json.loads(output)
        except ValueError as error:
            raise NotDecided(f"--output should be JSON, as 42 or '\"words\"': {error}") from None
    server = checked_url(url) if url is not None else await _serving(settings.database_url, run_id)
    async with open_client(server, settings.api_key) as client:
        if decided is None:
            return in_doubt_lines(await ServerRun(client, run_id).record())
        await post_approval_answer(client, run_id, "resolve", body)
    following = f"`runwright watch {run_id}` shows how it goes on"
    return [f"run {run_id} is resolved as {decided}; {following}"]


# `runwright watch`: a run in the terminal, from its first event on, wherever it is executed.


async def watch_run(settings: Settings, run_id: str, *, url: str | None, as_json: bool) -> int:
    """Show a run until it is settled; 0 when it completed, else 1.

    Without `url` it is one of the configured database. Raises what `open_runs` raises,
    `NotWatched`, `Detached` and `Interrupted`.
    """
    quiet_logging(settings)
    async with _found(settings, run_id, url) as run:
        return 0 if await follow(run, as_json=as_json) else 1


@asynccontextmanager
async def _found(settings: Settings, run_id: str, url: str | None) -> AsyncIterator[RunSource]:
    async with reached(settings, url) as there:
        if isinstance(there, Runs):
            await _check_settled(there, run_id)
            yield LocalRun(there, run_id, kept=True)
        else:
            yield ServerRun(there, run_id)


@asynccontextmanager
async def reached(
    settings: Settings, url: str | None, *, executing: bool = False
) -> AsyncIterator[Runs | httpx.AsyncClient]:
    """The runs of the configured database, or a client of the server that has it or is at `url`.

    Nothing is resumed here that an earlier process left, and where nothing is to be `executing`,
    neither tools nor models are needed. Raises what `open_runs` raises, and `NotWatched`.
    """
    server: str | DatabaseOwned | None = checked_url(url) if url is not None else None
    if server is None:
        check_kept(settings.database_url)
        try:
            reading = settings.model_copy(update={"tools": (), "models": (), "traces": "off"})
            opened = open_runs(settings if executing else reading, resume_unfinished=False)
            async with opened as runs:
                yield runs
                return
        except DatabaseOwned as owned:
            if owned.shared:
                raise
            if owned.owner is None or owned.owner.url is None:
                raise NotWatched(f"{owned}, which answers nobody; watch the run there") from None
            server = owned
    async with open_client(server, settings.api_key) as client:
        yield client


@contextmanager
def told_in_a_line(failure: type[Exception] = NotWatched) -> Iterator[None]:
    """What keeps from doing something with a run of this process, as the `failure`."""
    try:
        yield
    except RunNotFound as error:
        raise NotWatched(f"there is no run {error.run_id} in the configured database") from None
    except StorageUnavailable:
        raise failure("the database does not answer; the log line above says why") from None
    except (WrongStatus, QueueFull, NotPlanned, RetryRejected) as error:
        raise failure(str(error)) from None


async def _check_settled(runs: Runs, run_id: str) -> None:
    """Raises `NotWatched` for a run of which there is nothing to be seen here."""
    with told_in_a_line():
        status = (await runs.get(run_id, owner=None))["status"]
        workers = await runs.health.workers()
    if status not in SETTLED and workers is None:
        raise NotWatched(
            f"run {run_id} is {status}, and no server executes it; start one with"
            " `runwright serve`, where it goes on"
        )


# `runwright retry` and `cancel`: on the server that has the database, or here if none has.


#: Who does it, where no server knows the caller.
BY = "the command line"


async def retry_run(
    settings: Settings, run_id: str, request: RetryRequest, *, url: str | None, as_json: bool
) -> int:
    """Let a failed or cancelled run go on, and show it as `watch_run`; 0 when it completed, else 1.

    Raises what `watch_run` raises, and `NotStarted` where it does not go on.
    """
    quiet_logging(settings)
    async with reached(settings, url, executing=True) as there:
        run: RunSource
        if isinstance(there, Runs):
            with told_in_a_line(NotStarted):
                retried = await there.get(run_id, owner=None)
                await _check_free(there, retried["owner"], thread_id=retried["thread_id"])
                await there.retry(run_id, request, by=BY, owner=None)
            run = LocalRun(there, run_id, kept=True)
        else:
            begin = {} if request.from_step is None else {"from_step": request.from_step}
            body: dict[str, Any] = begin | ({"replan": True} if request.replan else {})
            await post_order(there, run_id, "retry", body, what="the retry", failure=NotStarted)
            run = ServerRun(there, run_id)
        return 0 if await follow(run, as_json=as_json) else 1


async def cancel_run(settings: Settings, run_id: str, *, url: str | None) -> str:
    """Cancel a run wherever it is; what has become of it, in one line.

    Raises what `open_runs` raises, `NotWatched`, and `NotCancelled` where it is not, or has ended.
    """
    quiet_logging(settings)
    async with reached(settings, url) as there:
        if isinstance(there, Runs):
            with told_in_a_line(NotCancelled):
                await there.cancel(run_id, by=BY, owner=None)
        else:
            what = "the cancellation"
            await post_order(there, run_id, "cancel", {}, what=what, failure=NotCancelled)
    return line(f"run {run_id} is cancelled; `runwright show {run_id}` tells what was done")
