"""A run that a server executes, watched over HTTP."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from api.cli.follow import (
    Detached,
    Hear,
    NotCancelled,
    NotDecided,
    Note,
    NotStarted,
    NotWatched,
    unheard,
)
from api.cli.text import waiting_behind
from api.routes.server import NONCE, PROOF
from graph.record.events import TIMES, Event
from graph.runs.accept import NO_OPTIONS, RunOptions
from graph.runs.watch import AnswerDelta
from graph.storage.records import DatabaseOwned

if TYPE_CHECKING:
    from httpx_sse import ServerSentEvent

#: How long a server that does not answer is tried again, which is what a restart takes, and how
#: long its stream may be silent, in seconds; a heartbeat comes every 5.
SILENCE_LIMIT, SILENCE = 15.0, 15.0

#: The pause between two tries where the server names none, and the longest one, in seconds.
PAUSE, LONGEST_PAUSE = 0.25, 5.0

#: Events that are asked for at once.
EVENTS = 1000


class _Unreachable(Exception):
    """The server does not answer just now."""


def open_client(server: str | DatabaseOwned, key: SecretStr | None) -> httpx.AsyncClient:
    """A client of the server at a URL, or of the one that has a file, with the key it sends there.

    The second is asked for a proof ahead of each request, without which nothing is sent: where it
    has gone, anybody may listen. A request raises `NotWatched` then.
    """
    assert isinstance(server, str) or server.owner is not None
    url = server if isinstance(server, str) else (server.owner and server.owner.url) or ""
    return httpx.AsyncClient(
        base_url=url,
        headers={"x-api-key": key.get_secret_value()} if key else {},
        timeout=httpx.Timeout(30, connect=5),
        trust_env=False,
        # Certificates take 20 ms to load, and a server on this machine shows none.
        verify=not url.lower().startswith("http:"),
        auth=None if isinstance(server, str) else _Proven(server),
    )


class _Proven(httpx.Auth):
    """Sends a request only where a proof was answered just before."""

    def __init__(self, owned: DatabaseOwned) -> None:
        self._owned = owned

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        proof = Proof(self._owned)
        address = request.url.copy_with(raw_path=proof.path)
        answer = yield httpx.Request(
            "GET", address, headers=proof.headers, extensions=request.extensions
        )
        proof.check(answer.headers, str(request.url.copy_with(raw_path=b"/")))
        yield request


class Proof:
    """What the server of a file is asked for, at `path` with these `headers`, before it is told
    anything."""

    path = b"/health/live"

    def __init__(self, owned: DatabaseOwned) -> None:
        self._owned = owned
        self._nonce = secrets.token_hex(32)
        self._before = owned.owner_now()
        self.headers = {NONCE: self._nonce}

    def check(self, headers: Mapping[str, str], server: str) -> None:
        """Raises `NotWatched` where the answer of `server` has no proof."""
        # The file's server may have begun anew, or ended, since the note was read.
        proof, owners = headers.get(PROOF, ""), (self._before, self._owned.owner_now())
        if not any(owner.proves(self._nonce, proof) for owner in owners if owner):
            raise NotWatched(
                f"what answers at {server} does not prove that it is the server of"
                f" {self._owned.place}, so that neither key nor task is sent there; start the"
                " server anew, as the user who runs this"
            )


async def post_task(
    client: httpx.AsyncClient, task: str, options: RunOptions = NO_OPTIONS, **thread: str
) -> "ServerRun":
    """Give the server a task, perhaps of a thread by its id or name. Raises `NotStarted`."""
    # What is not given is not sent: an older server knows none of it.
    given: dict[str, Any] = {
        name: value for name, value in asdict(options).items() if value or value is False
    }
    if options.result_schema is not None:
        given["result_schema"] = dict(options.result_schema)
    given |= thread
    try:
        response = await client.post("/runs", json={"prompt": task} | given)
        answer = response.json()
    except (httpx.HTTPError, ValueError) as error:
        reason = f"the server at {_name_of(client)} does not answer ({type(error).__name__})"
        raise NotStarted(f"{reason}; whether it took the task, GET /runs tells") from None
    if not response.is_success:
        raise NotStarted(_refusal(response))
    return ServerRun(client, answer["run_id"])


async def post_approval_answer(
    client: httpx.AsyncClient, run_id: str, act: str, body: object
) -> None:
    """Tell the server what was decided about a plan: `approve` or `reject`. Raises `NotDecided`."""
    await post_order(client, run_id, act, body, what="the decision", failure=NotDecided)


async def post_order(
    client: httpx.AsyncClient,
    run_id: str,
    act: str,
    body: object,
    *,
    what: str,
    failure: type[Exception],
) -> None:
    """Tell the server what is to become of a run. Raises the `failure`, which says `what` it was.

    Asked once: an order that was taken must not be given twice.
    """
    hint = f"whether it took {what}, `runwright watch {run_id}` tells"
    await send(client, "POST", f"{_path(run_id)}/{act}", body, hint=hint, failure=failure)


async def send(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    body: object = None,
    *,
    hint: str,
    failure: type[Exception],
) -> httpx.Response:
    """What the server answers that is told to do something, once. Raises the `failure`.

    The `hint` says where to look whether it was heard.
    """
    try:
        response = await client.request(method, path, json=body)
    except httpx.HTTPError as error:
        reason = f"the server at {_name_of(client)} does not answer ({type(error).__name__})"
        raise failure(f"{reason}; {hint}") from None
    if not response.is_success:  # a redirect decides nothing either
        raise failure(_refusal(response))
    return response


async def ask(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    """What the server answers, as JSON data. Raises `NotWatched`."""
    try:
        response = await client.get(path, params=query)
        _check(response)
        return response.json()
    except _Unreachable:
        raise NotWatched(_refusal(response)) from None
    except httpx.HTTPError as error:
        reason = f"the server at {_name_of(client)} does not answer ({type(error).__name__})"
        raise NotWatched(reason) from None
    except ValueError:
        raise NotWatched(f"{_name_of(client)} is no Runwright server") from None


async def ask_of_run(client: httpx.AsyncClient, run_id: str, part: str = "") -> Any:
    """The record of a run, or a `part` of what is known of it. Raises `NotWatched`."""
    return await ask(client, _path(run_id) + part)


async def ask_events(client: httpx.AsyncClient, run_id: str) -> list[Event]:
    """The events of a run so far. Raises `NotWatched`."""
    events: list[Event] = []
    while True:
        page = await ask(client, f"{_path(run_id)}/events", after=len(events), limit=EVENTS)
        events += map(_as_event, page["events"])
        if not page["events"] or len(events) >= page["last_event_id"]:
            return events


def _path(run_id: str) -> str:
    return f"/runs/{quote(run_id, safe='')}"


def _name_of(client: httpx.AsyncClient) -> str:
    """Where its server is, without a user and password that `--url` may have."""
    return str(client.base_url.copy_with(userinfo=b""))


class ServerRun:
    """One run of a server that may go away for a while.

    `behind` is the run of its thread that it waited for when that was asked, as its record says.
    """

    def __init__(self, client: httpx.AsyncClient, run_id: str) -> None:
        self.run_id = run_id
        self.behind: dict[str, str] | None = None
        self._client = client
        self._path = _path(run_id)

    async def events(self, note: Note, hear: Hear = unheard) -> AsyncGenerator[Event, None]:
        """Its events from the first one on, without a gap or a repeat over lost connections.

        Raises `Detached`, and `NotWatched` where the server has no such run.
        """
        self._tell_behind(note)
        seen = 0
        ended = False
        alive_at = time.monotonic()
        noted = False
        while True:
            pause, heard_at = PAUSE, alive_at
            try:
                async with aclosing(self._messages(seen)) as messages:
                    async for message in messages:
                        alive_at, noted = time.monotonic(), False
                        if message.retry is not None:
                            pause = min(message.retry / 1000, LONGEST_PAUSE)
                        if message.event == "answer.delta":
                            hear(_delta(message))
                            continue
                        event = _event(message)
                        if event is None or event["id"] <= seen:
                            continue
                        seen = event["id"]
                        ended = event["type"] == "end"
                        yield event
                if ended:  # the stream is closed after it unless the run was retried
                    return
            except _Unreachable:
                if alive_at == heard_at and not noted:  # a connection that broke may be made anew
                    note(f"the server at {_name_of(self._client)} does not answer; trying again")
                    noted = True
            if time.monotonic() - alive_at > SILENCE_LIMIT:
                raise Detached(self.run_id)
            await asyncio.sleep(pause)

    def _tell_behind(self, note: Note) -> None:
        if self.behind:
            note(waiting_behind(**self.behind))

    async def _messages(self, seen: int) -> "AsyncGenerator[ServerSentEvent, None]":
        from httpx_sse import SSEError, aconnect_sse  # a server reads no stream of another

        headers = {"Last-Event-ID": str(seen)} if seen else {}
        timeout = httpx.Timeout(SILENCE, connect=5)
        try:
            async with aconnect_sse(
                self._client, "GET", f"{self._path}/stream", headers=headers, timeout=timeout
            ) as stream:
                if stream.response.is_error:
                    await stream.response.aread()
                _check(stream.response)
                if stream.response.status_code == httpx.codes.NO_CONTENT:
                    return  # the end was seen
                async for message in stream.aiter_sse():
                    yield message
        except SSEError:  # one of the others, by its class
            raise NotWatched(f"{_name_of(self._client)} is no Runwright server") from None
        except httpx.TransportError as error:
            raise _Unreachable from error

    async def cancel(self) -> None:
        """Ask the server for its cancellation until it has heard. Raises `NotCancelled`."""
        while True:
            try:
                response = await self._client.post(f"{self._path}/cancel")
                if response.status_code != httpx.codes.CONFLICT:  # it has ended; its events tell
                    _check(response)
                return
            except NotWatched as refused:
                raise NotCancelled(str(refused)) from None
            except (_Unreachable, httpx.TransportError):
                await asyncio.sleep(PAUSE)

    async def record(self) -> dict[str, Any]:
        """Its record, asked for again for a while where it cannot be read.

        Raises `Detached` and `NotWatched`.
        """
        deadline = time.monotonic() + SILENCE_LIMIT
        while True:
            try:
                response = await self._client.get(self._path)
                _check(response)
                record: dict[str, Any] = response.json()
                return record
            except (_Unreachable, httpx.TransportError, ValueError):
                if time.monotonic() > deadline:
                    raise Detached(self.run_id) from None
                await asyncio.sleep(PAUSE)

    async def leave(self) -> str:
        """Let the server have it."""
        hint = f"run {self.run_id} is to be cancelled at {_name_of(self._client)}"
        return f"{hint}; `runwright watch {self.run_id}` shows it"


def _check(response: httpx.Response) -> None:
    """Raises `_Unreachable` for what may pass by itself, `NotWatched` for what will not."""
    passing = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)
    if response.is_server_error or response.status_code in passing:
        raise _Unreachable
    if response.is_error:
        raise NotWatched(_refusal(response))


def _refusal(response: httpx.Response) -> str:
    if response.status_code != httpx.codes.UNAUTHORIZED:
        return f"the server refused: {_detail(response)}"
    server = f"the server at {response.request.url.copy_with(raw_path=b'/', userinfo=b'')}"
    if "x-api-key" in response.request.headers:
        return f"the key in RUNWRIGHT_API_KEY is not one of {server}; its keeper can make you one"
    return f"{server} has keys; set RUNWRIGHT_API_KEY to yours (`runwright key new NAME` makes one)"


def _detail(response: httpx.Response) -> str:
    """What a problem says of itself; what is none has only its status."""
    try:
        problem = response.json()
        return str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, AttributeError):
        return f"{response.status_code} {response.reason_phrase}"


def _event(message: "ServerSentEvent") -> Event | None:
    """The event of the run in a message, as it is in a process; None for what has no number.

    Raises `NotWatched` for what this version does not read.
    """
    if not message.data or message.event in ("heartbeat", "step.progress"):
        return None
    try:
        sent = message.json()
    except ValueError as error:
        raise NotWatched(f"the server sent an event of another form ({error!r})") from None
    return _as_event(sent)


def _delta(message: "ServerSentEvent") -> AnswerDelta:
    """The next words of the answer in a message. Raises `NotWatched`."""
    try:
        sent = message.json()
        return AnswerDelta(text=str(sent["text"]), offset=int(sent["offset"]))
    except (ValueError, KeyError, TypeError) as error:
        raise NotWatched(f"the server sent an answer of another form ({error!r})") from None


def _as_event(sent: Any) -> Event:
    """An event that a server tells, as it is in a process. Raises `NotWatched`."""
    try:
        data = sent["data"]
        times = {name: _epoch(data[name]) for name in TIMES if data.get(name)}
        return Event(
            id=sent["id"],
            type=sent["type"],
            at=_epoch(sent["time"]),
            node=sent["node"],
            step=sent["step"],
            attempt=sent["attempt"],
            generation=sent["generation"],
            data={**data, **times},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotWatched(f"the server sent an event of another form ({error!r})") from None


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
