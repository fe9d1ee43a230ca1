"""Calls of tools under way: who made them, and how they are told to be given up."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

#: Tells how far a call is: what is done, what there is in all where that is known, and words.
Report = Callable[[float, float | None, str | None], Awaitable[None]]


async def report_nothing(done: float, of: float | None, words: str | None) -> None:
    """For a caller who wants to know nothing before the end."""


@dataclass(frozen=True)
class Call:
    """One call of a tool.

    `attached`: its caller gives it up by leaving, as by saying so; else a connection that is lost
    means nothing, and only `given_up` tells.
    """

    attached: bool = True
    given_up: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True)
class Caller:
    """Who calls a tool: `owner` whose runs there are, `by` how records name who asked.

    `base_url`: where the server answers, for links; None where none does.
    """

    owner: str
    by: str
    call: Call = field(default_factory=Call)
    report: Report = report_nothing
    base_url: str | None = None


class Calls:
    """The calls that are given up by a message of their own, by whose they are and by their ids.

    Such a message comes with another request. It names the call by the id of its request, which is
    the client's own: a session's id tells clients of one owner apart.
    """

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, str, str], list[Call]] = {}

    @contextmanager
    def noted(self, owner: str, session: str, request_id: object) -> Iterator[Call]:
        """A call that is found by these as long as it is under way."""
        key, call = (owner, session, str(request_id)), Call(attached=False)
        self._under_way.setdefault(key, []).append(call)
        try:
            yield call
        finally:
            self._under_way[key].remove(call)
            if not self._under_way[key]:
                del self._under_way[key]

    def give_up(self, owner: str, session: str, request_id: object) -> None:
        """What a client says to be no longer needed; what has ended is left as it is."""
        for call in self._under_way.get((owner, session, str(request_id)), ()):
            call.given_up.set()


def given_up_id(message: Any) -> object:
    """The id of the request that a message gives up; None of any other message."""
    if not isinstance(message, dict) or message.get("method") != "notifications/cancelled":
        return None
    params = message.get("params")
    return params.get("requestId") if isinstance(params, dict) else None
