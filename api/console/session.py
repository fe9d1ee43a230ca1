"""`/session`: a key becomes a session, which the browser keeps where no script can read it."""

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.routing import BaseRoute, Route

from api.middleware.access import COOKIE, OWNER, KeyRefused, Sessions, token_in
from api.schemas import Body, Text
from graph.settings.keys import KeyRing


class SessionCreate(Body):
    """A key of the server."""

    key: Text


class SessionRoutes:
    """Opens, shows and ends the session that a request comes with."""

    def __init__(self, keys: KeyRing, sessions: Sessions) -> None:
        self._keys = keys
        self._sessions = sessions

    async def show(self, request: Request) -> Response:
        """Whether the server has keys, whose the caller's runs are (null until it is known), and of
        which version it is: a page that is of another wants to be loaded anew."""
        return self._answer(request, request.scope[OWNER])

    async def open(self, request: Request) -> Response:
        """A session for who has a key. Raises `KeyRefused`."""
        try:
            given = SessionCreate.model_validate_json(await request.body()).key.strip()
        except ValidationError:
            raise KeyRefused(given=False) from None
        owner = self._keys.owner(given)
        if owner is None:
            raise KeyRefused(given=True)
        self._sessions.close(token_in(request.headers))
        answer = self._answer(request, owner)
        # It ends with the browser, too; and it is sent to no other site.
        answer.set_cookie(COOKIE, self._sessions.open(owner), **_cookie(request))
        return answer

    async def close(self, request: Request) -> Response:
        """End the session, here and in the browser."""
        self._sessions.close(token_in(request.headers))
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE, **_cookie(request))
        return answer

    def _answer(self, request: Request, owner: str | None) -> Response:
        session = {"keys": bool(self._keys), "owner": owner, "version": request.app.version}
        return JSONResponse(session)


def _cookie(request: Request) -> dict[str, Any]:
    # A proxy that ends TLS says so; without TLS a browser would throw a secure cookie away.
    secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    return {"httponly": True, "samesite": "strict", "secure": secure, "path": "/"}


def session_routes(keys: KeyRing, sessions: Sessions) -> list[BaseRoute]:
    """The three calls; they are the page's, programs send their key."""
    routes = SessionRoutes(keys, sessions)
    calls: dict[str, Callable[[Request], Any]] = {
        "GET": routes.show,
        "POST": routes.open,
        "DELETE": routes.close,
    }
    return [
        Route("/session", call, methods=[method], include_in_schema=False)
        for method, call in calls.items()
    ]
