"""`runwright watch`: a run in the terminal, from its first event on, wherever it is executed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from api.following import follow
from api.run_command import quiet_logging
from api.run_source import LocalRun, NotWatched, RunSource
from api.server_run import ServerRun, open_client
from graph.compose import open_runs
from graph.runs.reader import RunNotFound, StorageUnavailable
from graph.service import Runs
from graph.settings import Settings
from graph.state.status import SETTLED
from graph.storage.open import sqlite_path
from graph.storage.sqlite.open import FileOwned


async def watch_run(settings: Settings, run_id: str, *, url: str | None, as_json: bool) -> int:
    """Show a run until it is settled; 0 when it completed, else 1.

    Without `url` it is one of the configured database. Raises what `open_runs` raises,
    `NotWatched`, `LostSight` and `Left`.
    """
    quiet_logging(settings)
    async with _found(settings, run_id, url) as run:
        return 0 if await follow(run, as_json=as_json) else 1


@asynccontextmanager
async def _found(settings: Settings, run_id: str, url: str | None) -> AsyncIterator[RunSource]:
    server = checked_url(url) if url is not None else None
    if server is None:
        check_kept(settings.database_url)
        try:
            # Nothing is executed, so that neither tools nor models are needed.
            reading = settings.model_copy(update={"tools": (), "models": ()})
            async with open_runs(reading, take_up=False) as runs:
                await _check_settled(runs, run_id)
                yield LocalRun(runs, run_id, kept=True)
                return
        except FileOwned as owned:
            if owned.owner is None or owned.owner.url is None:
                raise NotWatched(f"{owned}, which answers nobody; watch the run there") from None
            server = owned.owner.url
    async with open_client(server, settings.api_key) as client:
        yield ServerRun(client, run_id)


def checked_url(url: str) -> str:
    """The address as it is given. Raises `NotWatched` where it is none."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise NotWatched(f"--url={url}: no address of a server; it has the form http://host:port")
    return url


def check_kept(database_url: str) -> None:
    """Raises `NotWatched` where there can be no run, and nothing is to be created for that."""
    if database_url == "memory://":
        raise NotWatched("memory:// keeps runs inside their process; name its server with --url")
    path = sqlite_path(database_url)
    if not path.exists():
        raise NotWatched(f"there is no database {path}; RUNWRIGHT_DATABASE_URL names another one")


async def _check_settled(runs: Runs, run_id: str) -> None:
    """Raises `NotWatched` for a run of which there is nothing to be seen here."""
    try:
        status = (await runs.get(run_id, owner=None))["status"]
    except RunNotFound:
        raise NotWatched(f"there is no run {run_id} in the configured database") from None
    except StorageUnavailable:
        raise NotWatched("the database does not answer; the log line above says why") from None
    if status not in SETTLED:
        raise NotWatched(
            f"run {run_id} is {status}, and no server executes it; start one with"
            " `runwright serve`, where it goes on"
        )
