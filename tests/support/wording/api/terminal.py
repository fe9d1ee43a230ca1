"""What the command says: of the events of a run, of what it cannot do, and how a run goes on."""

import asyncio
import os
import re
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import httpx
import pytest

from api.cli.follow import (
    CANCELLING,
    AwaitingApproval,
    Detached,
    LocalRun,
    NotDecided,
    NotStarted,
    NotWatched,
)
from api.cli.run import cancel_run, decide
from api.cli.server_run import ServerRun, post_approval_answer, post_task
from api.cli.terminal_view import Activity, activity_after
from api.cli.text import EventLines
from graph.record.events import Event, EventType
from graph.service import Runs
from graph.settings import Settings
from graph.state.row import RunRow
from graph.storage.open import open_storage
from graph.storage.sqlite.open import ServerAddress, own
from tests.support.models.capture_server import capturing
from tests.support.runs.run_states import queued
from tests.support.servers.commands.call import call as command
from tests.support.wording.messages import masked

_LEFT = "5c1f4f0e-9a51-4c8f-8b0f-7e110d9b3a52"

RUN_ID = "3649e764-182c-4e2a-baa5-565cd8d75ff6"


def event(kind: EventType, at: float = 0.0, **data: Any) -> Event:
    """An event whose step and attempt are 1 where it has any."""
    place = 1 if kind.startswith("step.") else None
    return Event(
        id=1, type=kind, at=at, node=None, step=place, attempt=place, generation=place, data=data
    )


def attempt(status: str, **data: Any) -> Event:
    """The end of an attempt of a tool `flaky`."""
    made = {
        "tool": "flaky",
        "status": status,
        "duration_ms": 12.4,
        "error": None if status == "ok" else {"type": "E", "message": "no luck", "retryable": True},
        "retry_at": None,
        "thread_running": False,
        **data,
    }
    return event("step.completed" if status == "ok" else "step.failed", **made)


def asked(planner: str = "llm", **data: Any) -> Event:
    """The end of a call of a planner."""
    made = {"model": "openai/x", "error_class": None, "reasons": [], "duration_ms": 800.0, **data}
    return event("plan.attempt", planner=planner, **made)


def plan(source: str = "pattern", model: str | None = None, steps: int = 2) -> Event:
    """A plan of so many steps."""
    by = {"source": source, "model": model, "reason": "no model is configured", "complexity": None}
    return event("plan.made", planned_by=by, steps=[{}] * steps)


def _error(message: str, *examples: str) -> dict[str, Any]:
    return {"message": message, "examples": [*examples]}


#: Events that have a line; scripts may look for it.
TOLD: Mapping[str, Event] = {
    "queued": event("run.queued", owner="default"),
    "taken-up": event("run.taken_up", by="server", detail=None),
    "taken-up.detail": event("run.taken_up", by="server", detail="start 2"),
    "model.planned": asked(outcome="planned"),
    "model.failed": asked(outcome="failed", error_class="Timeout"),
    "model.rejected": asked(outcome="rejected", reasons=["no tool a", "no tool b"]),
    "plan": plan(),
    "plan.model": plan("llm", "openai/x", 1),
    "step.ok": attempt("ok"),
    "step.error": attempt("error"),
    "step.timeout": attempt("timeout", thread_running=True, retry_at=1_700_000_000.25),
    "waiting": event("run.waiting", tools=[{"tool": "a", "effects": True, "steps": [1]}]),
    "waiting.sets": event(
        "run.waiting",
        tools=[{"tool": "b", "effects": True, "steps": [1, 2], "scope": ["<scope>", "<scope>"]}],
    ),
    "approved": event("run.approved", by="ann", detail=None),
    "rejected": event("run.rejected", by="ann", detail="too much milk"),
    "expired": event("run.expired", by="server", detail=None),
    "cancelling": event("run.cancelling", by="<by>", detail=None),
    "retried": event("run.retried", by="ann", detail="from step 2 of 3"),
    "failed": event("run.failed", error=_error("<message>", "a", "b")),
    "failed.outage": event("run.failed", error={**_error("<message>"), "type": "planning_failed"}),
    "cancelled": event("run.cancelled", error=_error("cancelled after 1 step")),
}

#: Events that have none.
SILENT: Mapping[str, Event] = {
    "started": event("run.started"),
    "planning": event("plan.started"),
    "pattern": asked(planner="pattern", outcome="planned"),
    "step": event("step.started", tool="flaky", not_before=None),
    "end": event("end", status="completed"),
}

#: Moments of what goes on: since when, until when it waits, and now.
GOING_ON: Mapping[str, tuple[Activity, float]] = {
    "second": (Activity("planning", 10.0), 10.9),
    "seconds": (Activity("planning", 10.0), 12.1),
    "clock": (Activity("planning", 10.0), 9.0),
    "minutes": (Activity("planning", 10.0), 135.0),
    "due": (Activity("step 1 x, attempt 2", 20.0, due=20.0), 17.5),
    "due.soon": (Activity("step 1 x, attempt 2", 20.0, due=20.0), 19.9),
    "due.now": (Activity("step 1 x, attempt 2", 20.0, due=20.0), 20.0),
    "due.past": (Activity("step 1 x, attempt 2", 20.0, due=20.0), 21.0),
}

_STARTS: Mapping[str, Event] = {
    "queued": event("run.queued"),
    "planning": event("plan.started"),
    "step": event("step.started", tool="x", not_before=None),
    "waiting": event("run.waiting"),
    "cancelling": event("run.cancelling", by="me", detail=None),
}


async def _of_servers() -> dict[str, str]:
    """What is said where another process has the run, or has it no more."""
    told = {
        "ctrl-c": CANCELLING,
        "lost": str(Detached("<run_id>")),
        "waits": str(AwaitingApproval("<run_id>")),
        "kept": await _local(kept=True).leave(),
        "gone": await _local(kept=False).leave(),
    }
    for key, (status, body, key_sent) in _REFUSALS.items():
        told[f"server.{key}"] = await _said(NotWatched, _watched(_client(status, body, key_sent)))
    form = await _said(NotWatched, _watched(_client(200, "data: {}\n\n", None)))
    told["server.form"] = re.sub(r"\(.*\)", "<fault>", form)
    absent = _client(None, "", None)
    told["server.task"] = await _said(NotStarted, post_task(absent, "2 + 2"))
    told["server.decision"] = await _said(
        NotDecided, post_approval_answer(absent, "<run_id>", "approve", {})
    )
    run = ServerRun(absent, "<run_id>")
    told["server.left"] = await run.leave()
    told["server.away"] = await _noted(run)
    for act in ("approve", "reject"):
        told[f"decided.{act}"] = await _decided(act)
    told["order.cancelled"] = await _cancelled()
    return {key: text.replace(str(absent.base_url), "<url>") for key, text in told.items()}


async def _decided(act: Any) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.cli.run.open_client", lambda *_: _client(200, "{}", None))
        return await decide(Settings(), "<run_id>", act, reason=None, url="http://server:8000")


async def _cancelled() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.cli.run.open_client", lambda *_: _client(200, "{}", None))
        return await cancel_run(Settings(), "<run_id>", url="http://server:8000")


#: What a server may answer to who watches: status, body, and the key that was sent.
_REFUSALS: Mapping[str, tuple[int, str, str | None]] = {
    "refused": (404, '{"title": "No", "detail": "<detail>"}', None),
    "refused.status": (404, "<html>", None),
    "none": (200, "hello", None),
    "key.none": (401, "{}", None),
    "key.wrong": (401, "{}", "rw_x"),
}


def _client(status: int | None, body: str, key: str | None) -> httpx.AsyncClient:
    """A client of a server that answers so; one without a status is not there."""

    def answer(request: httpx.Request) -> httpx.Response:
        if status is None:
            raise httpx.ConnectError("nobody listens", request=request)
        kind = "text/event-stream" if body.startswith("data") else "text/plain"
        return httpx.Response(status, text=body, headers={"content-type": kind})

    headers = {"x-api-key": key} if key else {}
    transport = httpx.MockTransport(answer)
    return httpx.AsyncClient(base_url="http://server:8000", transport=transport, headers=headers)


async def _watched(client: httpx.AsyncClient) -> None:
    async for _ in ServerRun(client, "<run_id>").events(print):
        pass


async def _noted(run: ServerRun) -> str:
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        raise TimeoutError

    with suppress(TimeoutError):
        async for _ in run.events(note):
            pass
    return notes[0]


def _local(*, kept: bool) -> LocalRun:
    class Closed:
        async def close(self, _: float) -> None:
            """There is nothing to end."""

    return LocalRun(cast("Runs", Closed()), "<run_id>", kept=kept)


async def _said(kind: type[Exception], waited: Awaitable[object]) -> str:
    try:
        await waited
    except kind as error:
        return str(error)
    raise AssertionError(waited)


def _owners() -> dict[str, str]:
    keys = ",".join([f"ann:{'0' * 64}"])
    told = {}
    with TemporaryDirectory() as folder:
        for key, own in (("key.none", {}), ("key.wrong", {"api_key": f"rw_{'x' * 40}"})):
            done = command("run", "2 + 2", folder=Path(folder), api_keys=keys, **own)
            assert done.returncode == 2, done
            told[f"run.{key}"] = done.stderr.rstrip("\n")
    return told


def messages() -> dict[str, str]:
    """Lines of events, then what goes on, then what ends the command."""
    told = {key: str(EventLines(RUN_ID).words(happened)) for key, happened in TOLD.items()}
    told["queued"] = masked(told["queued"], run_id=RUN_ID)
    for key in ("waiting", "waiting.sets"):
        told[key] = masked(told[key], run_id=RUN_ID)
    story = EventLines(RUN_ID)
    story.words(asked(outcome="failed"))
    told["fallback"] = str(story.words(event("plan.fallback", reason="<reason>")))
    for key, (activity, now) in GOING_ON.items():
        told[f"going-on.{key}"] = activity.words(now)
    for key, happened in _STARTS.items():
        started = activity_after(happened, None)
        assert started is not None
        told[f"begins.{key}"] = started.what
    return told | asyncio.run(_of_servers()) | _owners() | _complaints()


#: Commands that cannot be, with the database that they are given, if it is no file of ours.
_COMMANDS: Mapping[str, tuple[tuple[str, ...], str | None]] = {
    "backup.memory": (("backup", "copy"), "memory://"),
    "watch.memory": (("watch", RUN_ID), "memory://"),
    "watch.url": (("watch", RUN_ID, "--url", "localhost:8000"), None),
    "watch.no-database": (("watch", RUN_ID), None),
    "approve.no-database": (("approve", RUN_ID), None),
    "approve.url": (("approve", RUN_ID, "--url", "localhost:8000"), None),
    "serve.exposed": (("serve", "--host", "192.0.2.1"), None),
    "key.name": (("key", "new", "two words"), None),
    "text": (("run", "add", "todo", "caf\udce9"), None),
    "list.text": (("list", "--text", "!?"), None),
    "list.rounds": (("list", "--min-rounds", "-1"), None),
}


def _complaints() -> dict[str, str]:
    told = {}
    with TemporaryDirectory() as folder:
        for key, (arguments, url) in _COMMANDS.items():
            settings = {"database_url": url} if url else {}
            done = command(*arguments, folder=Path(folder), **settings)
            assert done.returncode == 2, done
            told[key] = done.stderr.rstrip("\n").replace(folder, "<folder>")
        asyncio.run(_made(f"sqlite:///{folder}/runs.db"))
        copied = command("backup", f"{folder}/copy", folder=Path(folder))
        assert copied.returncode == 0, copied
        told["backup"] = re.sub(r"[\d,]+ bytes", "<size> bytes", copied.stdout.rstrip("\n"))
        told["backup"] = told["backup"].replace(folder, "<folder>")
        for act in ("watch", "approve"):
            unknown = command(act, RUN_ID, folder=Path(folder))
            told[f"{act}.no-run"] = masked(unknown.stderr.rstrip("\n"), run_id=RUN_ID)
        left = command("watch", _LEFT, folder=Path(folder))
        told["watch.left"] = masked(left.stderr.rstrip("\n"), run_id=_LEFT, status="pending")
        with own(Path(folder) / "runs.db"):
            for act in ("watch", "approve"):
                owned = command(act, RUN_ID, folder=Path(folder)).stderr.rstrip("\n")
                told[f"{act}.owned"] = masked(owned, folder=folder, pid=os.getpid())
        with capturing() as stranger, own(Path(folder) / "runs.db", ServerAddress(stranger.url)):
            unproven = command("approve", RUN_ID, folder=Path(folder)).stderr.rstrip("\n")
            told["unproven"] = masked(unproven, folder=folder, url=stranger.url)
    return told


async def _made(url: str) -> None:
    """A database with a run that nobody executes."""
    state = queued(run_id=_LEFT)
    row = RunRow(
        run_id=_LEFT,
        owner="default",
        prompt=state["prompt"],
        limits=state["limits"],
        created_at=state["created_at"],
    )
    async with open_storage(url) as storage:
        await storage.index.accept(row)
