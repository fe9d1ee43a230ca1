"""`/metrics` for Prometheus, and the count of requests that is among them."""

import re
import time
from ipaddress import ip_address

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.access import OWNER, KeyRefused
from graph.telemetry.metrics import MEDIA_TYPE, OTHER, Scrape

#: Where they are.
PATH = "/metrics"

#: Who may read them where there are keys: who is on this machine, everybody, nobody, or one key.
READERS = re.compile(r"local|open|off|key:(?P<owner>[^\s:,]+)")

#: What a proxy says of whom it speaks for.
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip"})

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class MetricsRefused(Exception):
    """They count what all owners do, and are not for this caller."""


class MetricsPage:
    """Answers with the metrics of the process whom `readers` names, as `READERS` describes.

    Raises `KeyRefused` and `MetricsRefused`.
    """

    def __init__(self, readers: str, *, keys: bool) -> None:
        self._readers = readers
        self._keys = keys

    async def answer(self, request: Request) -> Response:
        """The answer."""
        scrape = _scrape(request.app)
        if self._readers == "off" or scrape is None:
            raise HTTPException(404)  # as where there is nothing
        if self._keys:
            self._admit(request)
        return Response(await scrape.text(), media_type=MEDIA_TYPE)

    def _admit(self, request: Request) -> None:
        owner = request.scope[OWNER]
        if self._readers == "open" or (owner and self._readers == f"key:{owner}"):
            return
        if self._readers == "local" and _is_local(request.scope):
            return
        if owner is None:
            raise KeyRefused(given=False)
        raise MetricsRefused


def _scrape(app: Starlette) -> Scrape | None:
    """That of the runs, which are there once the server has started."""
    scrape: Scrape | None = getattr(getattr(app.state, "runs", None), "metrics", None)
    return scrape


def _is_local(scope: Scope) -> bool:
    """Whether the request comes from this machine, and from no proxy on it."""
    client = scope.get("client")
    if client is None or any(name.lower() in _FORWARDED for name, _ in scope["headers"]):
        return False
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return False


class CountedRequests:
    """Counts every request that comes to an answer, by the route that gave it.

    What no route has answered is one: its path may be anything.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scrape: Scrape | None = _scrape(scope["app"]) if scope["type"] == "http" else None
        if scrape is None:
            await self.app(scope, receive, send)
            return
        metrics, began = scrape.metrics, time.perf_counter()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", None) or OTHER
                method = scope["method"] if scope["method"] in _METHODS else OTHER
                metrics.http.labels(route, method, message["status"]).inc()
                metrics.http_seconds.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, send_counted)
