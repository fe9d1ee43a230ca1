"""The connections of LiteLLM: no answer leads a call elsewhere, and none is read unchecked.

What a provider's answer is held to before its client reads it, whole or as it is streamed, is here:
clients read what they are told: an error in an answer of status 200 as a fault of the request, and
`true` tokens as one. What they are not told they make up: an end where a connection was closed in
the middle, and tokens that they count for themselves.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx

from graph.models.calls import leads_elsewhere, redirected
from nodes.planning.model import ModelFailure, is_count

#: Where providers tell what a call took.
_USAGE = ("usage", "usageMetadata")
_LOOSE_COUNTS = ("prompt_eval_count", "eval_count")  # Ollama's, beside the answer itself

_COUNT = re.compile(r"token|count", re.IGNORECASE)

_MOST_DIGITS = 20  # of an integer that is read as one; beyond 64 bits all are the same


def checked(raw: bytes) -> bytes:
    """The body of an answer, its usage zero, which is "not told", where that cannot be.

    Raises `ModelFailure` for one that holds an error. What is no JSON object is for the client.
    """
    try:
        body = json.loads(raw, parse_int=_integer)
    except (ValueError, RecursionError):
        return raw
    if holds_error(body):
        raise ModelFailure("error_in_answer", transient=True)
    if not isinstance(body, dict):
        return raw
    changed = _without_empty_error(body)
    return json.dumps(body).encode() if _without_impossible_usage(body) or changed else raw


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float("inf")


def holds_error(body: Any) -> bool:
    """Whether an answer, or a part of one, says that something went wrong."""
    if isinstance(body, list):
        return any(map(holds_error, body))
    if not isinstance(body, dict):
        return False
    if body.get("error") or body.get("errors") or "error" in (body.get("type"), body.get("object")):
        return True
    choices = body.get("choices")
    return isinstance(choices, list) and any(map(_failed, choices))


def _failed(choice: Any) -> bool:
    """Whether a choice ended in the middle, as those who pass calls on to others tell it."""
    return isinstance(choice, dict) and bool(
        choice.get("error") or choice.get("finish_reason") == "error"
    )


def _without_empty_error(body: dict[str, Any]) -> bool:
    """Take out an error that says nothing, which clients take for one; whether there was one."""
    if "error" not in body:
        return False
    del body["error"]
    return True


def _without_impossible_usage(body: dict[str, Any]) -> bool:
    """Set what cannot be to zero, with all that is told beside it; whether that was needed."""
    changed = body.get("type") == "message" and "usage" not in body  # as Anthropic must tell it
    if changed:
        body["usage"] = {}
    for name in _USAGE:
        if name in body and not can_be(body[name]):
            usage = body[name] if isinstance(body[name], dict) else {}
            body[name] = {key: 0 for key in usage if _COUNT.search(key) and "etails" not in key}
            changed = True
    # Where one is missing the client would count for itself.
    if "done" in body and not all(is_count(body.get(name)) for name in _LOOSE_COUNTS):
        body.update(dict.fromkeys(_LOOSE_COUNTS, 0))
        changed = True
    return changed


def can_be(usage: Any) -> bool:
    """Whether what a provider says of the tokens of a call can be."""
    return isinstance(usage, dict) and _counts_can_be(usage, "") and _parts_can_be(usage)


def _counts_can_be(value: Any, name: str) -> bool:
    if isinstance(value, dict | list) and _COUNT.search(name) and "etails" not in name:
        return False
    if isinstance(value, dict):
        return all(_counts_can_be(item, key) for key, item in value.items())
    if isinstance(value, list):
        return all(_counts_can_be(item, name) for item in value)
    return value is None or not _COUNT.search(name) or is_count(value)


def _parts_can_be(usage: dict[str, Any]) -> bool:
    """Whether no part, such as `prompt_tokens_details.cached_tokens`, is larger than its whole."""
    for name, whole in usage.items():
        parts = usage.get(f"{name}_details")
        if not isinstance(parts, dict):
            continue
        counts = [part for key, part in parts.items() if _COUNT.search(key) and part is not None]
        if any(not isinstance(part, int | float) or part > (whole or 0) for part in counts):
            return False
    return True


#: The largest message of a stream, in bytes.
LONGEST_LINE = 4 * 2**20

_STREAMS = ("text/event-stream", "application/x-ndjson", "application/json-lines")

#: By these names providers count what was read, and what was written.
_READ = frozenset({"prompt_tokens", "input_tokens", "promptTokenCount", "prompt_eval_count"})
_WRITTEN = frozenset({"completion_tokens", "output_tokens", "candidatesTokenCount", "eval_count"})

_COUNTS = _READ | _WRITTEN


@dataclass
class StreamFacts:
    """What was seen of a stream: how it counts, and whether it came to the end that it says.

    `known` says whether it is of a form that is read here; of another nothing is known.
    """

    known: bool = False
    ended: bool = False
    refused: bool = False
    impossible: bool = False
    counts: set[str] = field(default_factory=set)

    @property
    def told_usage(self) -> bool:
        """Whether the provider has said how much was read and written."""
        both = bool(self.counts & _READ) and bool(self.counts & _WRITTEN)
        return both and not self.impossible

    @property
    def is_cut(self) -> bool:
        """Whether it ended in the middle."""
        return self.known and not self.ended

    def see(self, line: bytes) -> None:
        """Take notice of a line. Raises `ModelFailure` where it is an error."""
        payload = line.strip().removeprefix(b"data:").strip()
        if not payload.startswith(b"{"):
            return
        try:
            body = json.loads(payload)
        except (ValueError, RecursionError):
            return  # which is for the client
        if holds_error(body):
            raise ModelFailure("error_in_answer", transient=True)
        self._see_end(body)
        message = body.get("message")
        for part in (body, message if isinstance(message, dict) else {}):
            for name in ("usage", "usageMetadata"):
                if part.get(name):
                    self._see_usage(part[name])
        if body.get("done") is True:
            self._see_usage({name: body[name] for name in _COUNTS if name in body})

    def _see_end(self, body: Mapping[str, Any]) -> None:
        choices, candidates, kind = body.get("choices"), body.get("candidates"), body.get("type")
        if isinstance(choices, list):  # OpenAI, and all who speak its language
            self.known = self.known or bool(choices)
            parts = [one for one in choices if isinstance(one, dict)]
            self.ended = self.ended or any(one.get("finish_reason") for one in parts)
            deltas = (one.get("delta") for one in parts)
            self.refused = self.refused or any(
                isinstance(one, dict) and one.get("refusal") for one in deltas
            )
        elif isinstance(candidates, list):  # Gemini
            parts = [one for one in candidates if isinstance(one, dict)]
            self.known = True
            self.ended = self.ended or any(one.get("finishReason") for one in parts)
        elif kind in ("message_start", "message_stop"):  # Anthropic
            self.known = True
            self.ended = self.ended or kind == "message_stop"
        elif isinstance(body.get("done"), bool):  # Ollama
            self.known = True
            self.ended = self.ended or body["done"]

    def _see_usage(self, usage: Any) -> None:
        if not can_be(usage):
            self.impossible = True
            return
        self.counts |= {name for name in _COUNTS & usage.keys() if is_told(usage[name])}


def is_told(count: object) -> bool:
    """Whether it is a number of tokens; zero is how some say that they do not know."""
    return bool(is_count(count) and count)


#: The facts of the stream that the running call waits for; None where its answer comes whole.
expected: ContextVar[StreamFacts | None] = ContextVar("expected_stream", default=None)


def is_stream(response: httpx.Response) -> bool:
    """Whether an answer comes part by part, in a form that can be looked at."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in _STREAMS and "content-encoding" not in response.headers


class SeenStream(httpx.AsyncByteStream):
    """The parts of an answer, each handed on as soon as its lines were looked at."""

    def __init__(self, stream: httpx.AsyncByteStream, facts: StreamFacts) -> None:
        self._stream = stream
        self._facts = facts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The parts as they come. Raises `ModelFailure` where one holds an error."""
        begun = bytearray()
        async for part in self._stream:
            begun += part
            *lines, begun = begun.split(b"\n")
            for line in lines:
                self._facts.see(bytes(line))
            if len(begun) > LONGEST_LINE:
                raise ModelFailure("malformed_answer", transient=True)
            yield part
        self._facts.see(bytes(begun))

    async def aclose(self) -> None:
        """Close what the parts come from."""
        await self._stream.aclose()


@dataclass
class _Session:
    """What the calls of one event loop share.

    `handler` has the client of OpenAI's SDK, which LiteLLM takes from a setting. `next_call` is
    held by the call that is next.
    """

    loop: asyncio.AbstractEventLoop
    handler: Any
    next_call: asyncio.Lock = field(default_factory=asyncio.Lock)


_session: _Session | None = None

#: What ends the call when its time is up.
_deadline: ContextVar[asyncio.Timeout | None] = ContextVar("model_deadline", default=None)


@asynccontextmanager
async def paced_call(litellm: Any, timeout: float) -> AsyncIterator[None]:
    """The time of a call, of so many seconds. Raises `TimeoutError` when it is over.

    To prepare a request, and to read an answer, holds the event loop for milliseconds: one call at
    a time does so, and others of the loop have their turn before the next. Waiting for that is none
    of the call's time.
    """
    connect(litellm)
    await _next()
    async with asyncio.timeout(timeout) as deadline:
        token = _deadline.set(deadline)
        try:
            yield
        finally:
            _deadline.reset(token)


async def _next() -> None:
    """Wait until a call may go on."""
    assert _session is not None
    async with _session.next_call:
        await asyncio.sleep(0)


def hold_clients(litellm: Any) -> None:
    """See to it that every HTTP client which LiteLLM makes for a call follows no redirect.

    A redirect would send key and prompt to a place of the answer's choice. LiteLLM keeps the
    clients that it makes in a cache of its own, which can be replaced; OpenAI's SDK is given one
    by `connect`.
    """
    cache: Any = type(litellm.in_memory_llm_clients_cache)
    handlers = type(litellm.module_level_aclient), type(litellm.module_level_client)

    class HeldClients(cache):  # type: ignore[misc]  # known only when LiteLLM is loaded
        """Clients as they are made, and held from their first call on."""

        def set_cache(self, key: str, value: object, *rest: Any, **named: Any) -> Any:
            if isinstance(value, handlers):
                _hold(value)
            return super().set_cache(key, value, *rest, **named)

    litellm.in_memory_llm_clients_cache = HeldClients()
    # Made before any call, and in no cache.
    _hold(litellm.module_level_aclient)
    _hold(litellm.module_level_client)


def connect(litellm: Any) -> None:
    """Give OpenAI's SDK, and all that speak its language, the client of the running event loop."""
    global _session
    loop = asyncio.get_running_loop()
    if _session is None or _session.loop is not loop:
        handler = type(litellm.module_level_aclient)()
        _hold(handler)
        _session = _Session(loop, handler)
        # Through this one goes what is streamed; it would be of the loop that used it first.
        litellm.module_level_aclient = handler
    litellm.aclient_session = _session.handler.client


async def disconnect(litellm: Any) -> None:
    """Close what `connect` has made for this event loop."""
    global _session
    if _session is not None and _session.loop is asyncio.get_running_loop():
        await _session.handler.close()
        _session = litellm.aclient_session = None


def _hold(handler: Any) -> None:
    """Hold a handler's client, and those by which it replaces it."""
    client = handler.client
    handler.follow_redirects = client.follow_redirects = False
    if isinstance(client, httpx.AsyncClient):
        handler.event_hooks = client.event_hooks = {"response": [_check]}


async def _check(response: httpx.Response) -> None:
    """Replace the body of an answer by the `checked` one, or have a stream looked at as it comes.

    Raises `ModelFailure`.
    """
    if leads_elsewhere(response):  # before anybody looks at the place
        raise redirected(response)
    if not response.is_success:
        return
    facts = expected.get()
    if facts is not None and is_stream(response):
        response.stream = SeenStream(response.stream, facts)  # type: ignore[arg-type]  # it is an async one
        return
    raw = b"".join([part async for part in response.stream])  # type: ignore[union-attr]  # it is an async one
    await response.stream.aclose()  # type: ignore[union-attr]
    body = httpx.Response(response.status_code, headers=response.headers, content=raw).content
    response.headers.pop("content-encoding", None)
    response.stream = httpx.ByteStream(checked(body))
    if (deadline := _deadline.get()) is not None:
        deadline.reschedule(None)  # it is here in time
        await _next()
