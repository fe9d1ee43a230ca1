"""Who may talk to the server, and when.

Web pages must not, and with keys only who has one, or a session. Requests take turns: who has
most of the event loop waits while others are there.
"""

import logging
import re
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, cast

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from api.middleware.places import ALIVE, network
from graph.queue.share import METER, LoopShare, Meter, Metered
from graph.settings import InvalidSettings, Settings
from graph.settings.configured import DEFAULT_OWNER, KeyRing

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

#: Where LangGraph's protocol is, whose bodies are JSON whatever they are said to be.
PLAIN_JSON = "/lg/"

#: Methods that change nothing; a page of another site cannot read their answers anyway.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_HOST = re.compile(
    r"(?P<name>\[[0-9a-f:.]+\]|[^\s,:/@\[\]]+)(:(?P<port>[0-9]{1,5}))?", re.IGNORECASE
)

#: The last of the ports.
_PORTS = 65_535


class HostRefused(Exception):
    """The request was made to a name that is not ours, as a page behind DNS rebinding does."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host


class OriginRefused(Exception):
    """A page of another site tried to change something."""

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self.origin = origin


class NotJson(Exception):
    """The body is not declared as JSON; a form of another site can only send other types."""

    def __init__(self, content_type: str) -> None:
        super().__init__(content_type)
        self.content_type = content_type


class Loopback:
    """Admits requests to loopback and `allowed_hosts` names that no foreign page can have made.

    `"*"` in `allowed_hosts` admits every name, for a server behind a proxy that checks it. Pages of
    `allowed_origins` are not foreign.
    Raises `HostRefused`, `OriginRefused` or `NotJson` before the application sees the request.
    """

    def __init__(
        self,
        app: ASGIApp,
        allowed_hosts: Collection[str] = (),
        allowed_origins: Collection[str] = (),
    ) -> None:
        self.app = app
        self.origins = frozenset(allowed_origins)
        self.names = LOOPBACK_NAMES | {name.lower() for name in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            self._check_host(headers)
            if scope["method"] not in SAFE_METHODS:
                allowed = headers.get("origin") in self.origins
                if not allowed:
                    _check_origin(headers)
                if not (allowed and _is_plain_json(scope["path"], headers)):
                    _check_content_type(headers)
        await self.app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        host = ", ".join(headers.getlist("host"))
        parsed = _HOST.fullmatch(host)
        if (
            parsed is None
            or int(parsed["port"] or 0) > _PORTS
            or not {parsed["name"].lower(), "*"} & self.names
        ):
            raise HostRefused(host)


def _check_origin(headers: Headers) -> None:
    origin = headers.get("origin")
    if origin is not None:
        # The scheme is not compared: behind a proxy that ends TLS we cannot know ours.
        _, _, host = origin.partition("://")
        if host.lower() != headers["host"].lower():
            raise OriginRefused(origin)
    # Browsers send it even where they leave the origin out; other clients send neither.
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise OriginRefused(origin or headers["sec-fetch-site"])


def _is_plain_json(path: str, headers: Headers) -> bool:
    """Whether it is JSON that a page calls text, so that the browser need not ask before.

    Studio does so; it is believed of pages that may call anyway, and of no other client.
    """
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return path.startswith(PLAIN_JSON) and media_type == "text/plain"


def _check_content_type(headers: Headers) -> None:
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    content_type = headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise NotJson(content_type)


# Sessions of the page: what a browser holds instead of a key.
#
# They are random tokens in memory. A signed token would need a secret that outlives the process,
# and could not be taken back; these end with a logout, with the process, and after a time without a
# call.


#: The cookie that holds the token. Other servers of the same host see it, as browsers have it.
COOKIE = "runwright_session"

#: How long a session lasts without a call, in seconds, and how many there may be: beyond that the
#: one that was used longest ago ends.
LIFETIME, MOST = 12 * 3600.0, 1_000


class Sessions:
    """The sessions of one server. Tokens are kept as hashes: memory that leaks opens nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._owners: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def open(self, owner: str) -> str:
        """A new session of an owner; its token."""
        token = secrets.token_urlsafe(32)
        self._owners[_digest(token)] = (owner, self._clock())
        while len(self._owners) > self._most:
            self._owners.popitem(last=False)
        return token

    def owner(self, token: str) -> str | None:
        """Whose session it is, None where it is none any more; it is used by that."""
        digest, now = _digest(token), self._clock()
        owner, used = self._owners.get(digest, ("", 0.0))
        if not owner:
            return None
        if now - used > LIFETIME:
            del self._owners[digest]
            return None
        self._owners[digest] = (owner, now)
        self._owners.move_to_end(digest)
        return owner

    def close(self, token: str) -> None:
        """End a session, if it is one."""
        self._owners.pop(_digest(token), None)

    def owner_of(self, method: str, headers: Headers) -> str | None:
        """Whose session a request of the page comes with; of another page's it does not count."""
        token = token_in(headers)
        return self.owner(token) if token and _is_own_page(method, headers) else None


def token_in(headers: Headers) -> str:
    """The token that a request comes with, or nothing."""
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _is_own_page(method: str, headers: Headers) -> bool:
    """Whether a browser says that the request is of a page of ours.

    `SameSite` does not tell: a page on another port of the same host is of the same site. Where a
    browser leaves out `Sec-Fetch-Site`, without TLS, what changes something has an origin.
    """
    site = headers.get("sec-fetch-site")
    if method in SAFE_METHODS:
        return site in (None, "same-origin", "none")
    if site is not None:
        return site == "same-origin"
    _, _, host = headers.get("origin", "").partition("://")
    return bool(host) and host.lower() == headers.get("host", "").lower()


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


# Who calls: with keys, anonymous callers are shown the health and the documentation only.


#: Where a request keeps whose it is; an anonymous caller's has None.
OWNER = "runwright.owner"

#: How records name a caller whom the server knows by no key.
CLIENT = "client"

#: Where anonymous callers come in: the page, which has no data, and what they may know; `/metrics`
#: has a rule of its own.
_OPEN = re.compile(
    r"/|/console/.*|/session|/health(/.*)?|/docs(/.*)?|/openapi\.json|/metrics|/lg/(info|ok)"
)


class KeyRefused(Exception):
    """No key came with the request, or one that is none of ours; it is kept nowhere."""

    def __init__(self, *, given: bool) -> None:
        super().__init__("not one of the keys" if given else "no key")
        self.given = given


def is_open(path: str) -> bool:
    """Whether anonymous callers are answered at `path`."""
    return _OPEN.fullmatch(path) is not None


class Authentication:
    """Notes in every request whose it is, by its key; without keys it is nobody's in particular.

    Where no key comes with it, one of `sessions` does as well, if it is a request of our page.
    Raises `KeyRefused` ahead of everything that reads the request, also for what does not exist.
    """

    def __init__(self, app: ASGIApp, keys: KeyRing, sessions: Sessions | None = None) -> None:
        self.app = app
        self._keys = keys or None  # most servers have none
        self._sessions = sessions or Sessions()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # Into the same scope, so that who is outside sees which route has answered.
            scope[OWNER] = self._owner(scope)
        await self.app(scope, receive, send)

    def _owner(self, scope: Scope) -> str | None:
        if self._keys is None:
            return DEFAULT_OWNER
        headers = Headers(scope=scope)
        if given := _given(headers):
            owner = self._keys.owner(given)
        else:
            owner = self._sessions.owner_of(scope["method"], headers)
        if owner is None and not is_open(scope["path"]):
            raise KeyRefused(given=bool(given))
        return owner


def _given(headers: Headers) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()


# Who could reach a server where it is to listen.


_log = logging.getLogger("runwright.server")


def check_exposure(settings: Settings) -> None:
    """Raises `InvalidSettings` where others than this machine could reach a server without keys.

    Warns where somebody may have meant to set the keys, and has set that of a client.
    """
    if settings.api_key and not settings.api_keys:
        _log.warning(
            "RUNWRIGHT_API_KEY is what commands send; this server asks for no key, since"
            " RUNWRIGHT_API_KEYS is not set"
        )
    if settings.api_keys or settings.open_to_all or only_loopback(settings.host):
        return
    raise InvalidSettings(
        f"without keys the server listens on loopback only, not on {settings.host}; make a key with"
        " `runwright key new NAME` and set RUNWRIGHT_API_KEYS, or let everybody who reaches it in"
        " with RUNWRIGHT_OPEN_TO_ALL=true"
    )


def only_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True  # nothing can listen there, as is told by who tries
    addresses = [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
    return all(address.is_loopback for address in addresses)


# When a request is let in: by how much of the event loop its owner has had.


class CountedTime:
    """Counts how long the loop works for a request, with all that is done to answer it."""

    def __init__(self, app: ASGIApp, share: LoopShare) -> None:
        self._app = app
        self._share = share

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        METER.set(meter := Meter(self._share))  # each request is served in a context of its own
        try:
            # What every middleware returns is a coroutine.
            answering = cast("Coroutine[Any, Any, None]", self._app(scope, receive, send))
            await Metered(answering, meter)
        finally:
            meter.end()


class RefusedTurns:
    """Lets an anonymous caller who is refused wait for the turn of his address to be told so."""

    def __init__(self, app: ASGIApp, share: LoopShare) -> None:
        self._app = app
        self._share = share

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except (HostRefused, OriginRefused, NotJson, KeyRefused):
            await _turn(self._share, scope)
            raise


class Turns:
    """Lets a request in when it is the turn of its owner; that for `ALIVE` at once."""

    def __init__(self, app: ASGIApp, share: LoopShare) -> None:
        self._app = app
        self._share = share

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != ALIVE:
            await _turn(self._share, scope)
        await self._app(scope, receive, send)


async def _turn(share: LoopShare, scope: Scope) -> None:
    if (meter := METER.get()) is None:
        return
    if owner := scope.get(OWNER):
        meter.assign(share.of(owner))
    else:
        client = scope.get("client")
        meter.assign(share.of_anonymous(network(client[0]) if client else ""))
    await share.turn()
