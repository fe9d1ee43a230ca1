"""What answers at the paths of the protocol, over what its settled runs have said."""

from typing import NoReturn

from starlette.requests import Request

from api.errors.kinds import Unsupported
from api.lg import assistants
from api.lg.begin import Beginner
from api.lg.messages import SettledMessages
from api.lg.requests import Caller
from api.lg.runs import RunCalls
from api.lg.streams import Follower
from api.lg.threads import ThreadCalls


class Calls:
    """All answers of one server."""

    def __init__(self) -> None:
        settled = SettledMessages()
        self.assistants = assistants
        self.runs = RunCalls(Beginner(settled))
        self.threads = ThreadCalls(settled)
        self.follower = Follower(settled)

    async def refuse(self, request: Request, area: str) -> NoReturn:
        """Say that there is no such area. Raises `KeyRefused` and `Unsupported`."""
        Caller.of(request)
        raise Unsupported(area)
