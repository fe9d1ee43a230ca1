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
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import httpx

from graph.record.generations import trace_id_of
from graph.runs.context import RunNotFound
from graph.settings.configured import WebhookSettings, origin_of, site_of
from graph.state import RunState, Status
from graph.state.status import SETTLED_OR_WAITING
from graph.state.wording import printable, rfc3339
from graph.storage.records import Delivery
from graph.storage.storage import Storage, StorageUnavailable
from graph.telemetry.metrics import Metrics

logger = logging.getLogger("runwright.webhooks")

#: Waits before further attempts, in seconds; the last one is repeated.
BACKOFF = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)

#: How long a message is tried, and one attempt at it may take, in seconds.
TRIED, TIMEOUT = 86_400.0, 10.0

#: How many are posted at once to one host, so that a slow one holds up nothing but its own, and how
#: many are looked for at once.
PER_HOST, LOOKED_FOR = 4, 32

#: A look past what waits for busy hosts reads all of that: after one that took a second, there is
#: none for so many seconds.
SPARED = 10.0

#: How long nothing is looked for where nothing is due, in seconds; what happens here wakes it.
IDLE = 60.0

#: The same where other processes settle runs, of which nothing wakes it.
IDLE_IN_FLEET = 1.0

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
            f"the webhook at {site_of(one.url)} needs a secret of {SHORTEST_SECRET} bytes or more"
            f" in {one.secret_env}, as whsec_ and base64"
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
        self._posting: dict[int, asyncio.Task[None]] = {}
        self._busy: Counter[tuple[str, str, int]] = Counter()
        self._client: httpx.AsyncClient | None = None
        self._spared_until = 0.0

    def notice(self, state: RunState) -> None:
        """Look for something to be posted soon, where a run has come to its end or waits."""
        if state["status"] in SETTLED_OR_WAITING:
            self._woken.set()

    async def work(self) -> None:
        """Post until cancelled."""
        try:
            while True:
                self._woken.clear()
                pause = await self._begin_due()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()
        finally:
            posting = [*self._posting.values()]
            for task in posting:
                task.cancel()
            if posting:
                await asyncio.wait(posting)
            if self._client:
                await self._client.aclose()

    async def _begin_due(self) -> float:
        """Begin what is due at hosts that are not busy; the pause until more is, in seconds.

        What ends meanwhile ends the pause.
        """
        now, busy = time.time(), set[str]()
        begun: float | None = None
        try:
            with self._storage.available():
                more = True
                while more:
                    if busy and begun is None:
                        begun = time.monotonic()
                        if begun < self._spared_until:
                            return self._spared_until - begun
                    posting = {*self._posting}  # one of them may end while the others are found
                    limit = LOOKED_FOR + len(posting)
                    found = await self._outbox.due(now, limit=limit, without=busy)
                    for one in found:
                        if one.number not in posting and not self._begin(one):
                            busy.add(_beginning(one.endpoint))
                    more = len(found) == limit
                if begun is not None:
                    ended = time.monotonic()
                    self._spared_until = ended + SPARED * (ended - begun)
                due = await self._outbox.next_due(after=now)
        except StorageUnavailable:
            return BACKOFF[0]
        except Exception:
            logger.exception("what is to be posted was not found")
            return BACKOFF[0]
        idle = IDLE_IN_FLEET if self._storage.fleet else IDLE
        return idle if due is None else min(idle, max(0.0, due - time.time()))

    def _begin(self, one: Delivery) -> bool:
        """Have one posted, unless its host is busy or another process's; whether it is posted."""
        origin = origin_of(one.endpoint)
        if self._busy[origin] >= PER_HOST or self._is_of_another(one):
            return False
        self._busy[origin] += 1
        task = self._posting[one.number] = asyncio.create_task(self._deliver(one))
        task.add_done_callback(lambda _: self._end(one.number, origin))
        return True

    def _is_of_another(self, one: Delivery) -> bool:
        """Whether one is left for a day to a process that may have its endpoint configured."""
        young = time.time() < one.at + TRIED
        return self._storage.fleet is not None and young and self._endpoint(one) is None

    def _endpoint(self, one: Delivery) -> Endpoint | None:
        return self._by_url.get(one.endpoint) or self._by_origin.get(origin_of(one.endpoint))

    def _end(self, number: int, origin: tuple[str, str, int]) -> None:
        del self._posting[number]
        self._busy[origin] -= 1
        self._woken.set()

    async def _deliver(self, one: Delivery) -> None:
        """Post one; whatever comes of it is a matter of this one alone."""
        try:
            with self._storage.available():
                if await self._outbox.take(one.number, time.time()):
                    await self._attempt(one)
        except StorageUnavailable:  # it stays due, and the storage is not asked all the time
            await asyncio.sleep(BACKOFF[0])
        except Exception:
            logger.exception("webhook not noted", extra={"run_id": one.run_id})
            await asyncio.sleep(BACKOFF[0])

    async def _attempt(self, one: Delivery) -> None:
        """Raises what the storage raises."""
        about = {"run_id": one.run_id}
        try:
            await self._post(one, about)
        except NotPosted as failed:
            await self._note_failure(one, failed, about)
        except Exception as error:
            if isinstance(error, (StorageUnavailable, *self._storage.errors)):
                raise
            logger.exception("webhook failed unexpectedly", extra=about)
            await self._note_failure(one, NotPosted(type(error).__name__), about)
        else:
            await self._outbox.delivered(one)
            self._metrics.webhooks.labels("delivered").inc()
            if one.attempts:
                self._changed(one.run_id)

    async def _note_failure(
        self, one: Delivery, failed: NotPosted, about: Mapping[str, str]
    ) -> None:
        reason, wait = str(failed), _wait(one.attempts)
        about = {**about, "endpoint": site_of(one.endpoint), "error": reason}
        if failed.lasting or time.time() + wait > one.at + TRIED:
            await self._outbox.give_up(one.number, failure=reason)
            self._metrics.webhooks.labels("given_up").inc()
            logger.error("webhook given up", extra=about)
        else:
            await self._outbox.postpone(one.number, until=time.time() + wait, failure=reason)
            self._metrics.webhooks.labels("failed").inc()
            logger.warning("webhook failed", extra=about)
        self._changed(one.run_id)

    async def _post(self, one: Delivery, about: dict[str, str]) -> None:
        """Raises `NotPosted`, and what the storage raises; adds what its log lines are `about`."""
        try:
            state = await self._read(one.run_id)
        except RunNotFound:  # it was removed, and nobody can be told of it
            return
        about["trace_id"] = trace_id_of(state)
        endpoint = self._endpoint(one)
        if endpoint is None:
            raise NotPosted("it is configured no more", lasting=True)
        body = json.dumps(message(one, state), ensure_ascii=False).encode()
        headers = signed(one, body, endpoint.secret, at=int(time.time()))
        allow_private = endpoint.configured.allow_private
        try:
            async with asyncio.timeout(TIMEOUT):  # its name is looked up in it, too
                status = await self._answer(one.endpoint, body, headers, allow_private)
        except TimeoutError:
            raise NotPosted("it did not answer in time") from None
        except httpx.HTTPError as error:
            raise NotPosted(type(error).__name__) from None
        except (httpx.InvalidURL, UnicodeError):
            raise NotPosted("its address cannot be asked") from None
        if not 200 <= status < 300:
            raise NotPosted(f"it answered {status}", lasting=status == httpx.codes.GONE)

    async def _answer(
        self, endpoint: str, body: bytes, headers: Mapping[str, str], allow_private: bool
    ) -> int:
        """The status that it answers. Raises `NotPosted`, `TimeoutError`, and what httpx does."""
        url, host = await _located(endpoint, allow_private=allow_private)
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)
        async with self._client.stream(
            "POST",
            url,
            content=body,
            headers={**headers, "host": host},
            extensions={"sni_hostname": _ascii(urlsplit(endpoint).hostname or "")},
        ) as answer:  # whose body is nobody's
            return answer.status_code


def _beginning(url: str) -> str:
    """Scheme and host as they are written, and what follows."""
    end = len(url.split("://")[0]) + 3 + len(urlsplit(url).netloc)
    return f"{url}/"[: end + 1]


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
    if not allow_private and not all(map(_is_public, addresses)):
        raise NotPosted("its address is private, which its entry does not allow", lasting=True)
    number = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
    return urlunsplit((parts.scheme, f"{number}:{port}", parts.path, parts.query, "")), _ascii(
        parts.netloc
    )


#: Addresses of version 6 that stand for one of version 4, which is their end.
_TRANSLATED = [ip_network("64:ff9b::/96"), ip_network("::/96")]


def _is_public(address: str) -> bool:
    """Whether it is neither of this machine nor of a private network, nor stands for such a one."""
    one: IPv4Address | IPv6Address = ip_address(address.split("%")[0])
    if isinstance(one, IPv6Address):
        translated = any(one in network for network in _TRANSLATED)
        last = IPv4Address(int(one) & 0xFFFF_FFFF) if translated else None
        one = one.ipv4_mapped or one.sixtofour or last or one
    return one.is_global and not one.is_multicast


def _ascii(name: str) -> str:
    """A name as it is asked for. Raises `UnicodeError`."""
    return name if name.isascii() else name.encode("idna").decode()


def _wait(attempts: int) -> float:
    """Before the next attempt, in seconds; scattered, so that an endpoint is not met by all."""
    return BACKOFF[min(attempts, len(BACKOFF) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311 - no secret


def subscriptions(configured: Sequence[WebhookSettings]) -> dict[str, list[Status]]:
    """Which changes each endpoint is told."""
    subscribed: dict[str, list[Status]] = {}
    for one in configured:
        statuses = [cast("Status", event.removeprefix("run.")) for event in one.events]
        subscribed.setdefault(one.url, []).extend(statuses)
    return subscribed


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
