"""How many files of ours one warm request enters: what a reader opens who follows it.

The scope, which was found by trial as the one that gives the figures that the bars were set by:

- The real application over a real SQLite file, asked in its own process without a socket: with
  every middleware in it, and without the server around it. No model is configured.
- Warm: a whole round of the same requests was made before. Entries are counted in all threads, and
  so is a coroutine or generator that goes on (see `Tracer`).
- `get`: GET of a completed run, until it is answered.
- `plan`: POST of "add todo milk", until the planner has returned its steps; the check of the plan
  and what stores it come after that (`stored`: until the first step begins; `whole`: until the
  run has ended and all is at rest).
- `approve`: POST of the approval of such a run, until it has ended and all is at rest.
- `cancel`: POST for a run whose only step blocks a thread, until it is answered.
- `retry`: POST for the run that was cancelled, until it has ended and all is at rest.
- `recovery`: a server was killed in the second of three steps (a to-do, a sleep, a to-do); what
  the next one enters on its file from its start until the run has ended and all is at rest. What
  the task enters that composes it does not count: it makes every part, needed or not.
"""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, nullcontext
from pathlib import Path

import httpx
from fastapi import FastAPI

from api.app import HttpLimits, create_app
from benchmarks.house.tracing import Entered, Mark, Tracer
from benchmarks.server import Server
from graph.compose import open_runs
from graph.settings import read_settings

#: Where the moments are passed that no status tells: the only names from inside the packages.
PLANNED = Mark("planned", "nodes/patterns/planner.py", "read", "return")
EXECUTED = Mark("executed", "nodes/execute_step.py", "execute_step")

TOOLS = "examples.flaky:sleep,examples.flaky:block"
TODO, BLOCK = "add todo milk", "block 2 seconds"
LEFT = f"{TODO}, then sleep 2 seconds, then add todo bread"

#: How long a run may take to come to a status, in seconds.
PATIENT = 60.0

#: The files entered by each request, in the order of their first entry; None where the mark that
#: ends it was not passed.
Figures = dict[str, list[str] | None]


def measure() -> Figures:
    """What each request enters."""
    for name in [name for name in os.environ if name.startswith("RUNWRIGHT_")]:
        del os.environ[name]  # everybody measures the defaults
    tracer = Tracer((PLANNED, EXECUTED))
    with tempfile.TemporaryDirectory() as folder, tracer.installed():
        run_id = _leave(Path(folder) / "left")
        return asyncio.run(_measure(tracer, Path(folder), run_id))


async def _measure(tracer: Tracer, folder: Path, run_id: str) -> Figures:
    figures: Figures = {}
    path = folder / "asked.db"
    # Without retention: what is swept now and then belongs to no request.
    async with _application(path, retention=0) as app:
        for _ in range(2):  # the second time it is warm
            figures = await _Round(tracer, app, path).measure()
    for name in ("first", "second"):
        shutil.copytree(folder / "left", folder / name)
        figures["recovery"] = await _recover(tracer, folder / name / "runs.db", run_id)
    return figures


@asynccontextmanager
async def _application(
    path: Path, *, composed: Callable[[], None] = lambda: None, **options: float
) -> AsyncIterator[FastAPI]:
    """The application over this file, composed as the server does it, and started after that."""
    settings = read_settings(database_url=f"sqlite:///{path}", tools=TOOLS, **options)
    async with open_runs(settings) as runs:
        app = create_app(lambda: nullcontext(runs), HttpLimits())
        composed()
        async with app.router.lifespan_context(app):
            yield app


class _Round:
    """All requests once."""

    def __init__(self, tracer: Tracer, app: FastAPI, path: Path) -> None:
        self._tracer = tracer
        self._path = path
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://localhost"
        )

    async def measure(self) -> Figures:
        async with self._http:
            with self._tracer.noting() as posted:
                run_id = await self._post(TODO)
                await self._rest(run_id, "completed")
            got = await self._noted("GET", f"/runs/{run_id}")
            run_id = await self._post(TODO, mode="plan")
            await self._rest(run_id, "waiting")
            approved = await self._noted("POST", f"/runs/{run_id}/approve", run_id)
            run_id = await self._post(BLOCK)
            await self._rest(run_id, "running")
            cancelled = await self._noted("POST", f"/runs/{run_id}/cancel")
            await self._rest(run_id, "cancelled")
            retried = await self._noted("POST", f"/runs/{run_id}/retry", run_id)
        return {
            "plan": posted.until(PLANNED),
            "stored": posted.until(EXECUTED),
            "whole": [*posted.files],
            "cancel": [*cancelled.files],
            "retry": [*retried.files],
            "approve": [*approved.files],
            "get": [*got.files],
        }

    async def _noted(self, method: str, path: str, run_id: str | None = None) -> Entered:
        """What a request enters until it is answered, or until the run has completed."""
        with self._tracer.noting() as entered:
            answer = await self._http.request(method, path)
            answer.raise_for_status()
            if run_id is not None:
                await self._rest(run_id, "completed")
        return entered

    async def _post(self, prompt: str, **options: str) -> str:
        answer = await self._http.post("/runs", json={"prompt": prompt, **options})
        answer.raise_for_status()
        return str(answer.json()["run_id"])

    async def _rest(self, run_id: str, status: str) -> None:
        """Wait until the run has this status and nothing happens any more, asking nobody of ours.

        One that is running is in the middle of its step then.
        """
        await _until(self._path, run_id, status)
        await self._tracer.quiet()


async def _recover(tracer: Tracer, path: Path, run_id: str) -> list[str]:
    """What recovery enters on the file of a server that was killed."""
    with tracer.noting(ignored=asyncio.current_task()) as entered:
        async with _application(path, composed=tracer.ignore_nothing):
            await _until(path, run_id, "completed")
            await tracer.quiet()
            recovered = [*entered.files]
    return recovered


async def _until(path: Path, run_id: str, status: str) -> None:
    deadline = time.monotonic() + PATIENT
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        while (now := _status(database, run_id)) != status:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the run is {now}, not {status}, after {PATIENT:g} s")
            await asyncio.sleep(0.01)


def _status(database: sqlite3.Connection, run_id: str) -> str:
    [(status,)] = database.execute("SELECT status FROM runs WHERE run_id = ?", [run_id]).fetchall()
    return str(status)


def _leave(folder: Path) -> str:
    """Let a server be killed in the middle of a run; the run's id."""
    folder.mkdir()
    server = Server(str(folder), tools=TOOLS)
    try:
        with httpx.Client(base_url=server.url, trust_env=False) as http:
            run_id = str(http.post("/runs", json={"prompt": LEFT}).json()["run_id"])
            deadline = time.monotonic() + PATIENT
            while not http.get(f"/runs/{run_id}").json()["progress"]["done"]:
                if time.monotonic() > deadline:
                    raise TimeoutError("the first step was not done")
                time.sleep(0.01)
    finally:
        server.kill()
    return run_id
