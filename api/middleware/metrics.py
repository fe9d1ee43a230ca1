"""`/metrics` for Prometheus, and who may read them."""

import re
from ipaddress import ip_address

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from api.middleware.access import OWNER, KeyRefused
from api.middleware.guards import scrape_of
from graph.telemetry.metrics import MEDIA_TYPE

#: Where they are.
PATH = "/metrics"

#: Who may read them where there are keys: who is on this machine, everybody, nobody, or one key.
READERS = re.compile(r"local|open|off|key:(?P<owner>[^\s:,]+)")

#: What a proxy says of whom it speaks for.
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip"})


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
        scrape = scrape_of(request.app)
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


def _is_local(scope: Scope) -> bool:
    """Whether the request comes from this machine, and from no proxy on it."""
    client = scope.get("client")
    if client is None or any(name.lower() in _FORWARDED for name, _ in scope["headers"]):
        return False
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return False
