"""Posts what happened to runs, signed as Standard Webhooks has it (standardwebhooks.com).

Each message is posted at least once, in the order of its run, for a day.
"""

import asyncio
import base64
import hmac
import json
import logging
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import httpx

from graph.runs.context import RunNotFound
from graph.settings.configured import WebhookSettings, origin_of
from graph.state import RunState, Status
from graph.state.status import SETTLED_OR_WAITING
from graph.state.wording import printable, rfc3339
from graph.storage.outbox import Delivery
from graph.storage.storage import Storage, StorageUnavailable
from graph.telemetry.metrics import Metrics

logger = logging.getLogger("runwright.webhooks")

#: Waits before further attempts, in seconds; the last one is repeated.
BACKOFF = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)

#: How long a message is tried, and one attempt at it may take, in seconds.
TRIED, TIMEOUT = 86_400.0, 10.0

#: How many are posted at once.
AT_ONCE = 8

#: How long nothing is looked for where nothing is due, in seconds; what happens here wakes it.
IDLE = 60.0

#: The shortest secret, in bytes, as the standard wants it.
SHORTEST_SECRET = 24


class WebhookUnsigned(Exception):
    """The secret of a webhook is missing or too short; the message says which."""


class NotPosted(Exception):
    """An attempt that had no success; `lasting` where no further one can have it."""

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting


@dataclass(frozen=True)
class Endpoint:
    """Where is posted, and what it is signed with."""

    configured: WebhookSettings
    secret: bytes


def make_endpoints(
    configured: Sequence[WebhookSettings], environment: Mapping[str, str] = os.environ
) -> list[Endpoint]:
    """The endpoints with their secrets. Raises `WebhookUnsigned`."""
    return [Endpoint(one, _secret(one, environment)) for one in configured]


def _secret(one: WebhookSettings, environment: Mapping[str, str]) -> bytes:
    text = environment.get(one.secret_env, "").strip()
    encoded = text.removeprefix("whsec_")
    try:
        secret = base64.b64decode(encoded, validate=True) if encoded != text else text.encode()
    except ValueError:
        secret = b""
    if len(secret) < SHORTEST_SECRET:
        raise WebhookUnsigned(
            f"the webhook {one.url} needs a secret of {SHORTEST_SECRET} bytes or more in"
            f" {one.secret_env}, as whsec_ and base64"
        )
    return secret


class WebhookSender:
    """Posts what the outbox has; `read` reads a run, `changed` is told whose record has changed."""

    def __init__(
        self,
        storage: Storage,
        endpoints: Sequence[Endpoint],
        metrics: Metrics,
        read: Callable[[str], Awaitable[RunState]],
        changed: Callable[[str], None],
    ) -> None:
        self._storage = storage
        self._outbox = storage.outbox
        self._by_url = {one.configured.url: one for one in endpoints}
        self._by_origin = {origin_of(one.configured.url): one for one in endpoints}
        self._metrics = metrics
        self._read = read
        self._changed = changed
        self._woken = asyncio.Event()

    def notice(self, state: RunState) -> None:
        """Look for something to be posted soon, where a run has come to its end or waits."""
        if state["status"] in SETTLED_OR_WAITING:
            self._woken.set()

    async def work(self) -> None:
        """Post until cancelled."""
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
            while True:
                self._woken.clear()
                try:
                    with self._storage.available():
                        due = await self._outbox.due(time.time(), limit=AT_ONCE)
                        await asyncio.gather(*(self._deliver(client, one) for one in due))
                        pause = 0.0 if due else await self._pause()
                except StorageUnavailable:
                    pause = BACKOFF[0]
                if pause:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._woken.wait()

    async def _pause(self) -> float:
        due = await self._outbox.next_due()
        return IDLE if due is None else min(IDLE, max(0.05, due - time.time()))

    async def _deliver(self, client: httpx.AsyncClient, one: Delivery) -> None:
        try:
            await self._post(client, one)
        except NotPosted as failed:
            reason, wait = str(failed), _wait(one.attempts)
            told = {"run_id": one.run_id, "url": one.endpoint, "error": reason}
            if failed.lasting or time.time() + wait > one.at + TRIED:
                await self._outbox.give_up(one.number, failure=reason)
                self._metrics.webhooks.labels("given_up").inc()
                logger.error("webhook given up", extra=told)
            else:
                until = time.time() + wait
                await self._outbox.postpone(one.number, until=until, failure=reason)
                self._metrics.webhooks.labels("failed").inc()
                logger.warning("webhook failed", extra=told)
            self._changed(one.run_id)
        else:
            await self._outbox.delivered(one.number)
            self._metrics.webhooks.labels("delivered").inc()
            if one.attempts:
                self._changed(one.run_id)

    async def _post(self, client: httpx.AsyncClient, one: Delivery) -> None:
        """Raises `NotPosted`, and what the storage raises."""
        endpoint = self._by_url.get(one.endpoint) or self._by_origin.get(origin_of(one.endpoint))
        if endpoint is None:
            raise NotPosted("it is configured no more", lasting=True)
        try:
            state = await self._read(one.run_id)
        except RunNotFound:  # it was removed, and nobody can be told of it
            return
        body = json.dumps(message(one, state), ensure_ascii=False).encode()
        headers = signed(one, body, endpoint.secret, at=int(time.time()))
        url, host = await _located(one.endpoint, allow_private=endpoint.configured.allow_private)
        try:
            async with client.stream(
                "POST",
                url,
                content=body,
                headers={**headers, "host": host},
                extensions={"sni_hostname": urlsplit(one.endpoint).hostname or ""},
            ) as answer:  # whose body is nobody's
                status = answer.status_code
        except httpx.HTTPError as error:
            raise NotPosted(type(error).__name__) from None
        if not 200 <= status < 300:
            raise NotPosted(f"it answered {status}", lasting=status == httpx.codes.GONE)


def message(one: Delivery, state: RunState) -> dict[str, Any]:
    """What is posted: the change, and what the run says of itself, no prompt and no output.

    Of an error that is its kind: its words may quote the prompt.
    """
    data: dict[str, Any] = {
        "run_id": one.run_id,
        "thread_id": state.get("thread_id", one.run_id),
        "owner": state["owner"],
        "status": one.status,
        "metadata": state.get("metadata", {}),
    }
    if state["status"] == one.status:  # it has not gone on since
        error, result = state["error"], state["result"]
        data["error"] = error and {
            name: error[name] for name in ("type", "step", "reason") if error.get(name) is not None
        }
        data["summary"] = result["summary"] if result else None
    return {"type": f"run.{one.status}", "timestamp": rfc3339(one.at), "data": data}


def signed(one: Delivery, body: bytes, secret: bytes, *, at: int) -> dict[str, str]:
    """The headers of a message; `at` in epoch seconds. The id is the same at every attempt."""
    name = f"msg_{one.run_id}_{one.number}"
    digest = hmac.new(secret, f"{name}.{at}.".encode() + body, sha256).digest()
    return {
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        "content-type": "application/json",
        "user-agent": "runwright",
    }


async def _located(url: str, *, allow_private: bool) -> tuple[str, str]:
    """The address by number, which was looked at, and the host that it is asked for.

    A name could stand for another address a moment later. Raises `NotPosted`.
    """
    parts = urlsplit(url)
    _, host, port = origin_of(url)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotPosted(f"its host is not found: {printable(str(error.strerror))}") from None
    addresses = [cast("str", address[0]) for *_, address in found]
    if not allow_private and not all(ip_address(one.split("%")[0]).is_global for one in addresses):
        raise NotPosted("its address is private, which its entry does not allow", lasting=True)
    number = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
    return urlunsplit((parts.scheme, f"{number}:{port}", parts.path, parts.query, "")), parts.netloc


def _wait(attempts: int) -> float:
    """Before the next attempt, in seconds; scattered, so that an endpoint is not met by all."""
    return BACKOFF[min(attempts, len(BACKOFF) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


def subscriptions(configured: Sequence[WebhookSettings]) -> dict[str, list[Status]]:
    """Which changes each endpoint is told."""
    told: dict[str, list[Status]] = {}
    for one in configured:
        statuses = [cast("Status", event.removeprefix("run.")) for event in one.events]
        told.setdefault(one.url, []).extend(statuses)
    return told


@asynccontextmanager
async def sending(sender: WebhookSender | None) -> AsyncIterator[None]:
    """Post for as long as the context lasts; what is left is posted by the next process."""
    if sender is None:
        yield
        return
    task = asyncio.create_task(sender.work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
