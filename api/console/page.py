"""The pages for people: the console at `/`, its files below `/console`, and the API's at `/docs`.

They are read once and compressed once, from packages. At `/session` the console's key becomes a
session, which the browser keeps where no script can read it.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, JSONResponse
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

from api.middleware.access import COOKIE, OWNER, KeyRefused, Sessions, token_in
from api.schemas import Body, Text
from graph.settings.configured import KeyRing

FOLDER = Path(__file__).parent / "static"

#: What the files are; a folder has no others to give away.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}

#: All that the page may load or call lies on this server, and nothing in it is code but its files.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class File:
    """One file as it is sent."""

    path: Path

    @cached_property
    def plain(self) -> bytes:
        """Its bytes."""
        return self.path.read_bytes()

    @cached_property
    def small(self) -> bytes:
        """The same, compressed."""
        return gzip.compress(self.plain, mtime=0)

    @cached_property
    def etag(self) -> str:
        """What a browser asks by whether it has changed."""
        return f'"{hashlib.sha256(self.plain).hexdigest()[:20]}"'


class Files:
    """The files of the page, by their names; only these are answered, whatever the path says."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): File(path)
            for path in folder.rglob("*")
            if path.suffix in TYPES
        }

    async def answer(self, request: Request) -> Response:
        """A file below `/console`."""
        return await self._send(request, request.path_params["name"])

    async def page(self, request: Request) -> Response:
        """The page itself; it names its files relatively, so that it works below any prefix."""
        return await self._send(request, "index.html")

    async def _send(self, request: Request, name: str) -> Response:
        if (file := self._files.get(name)) is None:
            raise HTTPException(404)
        # Read and compressed beside the loop, which has runs to execute.
        etag = await asyncio.to_thread(lambda: file.etag)
        headers = {"ETag": etag, "Vary": "Accept-Encoding", "Content-Security-Policy": POLICY}
        if request.headers.get("if-none-match") == etag:
            return Response(None, 304, headers)
        body = file.plain
        if "gzip" in request.headers.get("accept-encoding", ""):
            body = await asyncio.to_thread(lambda: file.small)
            headers["Content-Encoding"] = "gzip"
        return Response(body, 200, headers, TYPES[file.path.suffix])


def page_routes() -> list[BaseRoute]:
    """The page and its files, which anybody may have: there is no data in them."""
    files = Files()
    return [
        Route("/", files.page, include_in_schema=False),
        Route("/console/{name:path}", files.answer, include_in_schema=False),
    ]


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


# The API's pages, without any outside address: they work with no network.


# The page needs inline script and style; that it loads nothing from outside is the browser's
# to enforce, not only ours to promise.
_DOCS_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; "
    "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def docs_routes() -> list[BaseRoute]:
    """`/openapi.json`; `/docs`, and below it the files of Swagger UI that the package
    fastapi-offline ships.
    """
    compressed = _Compressed()
    return [
        Route("/openapi.json", _document(compressed)),
        Route("/docs", _docs),
        Mount("/docs/assets", _Assets(compressed, packages=[("fastapi_offline", "static")])),
    ]


def _takes_gzip(headers: Headers) -> bool:
    return "gzip" in headers.get("accept-encoding", "")


class _Compressed:
    """What never changes is compressed once: anybody may ask for it."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    async def answer(
        self, name: str, read: Callable[[], bytes], kind: str | None, **headers: str
    ) -> Response:
        """The compressed form of what `read` returns, of some media type."""
        if name not in self._kept:
            self._kept[name] = await asyncio.to_thread(lambda: gzip.compress(read()))
        named = {**headers, "Vary": "Accept-Encoding", "Content-Encoding": "gzip"}
        return Response(self._kept[name], 200, named, kind)


def _document(compressed: _Compressed) -> Callable[[Request], Awaitable[Response]]:
    """Answers what the API says of itself, which is encoded once."""
    encoded: list[bytes] = []

    async def document(request: Request) -> Response:
        if not encoded:
            encoded.append(bytes(JSONResponse(request.app.openapi()).body))
        kind, path = "application/json", request.url.path
        if _takes_gzip(request.headers):
            return await compressed.answer(path, lambda: encoded[0], kind)
        return Response(encoded[0], 200, {"Vary": "Accept-Encoding"}, kind)

    return document


class _Assets(StaticFiles):
    """The files, as they are or compressed."""

    def __init__(self, compressed: _Compressed, **given: Any) -> None:
        super().__init__(**given)
        self._compressed = compressed

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file; each form of it has an ETag of its own."""
        answer = await super().get_response(path, scope)
        asked = Headers(scope=scope)
        if not isinstance(answer, FileResponse) or not _takes_gzip(asked) or "range" in asked:
            return answer
        etag = answer.headers["etag"].removesuffix('"') + '-gzip"'
        headers = {"ETag": etag, "Last-Modified": answer.headers["last-modified"]}
        if self.is_not_modified(Headers(headers), asked):
            return NotModifiedResponse(Headers({**headers, "Vary": "Accept-Encoding"}))
        file = Path(answer.path)
        return await self._compressed.answer(
            str(file), file.read_bytes, answer.media_type, **headers
        )


async def _docs(request: Request) -> Response:
    # Relative addresses hold below any prefix that a proxy adds.
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=request.app.title,
        swagger_js_url="docs/assets/swagger-ui-bundle.js",
        swagger_css_url="docs/assets/swagger-ui.css",
        swagger_favicon_url="data:,",
        swagger_ui_parameters={"validatorUrl": None},
    )
    page.headers["Content-Security-Policy"] = _DOCS_POLICY
    return page
