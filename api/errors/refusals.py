"""What is answered to requests that are refused whatever they ask for: by whom, and how much.

By whom: no key, a foreign host or page. How much: too large, too slow, too many, no room left.
"""

import math
from collections.abc import Mapping

from api.errors.kinds import RETRY_AFTER, Cause, Kind, retry_after
from api.middleware.access import HostRefused, KeyRefused, NotJson, OriginRefused
from api.middleware.connections import (
    LINES,
    PART,
    PARTS,
    HeadTooLarge,
    Malformed,
    TooManyConnections,
    TooSlow,
)
from api.middleware.guards import BodyTooLarge, TooManyStreams
from api.middleware.metrics import MetricsRefused
from graph.queue.executor import QueueFull
from graph.queue.quotas import NoRoom, RunUsedUp, TooManyPosts

REFUSALS: Mapping[Cause, Kind] = {
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
    TooSlow: Kind(
        408,
        "too-slow",
        "The request did not come in time",
        lambda *_: "The request was begun and not ended in time; send it again as a whole.",
    ),
    BodyTooLarge: Kind(
        413,
        "body-too-large",
        "The body is too large",
        lambda e, _: f"The body may have {e.limit:,} bytes; this one has more.",
        # What is left of the body would otherwise be read as the next request.
        headers=lambda *_: {"Connection": "close"},
    ),
    HeadTooLarge: Kind(
        431,
        "head-too-large",
        "The head of the request is too large",
        lambda e, _: (
            f"The head of a request, and what stands around the parts of its body, may have"
            f" {e.limit:,} bytes, the head {LINES:,} lines, and the body {PARTS:,} parts and one"
            f" more for each {PART:,} bytes; this one has more."
        ),
    ),
    TooManyConnections: Kind(
        503,
        "too-many-connections",
        "There are too many connections",
        lambda *_: (
            "As many connections are open as may be, from this address or in all. Close some, or"
            " set RUNWRIGHT_MAX_CONNECTIONS and RUNWRIGHT_MAX_CONNECTIONS_PER_ADDRESS."
        ),
        headers=lambda *_: retry_after(RETRY_AFTER),
    ),
    TooManyStreams: Kind(
        429,
        "too-many-streams",
        "There are too many streams",
        lambda e, _: f"{e.limit:,} streams of yours are open, as many as may; close some.",
        # Who asks for so many would keep as many connections.
        headers=lambda *_: {"Connection": "close", **retry_after(RETRY_AFTER)},
    ),
    QueueFull: Kind(
        429,
        "queue-full",
        "Too many runs are waiting",
        lambda e, _: f"The queue is full. Post again in {math.ceil(e.retry_after)} s.",
        headers=lambda e, _: retry_after(e.retry_after),
    ),
    TooManyPosts: Kind(
        429,
        "too-many-posts",
        "Too much is posted in a minute",
        lambda e, _: (
            f"Of posts, previews, replays, retries and forks together, {e.limit:,} a minute are"
            f" allowed. Post again in {math.ceil(e.retry_after)} s; GET /budget tells how many are"
            " left."
        ),
        headers=lambda e, _: retry_after(e.retry_after),
    ),
    NoRoom: Kind(
        507,
        "no-room",
        "As much is kept as is allowed",
        lambda e, _: (
            f"{e.kept:,} {'runs' if e.what == 'runs' else 'bytes of runs'} of yours are kept, and "
            f"{e.limit:,} are allowed; nothing was accepted. DELETE /runs/{{run_id}} makes room."
        ),
    ),
    RunUsedUp: Kind(
        507,
        "run-used-up",
        "The run may have no more of this",
        lambda e, _: (
            f"The run has had {e.limit:,} {e.what}, as many as one may have, since each adds to "
            "its record; nothing was accepted. Post its task again."
        ),
    ),
}
