"""What a server answers about the stored runs that rest: everything that can be read of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from tests.support.servers.server_process import ServerProcess
from tests.support.stored.sheet import Sheet, answer_text
from tests.support.stored.stored_runs import OWNERS
from tests.support.stored.stored_server import Owner, run_ids
from tests.support.stored.varying import STORED, WAITING, alike

#: Searches of each owner, as addresses; those with `limit` are read page by page.
SEARCHES: tuple[Mapping[str, Any], ...] = (
    {},
    {"order": "asc", "limit": 7},
    {"sort": "duration", "limit": 5},
    {"sort": "duration", "order": "asc"},
    {"sort": "cost", "limit": 4},
    {"sort": "cost", "order": "asc"},
    {"status": "completed"},
    {"status": ["failed", "cancelled"], "limit": 6},
    {"status": ["pending", "running", "waiting"]},
    {"text": "add todo"},
    {"text": "TODO show", "limit": 2},
    {"text": "nothing like this"},
    {"tool": "calculator", "sort": "time", "order": "asc"},
    {"tool": "todo_store.list"},
    {"planner": "llm"},
    {"planner": "pattern", "limit": 9},
    {"model": "openai/first"},
    {"created_from": "2026-01-01T00:00:00Z", "created_before": "2026-06-01T00:00:00Z"},
    {"min_usd": "0.0001", "max_usd": "1"},
    {"min_retries": "1"},
    {"max_retries": "0", "status": "failed"},
    {"taken_up": "true"},
    {"taken_up": "false", "tool": "hold"},
)

#: Checkpoints of a page, and events of one.
CHECKPOINTS, EVENTS = 10, 4

#: Outputs of attempts that are read one by one.
OUTPUTS = 5


def server_sheet(server: ServerProcess) -> Sheet:
    """What it tells of itself: the description of its API, the tools, the graph."""
    owner = Owner(server, "alice")
    paths = ("/openapi.json", "/tools", "/graph", "/health/live", "/health/ready", "/docs")
    return {f"GET {path}": answer_text(owner.ask("GET", path)) for path in paths}


def runs_sheet(server: ServerProcess) -> Sheet:
    """Record, events and explanation of every run, whole, shortened and page by page."""
    return {
        title: alike(answer_text(answer), (*STORED, *(WAITING if waits else ())))
        for owner in _owners(server)
        for run_id in run_ids(owner)
        for title, answer, waits in _told_of(owner, run_id)
    }


def history_sheet(server: ServerProcess) -> Sheet:
    """Every checkpoint of every run, in pages and with its record."""
    return {
        title: alike(answer_text(answer), STORED)
        for owner in _owners(server)
        for run_id in run_ids(owner)
        for title, answer in _history_of(owner, run_id)
    }


def search_sheet(server: ServerProcess) -> Sheet:
    """Lists of runs by filters and in orders, with all pages; the first in both ways to ask."""
    return {
        title: alike(answer_text(answer), STORED)
        for owner in _owners(server)
        for search in SEARCHES
        for title, answer in _found(owner, search)
    }


def _owners(server: ServerProcess) -> Iterator[Owner]:
    return (Owner(server, name) for name in OWNERS)


def _told_of(owner: Owner, run_id: str) -> Iterator[tuple[str, httpx.Response, bool]]:
    path = f"/runs/{run_id}"
    record = owner.get(path)
    waits = record["status"] == "waiting"
    for more in ("", "?max_value_bytes=100", "/wait?timeout=0", "/explain", "/events"):
        yield _asked(owner, f"{path}{more}"), owner.ask("GET", f"{path}{more}"), waits
    for after in (0, EVENTS):
        more = f"/events?after={after}&limit={EVENTS}"
        yield _asked(owner, path + more), owner.ask("GET", path + more), waits
    for n in range(1, len(record["execution_log"][:OUTPUTS]) + 1):
        more = f"/log/{n}/output"
        yield _asked(owner, path + more), owner.ask("GET", path + more), waits
    if not waits:
        for after in (0, record["last_event_id"]):
            more = f"/stream?after={after}"
            yield _asked(owner, path + more), owner.ask("GET", path + more), waits


def _history_of(owner: Owner, run_id: str) -> Iterator[tuple[str, httpx.Response]]:
    path = f"/runs/{run_id}/history"
    yield _asked(owner, path), owner.ask("GET", path)
    before = ""
    while before is not None:
        more = f"{path}?limit={CHECKPOINTS}" + (f"&before={before}" if before else "")
        page = owner.ask("GET", more)
        yield _asked(owner, more), page
        for checkpoint in page.json()["checkpoints"]:
            one = f"{path}/{checkpoint['checkpoint_id']}"
            yield _asked(owner, one), owner.ask("GET", one)
        before = page.json()["before"]


def _found(owner: Owner, search: Mapping[str, Any]) -> Iterator[tuple[str, httpx.Response]]:
    cursor, number = None, 1
    while number == 1 or cursor:
        asked = {**search, **({"cursor": cursor} if cursor else {})}
        answer = owner.ask("POST", "/runs/search", _as_body(asked))
        title = f"{owner.name}: POST /runs/search {dict(search)} page {number}"
        yield title, answer
        if number == 1:
            listed = owner.ask("GET", "/runs", **asked)
            yield f"{owner.name}: GET /runs {dict(search)}", listed
        cursor, number = answer.json()["next_cursor"], number + 1


def _as_body(search: Mapping[str, Any]) -> dict[str, Any]:
    """A search as JSON, where numbers and flags are no text and a status is a list."""
    body = dict(search)
    for name in ("min_usd", "max_usd", "min_retries", "max_retries"):
        if name in body:
            body[name] = float(body[name])
    if "taken_up" in body:
        body["taken_up"] = body["taken_up"] == "true"
    if isinstance(body.get("status"), str):
        body["status"] = [body["status"]]
    return body


def _asked(owner: Owner, path: str) -> str:
    return f"{owner.name}: GET {path}"
