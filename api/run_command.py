"""`runwright run`: one task in the terminal, in this process or on the server that has the file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.following import follow
from api.logs import configure_logging
from api.run_source import LocalRun, NotStarted, RunSource
from api.server_run import open_client, post_task
from graph.compose import open_runs
from graph.queue.executor import QueueFull
from graph.runs.reader import StorageUnavailable
from graph.service import PromptRejected, Runs
from graph.settings import Settings
from graph.settings.keys import NOBODY, KeyRing
from graph.storage.sqlite.open import FileOwned


async def run_task(settings: Settings, task: str, *, as_json: bool) -> int:
    """Run `task` and show how it goes; 0 when it completed, else 1.

    Raises what `open_runs` raises, `NotStarted`, `LostSight` and `Left`.
    """
    quiet_logging(settings)
    async with _started(settings, task) as run:
        return 0 if await follow(run, as_json=as_json) else 1


def quiet_logging(settings: Settings) -> None:
    """Log warnings only, where nobody asked for another level: the events tell the rest."""
    level = settings.log_level if settings.log_level != "info" else "warning"
    configure_logging(settings.log, level)


@asynccontextmanager
async def _started(settings: Settings, task: str) -> AsyncIterator[RunSource]:
    try:
        async with open_runs(settings, take_up=False) as runs:
            run_id = await _start(runs, task, _owner(settings))
            yield LocalRun(runs, run_id, kept=settings.database_url != "memory://")
    except FileOwned as owned:
        if owned.owner is None or owned.owner.url is None:
            raise
        async with open_client(owned.owner.url, settings.api_key) as client:
            yield await post_task(client, task)


def _owner(settings: Settings) -> str:
    """Whose a run of this process is. Raises `NotStarted` where there are keys but not this one."""
    if not settings.api_keys:
        return NOBODY
    if settings.api_key is None:
        raise NotStarted("runs have owners here; set RUNWRIGHT_API_KEY to your key")
    owner = KeyRing(settings.api_keys).owner(settings.api_key.get_secret_value())
    if owner is None:
        raise NotStarted("the key in RUNWRIGHT_API_KEY is none of RUNWRIGHT_API_KEYS")
    return owner


async def _start(runs: Runs, task: str, owner: str) -> str:
    try:
        return (await runs.start(task, owner=owner))["run_id"]
    except (PromptRejected, QueueFull) as error:
        raise NotStarted(str(error)) from None
    except StorageUnavailable:
        raise NotStarted("the database does not answer; the log line above says why") from None
