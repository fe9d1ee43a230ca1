"""The HTTP application, composed from its parts."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

from api.console.page import docs_routes, page_routes, session_routes
from api.errors.problems import HANDLERS
from api.lg.routes import lg_routes
from api.mcp.door import PATH, Door
from api.middleware.access import (
    Authentication,
    CountedTime,
    Loopback,
    RefusedTurns,
    Sessions,
    Turns,
)
from api.middleware.guards import (
    METRICS,
    AnswerHeaders,
    BodyLimit,
    CallerTrace,
    CountedRequests,
    HeadAsGet,
    MetricsPage,
    StreamLimit,
)
from api.operations import description_of
from api.routes.commands import retries as retry_router
from api.routes.commands import router as approval_router
from api.routes.history import live_router
from api.routes.history import replays as replay_router
from api.routes.history import router as history_router
from api.routes.lists import audit_router
from api.routes.lists import router as thread_router
from api.routes.runs import router as run_router
from api.routes.server import budget_router, tool_router
from api.routes.server import router as server_router
from api.streams import HEARTBEAT, EncodedEvents
from graph.queue.share import LoopShare
from graph.service import Runs
from graph.settings import Settings
from graph.settings.configured import KeyRing
from graph.storage.records import ServerAddress

#: From which size an answer is compressed for who asks for it, in bytes, and how hard: a record of
#: an ordinary run has less, and more effort would save a tenth for three times the work.
LARGE, COMPRESSION = 16 * 1024, 2


@dataclass(frozen=True)
class HttpLimits:
    """What a request has to keep to, as configured.

    `allowed_hosts`: names besides the loopback ones that the server answers to, without a port;
    `"*"` is any. `max_body`: largest body, in bytes. `keys`: one of them has to come with it, if
    there are any. `cors_origins`: other sites whose pages may call. `streams`: so many of one
    owner may be open. `metrics`: who may read these where there are keys, as `READERS` describes.
    """

    allowed_hosts: tuple[str, ...] = ()
    max_body: int = 64 * 1024
    keys: KeyRing = field(default_factory=KeyRing)
    cors_origins: tuple[str, ...] = ()
    streams: int = 300
    metrics: str = "local"


def create_app(
    open_runs: Callable[[], AbstractAsyncContextManager[Runs]],
    limits: HttpLimits,
    *,
    heartbeat: float = HEARTBEAT,
    address: ServerAddress | None = None,
    each_tool: bool = False,
    settings: Settings | None = None,
    share: LoopShare | None = None,
) -> FastAPI:
    """The application; its runs are opened when the server starts and closed when it ends.

    `heartbeat`: how often a stream says that it is alive, in seconds. `address`: the one in the
    note beside the database, which it proves to be. With `each_tool` MCP clients may call every
    tool of this process by itself. `settings` are those that `GET /doctor` tells of.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_runs() as runs:
            app.state.runs = runs
            try:
                yield
            finally:
                await door.close()

    door, share = Door(each_tool=each_tool), share or LoopShare()
    page = MetricsPage(limits.metrics, keys=bool(limits.keys))
    sessions = Sessions()

    app = FastAPI(
        title="Runwright",
        description="A task in plain words becomes a plan of tool calls, executed step by step.",
        version=version("runwright"),
        # `/runs/stream` comes before the runs by their ids.
        routes=[
            *live_router.routes,
            *run_router.routes,
            *approval_router.routes,
            *retry_router.routes,
            *history_router.routes,
            *replay_router.routes,
            *thread_router.routes,
            *tool_router.routes,
            *audit_router.routes,
            *budget_router.routes,
            *server_router.routes,
            *docs_routes(),
            *page_routes(),
            *session_routes(limits.keys, sessions),
            *lg_routes(),
            Route(PATH, door, methods=["POST"], include_in_schema=False),
            Route(METRICS, page.answer, methods=["GET"], include_in_schema=False),
        ],
        lifespan=lifespan,
        middleware=[
            Middleware(CountedTime, share=share),
            Middleware(AnswerHeaders),
            *_cors(limits.cors_origins),
            Middleware(HeadAsGet),
            Middleware(CallerTrace),
            Middleware(CountedRequests),
            # Streams of events are none of its media types and pass as they come.
            Middleware(GZipMiddleware, minimum_size=LARGE, compresslevel=COMPRESSION),
            # What the guards below raise never reaches FastAPI's own handlers. It also keeps an
            # unexpected error from being logged a second time by the server.
            Middleware(ExceptionMiddleware, handlers=HANDLERS),
            Middleware(RefusedTurns, share=share),
            Middleware(
                Loopback, allowed_hosts=limits.allowed_hosts, allowed_origins=limits.cors_origins
            ),
            Middleware(Authentication, keys=limits.keys, sessions=sessions),
            Middleware(Turns, share=share),
            Middleware(BodyLimit, limit=limits.max_body),
            Middleware(StreamLimit, per_owner=limits.streams),
        ],
        exception_handlers=HANDLERS,
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.encoded_events = EncodedEvents()
    app.state.heartbeat = heartbeat
    app.state.address = address
    app.state.settings = settings
    app.openapi = description_of(app, keys=bool(limits.keys))  # type: ignore[method-assign]  # as FastAPI documents it
    return app


def _cors(origins: Sequence[str]) -> list[Middleware]:
    """Lets the pages of these origins call; without any, nothing is said of other sites."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                *("Authorization", "Idempotency-Key", "Last-Event-ID", "X-Api-Key"),
                *("Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "Mcp-Session-Id"),
                *("X-Auth-Scheme", "X-User-Id", "X-Tenant-Id", "X-Organization-Id"),
            ],
            # A page from elsewhere may ask for a server on this machine, if it may call at all.
            allow_private_network=True,
            expose_headers=[
                *("Location", "Retry-After", "Idempotency-Replayed", "Mcp-Session-Id"),
                *("Content-Location", "X-Pagination-Total", "X-Pagination-Next"),
            ],
        )
    ]
