"""Who calls: with keys, anonymous callers are shown the health and the documentation only."""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from graph.settings.keys import DEFAULT_OWNER, KeyRing

#: Where a request keeps whose it is; an anonymous caller's has None.
OWNER = "runwright.owner"

#: How records name a caller whom the server knows by no key.
CLIENT = "client"

#: What is told to anonymous callers.
_OPEN = re.compile(r"/health(/.*)?|/docs(/.*)?|/openapi\.json")


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

    Raises `KeyRefused` ahead of everything that reads the request, also for what does not exist.
    """

    def __init__(self, app: ASGIApp, keys: KeyRing) -> None:
        self.app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, OWNER: self._owner(scope)}
        await self.app(scope, receive, send)

    def _owner(self, scope: Scope) -> str | None:
        if not self._keys:
            return DEFAULT_OWNER
        given = _given(Headers(scope=scope))
        owner = self._keys.owner(given) if given else None
        if owner is None and not is_open(scope["path"]):
            raise KeyRefused(given=bool(given))
        return owner


def _given(headers: Headers) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()
