"""What calls take besides their bodies."""

from typing import Annotated

from fastapi import Depends, Header, Query, Request
from pydantic import WithJsonSchema

from api.middleware.access import CLIENT, OWNER, KeyRefused
from graph.service import Runs
from graph.settings.keys import DEFAULT_OWNER

#: How long a call waits for a run unless it says so, and at most, in seconds.
WAIT, LONGEST_WAIT = 30.0, 300

#: How many events are read at once, at most and unless fewer are asked for.
PAGE = 1000

#: Bounds of the size from which values are shortened, in bytes: below, it would save nothing.
SHORTEST_VALUE, LONGEST_VALUE = 100, 2**26

#: Numbers up to here are exact for every reader of JSON; there are never as many of anything.
MOST = 2**53 - 1

After = Annotated[
    int, Query(ge=0, le=MOST, description="Only events after this number; 0 is all of them.")
]

# In an address or a header there is no null: what is not given is left out.

LastEventId = Annotated[
    int | None,
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MOST}),
    Header(
        ge=0,
        le=MOST,
        description="The last event that was seen, as a browser sends it when it comes again; it "
        "goes before `after`.",
    ),
]

Limit = Annotated[int, Query(ge=1, le=PAGE, description="Most events of the answer.")]

Timeout = Annotated[
    float, Query(ge=0, le=LONGEST_WAIT, description="Longest time to wait, in seconds.")
]

MaxValueBytes = Annotated[
    int | None,
    WithJsonSchema({"type": "integer", "minimum": SHORTEST_VALUE, "maximum": LONGEST_VALUE}),
    Query(
        ge=SHORTEST_VALUE,
        le=LONGEST_VALUE,
        description="Shorten every value that is larger, in bytes of JSON; `shortened` lists them.",
    ),
]


async def _runs(request: Request) -> Runs:
    runs: Runs = request.app.state.runs
    return runs


async def _anonymous(request: Request) -> bool:
    return request.scope[OWNER] is None


async def _owner(request: Request) -> str:
    owner: str | None = request.scope[OWNER]
    if (
        owner is None
    ):  # on a path that is open to anonymous callers, but not with what belongs to somebody
        raise KeyRefused(given=False)
    return owner


async def _caller(owner: "OwnerDep") -> str:
    return CLIENT if owner == DEFAULT_OWNER else owner


RunsDep = Annotated[Runs, Depends(_runs)]

#: Whether the call came without a key to a server that has keys.
AnonymousDep = Annotated[bool, Depends(_anonymous)]

#: Whose the call is: nobody else's runs are there for it.
OwnerDep = Annotated[str, Depends(_owner)]

#: The caller, as records name who asked for something.
CallerDep = Annotated[str, Depends(_caller)]
