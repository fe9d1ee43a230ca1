"""`runwright run`: one task in the terminal, in this process or on the server that has the file."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx

from api.logs import configure_logging
from api.record import present
from graph.compose import open_runs
from graph.ownership import FileOwned
from graph.runs import PromptRejected, Runs, StorageUnavailable
from graph.settings import Settings
from graph.status import SETTLED

#: How often the record is read while the run goes on, in seconds.
INTERVAL = 0.05

#: Reads the record of the run as it is now, as JSON data.
Read = Callable[[], Awaitable[dict[str, Any]]]


class RunFailed(Exception):
    """The run could not be started or followed; the message says why."""


async def run_task(settings: Settings, task: str, *, as_json: bool) -> int:
    """Run `task`, telling its steps as they end; 0 when it completed, else 1.

    Raises what `open_runs` raises, and `RunFailed`.
    """
    level = settings.log_level if settings.log_level != "info" else "warning"
    configure_logging(settings.log, level)
    async with _started(settings, task) as read:
        record = await _follow(read, tell=not as_json)
    print(_pretty(record) if as_json else _ending(record))
    return 0 if record["status"] == "completed" else 1


@asynccontextmanager
async def _started(settings: Settings, task: str) -> AsyncIterator[Read]:
    try:
        async with open_runs(settings, take_up=False) as runs:
            run_id = (await runs.start(task))["run_id"]
            yield partial(_read_here, runs, run_id)
    except PromptRejected as error:
        raise RunFailed(str(error)) from None
    except StorageUnavailable:
        raise RunFailed("the database does not answer; the log line above says why") from None
    except FileOwned as owned:
        if owned.owner is None or owned.owner.url is None:
            raise
        async with _started_on_server(owned.owner.url, task) as read:
            yield read


@asynccontextmanager
async def _started_on_server(url: str, task: str) -> AsyncIterator[Read]:
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        run_id = (await _answer(client.post("/runs", json={"prompt": task})))["run_id"]
        yield partial(_read_there, client, run_id)


async def _read_here(runs: Runs, run_id: str) -> dict[str, Any]:
    return present(await runs.get(run_id))


async def _read_there(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    return await _answer(client.get(f"/runs/{run_id}"))


async def _answer(request: Awaitable[httpx.Response]) -> dict[str, Any]:
    try:
        response = await request
        content: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise RunFailed(f"the server that has the database does not answer: {error!r}") from None
    if response.is_error:
        raise RunFailed(f"the server refused: {content.get('detail') or content.get('title')}")
    return content


async def _follow(read: Read, *, tell: bool) -> dict[str, Any]:
    """The settled record; with `tell`, its plan and each attempt are printed as they appear."""
    told = 0
    planned = False
    while True:
        record = await read()
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
