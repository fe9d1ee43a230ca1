"""Calls that a server refuses, and calls that change nothing: each answer in whole."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.servers.server_process import ServerProcess
from tests.support.stored.sheet import Sheet, answer_text
from tests.support.stored.stored_server import Owner
from tests.support.stored.varying import FRESH, STORED, alike

#: The site whose pages may call.
SITE = "https://pages.example"

_JSON = {"content-type": "application/json"}

#: Bodies of `POST /runs` as bytes, and what is wrong with them.
_UNREADABLE: Mapping[str, bytes] = {
    "nothing": b"",
    "half of an object": b'{"prompt": ',
    "a list": b"[]",
    "a word": b"null",
    "a name twice": b'{"prompt": "2 + 2", "prompt": "3 + 3"}',
    "no number of JSON": b'{"prompt": "2 + 2", "budget": {"usd": NaN}}',
    "half a character": b'{"prompt": "\\ud83d"}',
    "no UTF-8": b'{"prompt": "\xff"}',
    "too much": b'{"prompt": "' + b"x" * 70_000 + b'"}',
}

#: Bodies of `POST /runs` that are read, and refused.
_REFUSED: tuple[Any, ...] = (
    {},
    {"prompt": 5},
    {"prompt": ""},
    {"prompt": " \n"},
    {"prompt": "null \0"},
    {"prompt": "x" * 20_001},
    {"prompt": "2 + 2", "unknown": 1, "mode": "maybe"},
    {"prompt": "2 + 2", "budget": {"usd": -1, "tokens": 1.5, "steps": 0, "on_exceeded": "wait"}},
)

_STEP = {"tool": "calculator", "input": {"expression": "1"}}


@dataclass(frozen=True)
class Call:
    """A call of an owner; `instead` are headers in place of those that come with a call."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    owner: str = "alice"

    @property
    def title(self) -> str:
        """What it is told by."""
        told = f"{self.owner}: {self.method} {self.path}"
        if self.body is not None:
            told += f" {self.body!r:.300}"
        return told + (f" {dict(self.headers)}" if self.headers else "")


def calls_sheet(server: ServerProcess) -> Sheet:
    """The answers of a server over the stored runs that rest, which it leaves as they are."""
    alice, bob = Owner(server, "alice"), Owner(server, "bob")
    runs = _Runs(alice, bob)
    before = alice.ask("GET", "/runs", limit=200).text
    sheet = {call.title: _answer(server, call) for call in _calls(runs)}
    assert alice.ask("GET", "/runs", limit=200).text == before
    return sheet


class _Runs:
    """Ids of stored runs by how they ended."""

    def __init__(self, alice: Owner, bob: Owner) -> None:
        self.completed = _oldest(alice, status="completed")
        self.failed = _oldest(alice, text="bread butter", status="failed")
        self.refused = _oldest(alice, text="capital France")
        self.cancelled = _oldest(alice, status="cancelled")
        self.waiting = _oldest(bob, status="waiting")
        self.theirs = _oldest(bob, status="completed")
        self.checkpoint = alice.checkpoints(self.failed)[-1]["checkpoint_id"]


def _oldest(owner: Owner, **search: str) -> str:
    return str(owner.get("/runs", order="asc", limit=1, **search)["runs"][0]["run_id"])


def _answer(server: ServerProcess, call: Call) -> str:
    owner = Owner(server, call.owner)
    answer = owner.ask(call.method, call.path, call.body, headers=call.headers)
    assert answer.status_code < 500, answer.text
    return alike(answer_text(answer), FRESH if call.path == "/plan" else STORED)


def _calls(runs: _Runs) -> Iterator[Call]:
    yield from _bodies()
    yield from _admission(runs)
    yield from _reading(runs)
    yield from _searching()
    yield from _answering(runs)
    yield from _retry_locks(runs)
    yield from _forking(runs)
    yield from _harmless(runs)


def _bodies() -> Iterator[Call]:
    for body in _UNREADABLE.values():
        yield Call("POST", "/runs", body, _JSON)
    for given in _REFUSED:
        yield Call("POST", "/runs", given)
    yield Call("POST", "/runs/wait?timeout=-1", {"prompt": "2 + 2"})
    yield Call("POST", "/runs/wait?timeout=soon&max_value_bytes=5", {"prompt": "2 + 2"})
    yield Call("POST", "/plan", {"prompt": ""})
    yield Call("POST", "/plan", {"prompt": "2 + 2", "mode": "plan"})
    for key in ("", "x" * 201, "with space"):
        yield Call("POST", "/runs", {"prompt": "2 + 2"}, {"idempotency-key": key})


def _admission(runs: _Runs) -> Iterator[Call]:
    task = b'{"prompt": "2 + 2"}'
    yield Call("POST", "/runs", task, {"content-type": "text/plain"})
    yield Call("POST", "/runs", task, {"content-type": ""})
    yield Call("POST", "/runs", {"prompt": "2 + 2"}, {"origin": "https://evil.example"})
    yield Call("POST", "/runs", {"prompt": "2 + 2"}, {"sec-fetch-site": "cross-site"})
    yield Call("GET", "/runs", headers={"host": "evil.example"})
    for header in ("", "Bearer", "Bearer rw_wrong", "Basic abc"):
        yield Call("GET", "/runs", headers={"authorization": header})
    yield Call("GET", "/health", headers={"authorization": ""})
    yield Call("GET", "/nothing/here")
    yield Call("PUT", "/runs", {})
    yield Call("DELETE", "/runs/wait")
    yield Call("PATCH", f"/runs/{runs.completed}")
    yield Call("POST", "/health", {})
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    yield Call("OPTIONS", "/runs", headers={"origin": SITE, **asked})
    yield Call("OPTIONS", "/runs", headers={"origin": "https://evil.example", **asked})
    yield Call("GET", "/tools", headers={"origin": SITE})
    yield Call("HEAD", "/tools")
    yield Call("HEAD", f"/runs/{runs.completed}")


def _reading(runs: _Runs) -> Iterator[Call]:
    run = f"/runs/{runs.completed}"
    for path in (
        "/runs/none",
        f"/runs/{runs.theirs}",
        f"/runs/{runs.theirs}/events",
        f"/runs/{runs.theirs}/explain",
        f"{run}?max_value_bytes=99",
        f"{run}/events?after=999",
        f"{run}/events?after=-1&limit=0",
        f"{run}/events?limit=1001",
        f"{run}/stream?after=999",
        f"{run}/stream?after=x",
        f"{run}/wait?timeout=301",
        f"{run}/log/0/output",
        f"{run}/log/99/output",
        f"{run}/history?limit=201",
        f"{run}/history?before=none",
        f"{run}/history/none",
    ):
        yield Call("GET", path)
    yield Call("GET", f"{run}/stream", headers={"last-event-id": "x"})
    yield Call("GET", f"{run}/stream?after=1", headers={"last-event-id": "4"})


def _searching() -> Iterator[Call]:
    for query in (
        "limit=0",
        "limit=201&status=done",
        "sort=size&order=up",
        "text=!!!",
        "text=" + "x" * 1001,
        "created_from=yesterday",
        "created_before=2026-02-30T00:00:00Z",
        "min_usd=cheap&max_retries=-1&taken_up=perhaps",
        "cursor=none",
        "planner=me&tool=",
        "unknown=1",
    ):
        yield Call("GET", f"/runs?{query}")
    yield Call("POST", "/runs/search", {"status": "completed", "limit": 2.5, "min_usd": "1"})
    yield Call("POST", "/runs/search", {"cursor": "none", "unknown": 1})


def _answering(runs: _Runs) -> Iterator[Call]:
    for act in ("approve", "reject", "cancel", "retry-now"):
        yield Call("POST", f"/runs/{runs.completed}/{act}")
        yield Call("POST", f"/runs/{runs.theirs}/{act}")
        yield Call("POST", f"/runs/{runs.completed}/{act}", {"unknown": 1})
    yield Call("POST", f"/runs/{runs.cancelled}/cancel")
    waiting = f"/runs/{runs.waiting}"
    for steps in (
        [],
        [{"tool": "nothing", "input": {}}],
        [{"tool": "calculator", "input": {"expression": 5, "more": 1}}],
        [_STEP, {"tool": "todo_store.add", "input": {"text": "{step_2_output} {step_9_output}"}}],
        [{"tool": "calculator"}],
    ):
        yield Call("POST", f"{waiting}/approve", {"plan": {"steps": steps}}, owner="bob")
    yield Call("POST", f"{waiting}/reject", {"reason": "x" * 2001}, owner="bob")
    yield Call("POST", f"{waiting}/retry", owner="bob")
    yield Call("POST", f"{waiting}/retry-now", owner="bob")
    yield Call("DELETE", waiting, owner="bob")


def _retry_locks(runs: _Runs) -> Iterator[Call]:
    yield Call("POST", f"/runs/{runs.completed}/retry")
    yield Call("POST", f"/runs/{runs.refused}/retry", {"from_step": 1})
    for body in (
        {"from_step": 99},
        {"from_step": 3},
        {"from_step": 0, "skip": ["a"]},
        {"input": {"expression": []}},
        {"input": {"expression": "1", "unknown": 2}},
        {"skip": [9]},
        {"skip": [2], "input": {"expression": "1"}},
    ):
        yield Call("POST", f"/runs/{runs.failed}/retry", body)


def _forking(runs: _Runs) -> Iterator[Call]:
    path, place = f"/runs/{runs.failed}/fork", runs.checkpoint
    yield Call("POST", path, {})
    yield Call("POST", path, {"checkpoint_id": "not one"})
    yield Call("POST", path, {"checkpoint_id": "1ef00000-0000-6000-8000-000000000000"})
    for state in (
        {"prompt": ""},
        {"cursor": 99},
        {"plan": {"steps": []}},
        {"plan": {"steps": [{"tool": "nothing", "input": {}}]}},
        {"plan": {"steps": [_STEP]}, "cursor": 5},
        {"unknown": 1},
    ):
        yield Call("POST", path, {"checkpoint_id": place, "state": state})


def _harmless(runs: _Runs) -> Iterator[Call]:
    """A request that was sent before, and plans without a run."""
    key = {"idempotency-key": "k-1"}
    task = {"prompt": "add todo water the plants"}
    yield Call("POST", "/runs", task, key, owner="bob")
    yield Call("POST", "/runs/wait", task, key, owner="bob")
    yield Call("POST", "/runs", {"prompt": "add todo water nothing"}, key, owner="bob")
    for prompt in (
        "add bread and butter to my list, please, and then show my open tasks",
        "compute 12*12, then the result plus 6",
        "charge 5 to Ann, then forecast for Bern",
        "put mopping on my list and sing a song",
    ):
        yield Call("POST", "/plan", {"prompt": prompt, "budget": {"steps": 3}})
    yield Call("GET", "/budget")
