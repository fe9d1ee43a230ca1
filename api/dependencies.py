"""What the application gives to its calls."""

from typing import Annotated

from fastapi import Depends, Request

from api.callers import CLIENT, OWNER, KeyRefused
from graph.service import Runs
from graph.settings.keys import NOBODY


async def _runs(request: Request) -> Runs:
    runs: Runs = request.app.state.runs
    return runs


async def _stranger(request: Request) -> bool:
    return request.scope[OWNER] is None


async def _owner(request: Request) -> str:
    owner: str | None = request.scope[OWNER]
    if owner is None:  # on a path that is open to strangers, but not with what belongs to somebody
        raise KeyRefused(given=False)
    return owner


async def _caller(owner: "OwnerDep") -> str:
    return CLIENT if owner == NOBODY else owner


RunsDep = Annotated[Runs, Depends(_runs)]

#: Whether the call came without a key to a server that has keys.
StrangerDep = Annotated[bool, Depends(_stranger)]

#: Whose the call is: nobody else's runs are there for it.
OwnerDep = Annotated[str, Depends(_owner)]

#: The caller, as records name who asked for something.
CallerDep = Annotated[str, Depends(_caller)]
