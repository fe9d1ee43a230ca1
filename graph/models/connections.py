"""The connections of LiteLLM: no answer leads a call elsewhere, and none is read unchecked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx

from graph.models.answers import SeenStream, checked, expected, is_stream
from graph.models.failures import leads_elsewhere, redirected


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
