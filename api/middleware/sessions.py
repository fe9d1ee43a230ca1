"""Sessions of the page: what a browser holds instead of a key.

They are random tokens in memory. A signed token would need a secret that outlives the process, and
could not be taken back; these end with a logout, with the process, and after a time without a call.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.requests import cookie_parser

#: The cookie that holds the token. Other servers of the same host see it, as browsers have it.
COOKIE = "runwright_session"

#: How long a session lasts without a call, in seconds, and how many there may be: beyond that the
#: one that was used longest ago ends.
LIFETIME, MOST = 12 * 3600.0, 1_000

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


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
    if method in _SAFE_METHODS:
        return site in (None, "same-origin", "none")
    if site is not None:
        return site == "same-origin"
    _, _, host = headers.get("origin", "").partition("://")
    return bool(host) and host.lower() == headers.get("host", "").lower()


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
