"""What is answered beyond a limit: too large, too slow, too much of it, or no room left."""

import math
from collections.abc import Mapping

from api.errors.kinds import RETRY_AFTER, Cause, Kind, retry_after
from api.middleware.connections import (
    LINES,
    PART,
    PARTS,
    HeadTooLarge,
    TooManyConnections,
    TooSlow,
)
from api.middleware.guards import BodyTooLarge
from api.streams.sse import TooManyStreams
from graph.queue.executor import QueueFull
from graph.queue.quotas import NoRoom, RunUsedUp, TooManyPosts

LIMITS: Mapping[Cause, Kind] = {
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
