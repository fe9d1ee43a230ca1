"""What calls take besides their bodies, with one clear sentence for whatever it is not."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_before_validator_function

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

_WHOLE = re.compile(r"\d{1,16}", re.ASCII)
_DECIMAL = re.compile(r"\d{1,16}(\.\d*)?([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True)
class Between:
    """Marks a number that is within bounds, and written as nothing but a number is."""

    least: int
    most: int
    unit: str | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # An address has no null, so that it is none of what may be given.
        kind = "number" if self.unit else "integer"
        return {"type": kind, "minimum": self.least, "maximum": self.most}

    def _check(self, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        written = _DECIMAL if self.unit else _WHOLE
        if written.fullmatch(given) and self.least <= float(given) <= self.most:
            return given
        what = f"a number of {self.unit}" if self.unit else "a whole number"
        raise PydanticCustomError(
            "not_between",
            "must be {what} from {least} to {most}, not {given}",
            {"what": what, "least": self.least, "most": self.most, "given": repr(given[:40])},
        )


After = Annotated[
    int, Between(0, MOST), Query(description="Only events after this number; 0 is all of them.")
]

LastEventId = Annotated[
    int | None,
    Between(0, MOST),
    Header(
        description="The last event that was seen, as a browser sends it when it comes again; it "
        "goes before `after`."
    ),
]

Limit = Annotated[int, Between(1, PAGE), Query(description="Most events of the answer.")]

Timeout = Annotated[
    float,
    Between(0, LONGEST_WAIT, "seconds"),
    Query(description="Longest time to wait, in seconds."),
]

MaxValueBytes = Annotated[
    int | None,
    Between(SHORTEST_VALUE, LONGEST_VALUE),
    Query(
        description="Shorten every value that is larger, in bytes of JSON; `shortened` lists them."
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
