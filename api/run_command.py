"""`runwright run`: one task in the terminal, in this process or on the server that has the file."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from api.logs import configure_logging
from api.record import present
from graph.compose import open_runs
from graph.executor import QueueFull
from graph.ownership import FileOwned
from graph.runs import PromptRejected, Runs, StorageUnavailable
from graph.settings import Settings
from graph.status import SETTLED

#: How often the record is read while the run goes on, in seconds.
INTERVAL = 0.05

#: How long a record that cannot be read is asked for again, in seconds.
PATIENCE = 5.0

#: Reads the record of the run as it is now, as JSON data.
Read = Callable[[], Awaitable[dict[str, Any]]]


class NotStarted(Exception):
    """The task was not accepted; the message says why."""


class LostSight(Exception):
    """The run was accepted, but how it goes on cannot be read; the message says where to look."""


class _Unreachable(Exception):
    """The record cannot be read just now."""


@dataclass(frozen=True)
class _Started:
    """A run that was accepted, and how to read it."""

    run_id: str
    read: Read


async def run_task(settings: Settings, task: str, *, as_json: bool) -> int:
    """Run `task`, telling its steps as they end; 0 when it completed, else 1.

    Raises what `open_runs` raises, `NotStarted` and `LostSight`.
    """
    level = settings.log_level if settings.log_level != "info" else "warning"
    configure_logging(settings.log, level)
    async with _started(settings, task) as started:
        record = await _follow(started, tell=not as_json)
    print(_pretty(record) if as_json else _ending(record))
    return 0 if record["status"] == "completed" else 1


@asynccontextmanager
async def _started(settings: Settings, task: str) -> AsyncIterator[_Started]:
    try:
        async with open_runs(settings, take_up=False) as runs:
            yield await _start_here(runs, task)
    except FileOwned as owned:
        if owned.owner is None or owned.owner.url is None:
            raise
        url = owned.owner.url
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
            yield await _start_there(client, task)


async def _start_here(runs: Runs, task: str) -> _Started:
    try:
        run_id = (await runs.start(task))["run_id"]
    except (PromptRejected, QueueFull) as error:
        raise NotStarted(str(error)) from None
    except StorageUnavailable:
        raise NotStarted("the database does not answer; the log line above says why") from None
    return _Started(run_id, partial(_read_here, runs, run_id))


async def _start_there(client: httpx.AsyncClient, task: str) -> _Started:
    try:
        response = await client.post("/runs", json={"prompt": task})
        answer = response.json()
    except (httpx.HTTPError, ValueError) as error:
        reason = f"the server at {client.base_url} does not answer ({type(error).__name__})"
        raise NotStarted(f"{reason}; whether it took the task, GET /runs tells") from None
    if response.is_error:
        raise NotStarted(f"the server refused: {answer.get('detail') or answer.get('title')}")
    return _Started(answer["run_id"], partial(_read_there, client, answer["run_id"]))


async def _read_here(runs: Runs, run_id: str) -> dict[str, Any]:
    try:
        return present(await runs.get(run_id))
    except StorageUnavailable as error:
        raise _Unreachable from error


async def _read_there(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    try:
        response = await client.get(f"/runs/{run_id}")
        response.raise_for_status()
        record: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise _Unreachable from error
    return record


async def _patiently(started: _Started) -> dict[str, Any]:
    """The record, asked for again for a while where it cannot be read."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await started.read()
        except _Unreachable:
            if time.monotonic() > deadline:
                raise LostSight(
                    f"run {started.run_id} was accepted and goes on when its server does; read it"
                    f" at GET /runs/{started.run_id}, and do not post it again"
                ) from None
            await asyncio.sleep(INTERVAL * 4)


async def _follow(started: _Started, *, tell: bool) -> dict[str, Any]:
    """The settled record; with `tell`, its plan and each attempt are printed as they appear."""
    told = 0
    planned = False
    while True:
        record = await _patiently(started)
        if tell and not planned and (steps := record["plan"]["steps"]):
            planned = True
            print(f"plan by {_planner(record)}: {len(steps)} step{'s' * (len(steps) != 1)}")
        for attempt in record["execution_log"][told:] if tell else ():
            print(_line(attempt), flush=True)
            told += 1
        if record["status"] in SETTLED:
            return record
        await asyncio.sleep(INTERVAL)


def _planner(record: dict[str, Any]) -> str:
    by = record["planned_by"]
    return f"{by['model'] or by['source']} ({by['reason']})"


def _line(attempt: dict[str, Any]) -> str:
    words = (
        f"  step {attempt['step']} {attempt['tool']}: {attempt['status']}"
        f" in {attempt['duration_ms']:.0f} ms"
    )
    if attempt["error"]:
        words += f" (attempt {attempt['attempt']}: {attempt['error']['message']})"
    if attempt["retry_at"]:
        words += f", again at {attempt['retry_at']}"
    return words


def _ending(record: dict[str, Any]) -> str:
    """The last words: the result as it is, or why there is none."""
    if record["status"] != "completed":
        error = record["error"]
        examples = "".join(f"\n  try: {example}" for example in error["examples"])
        return f"{record['status']}: {error['message']}{examples}"
    output = record["result"]["output"]
    return output if isinstance(output, str) else _pretty(output)


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
