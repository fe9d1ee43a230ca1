"""What is answered to who may not call, or not like this: no key, a foreign host or page."""

from collections.abc import Mapping

from api.errors.kinds import Cause, Kind
from api.middleware.access import HostRefused, KeyRefused, NotJson, OriginRefused
from api.middleware.connections import Malformed
from api.middleware.metrics import MetricsRefused

ACCESS: Mapping[Cause, Kind] = {
    KeyRefused: Kind(
        401,
        "key-refused",
        "A key is needed",
        lambda e, _: (
            ("The key is none of this server's." if e.given else "No key came with the request.")
            + " Send yours as `Authorization: Bearer KEY` or as `x-api-key: KEY`."
        ),
        headers=lambda *_: {"WWW-Authenticate": "Bearer"},
    ),
    MetricsRefused: Kind(
        403,
        "metrics-refused",
        "The metrics are for others",
        lambda *_: (
            "They count what all owners do. They are read on the server's machine, or by whom "
            "RUNWRIGHT_METRICS names."
        ),
    ),
    HostRefused: Kind(
        403,
        "host-refused",
        "The host is not one of ours",
        lambda e, _: (
            f"Host {e.host[:100]!r} is not answered. Use localhost, 127.0.0.1 or [::1], or add "
            "the name to RUNWRIGHT_ALLOWED_HOSTS."
        ),
    ),
    OriginRefused: Kind(
        403,
        "origin-refused",
        "Another site's page may not change anything",
        lambda e, _: (
            f"The request comes from a page of {e.origin[:100]!r}. Only pages served by this "
            "server, and clients that are no browser, may change something."
        ),
    ),
    Malformed: Kind(
        400,
        "malformed",
        "This is no HTTP",
        lambda *_: "What came is no request of HTTP/1.1; the connection is closed.",
    ),
    NotJson: Kind(
        415,
        "not-json",
        "The body is not declared as JSON",
        lambda e, _: (
            "Send the body as JSON with the header Content-Type: application/json; "
            f"it came with {repr(e.content_type[:100]) if e.content_type else 'none'}."
        ),
        headers=lambda *_: {"Accept": "application/json"},
    ),
}
