"""LangGraph's official clients, each of which makes the calls that Python's synchronous one has."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_client, get_sync_client

from tests.support.servers.lg.conformance import ASSISTANT, Session, javascripted, part_of, python
from tests.support.servers.lg.javascript import javascript

#: The package under which the version of JavaScript's client that agent-chat-ui pins is installed
#: beside the newest one.
PINNED = "chat-page-sdk"


@contextmanager
def synchronous(url: str) -> Iterator[Session]:
    """Python's client."""
    with get_sync_client(url=url) as client:
        yield python(client)


@contextmanager
def asynchronous(url: str) -> Iterator[Session]:
    """Python's asynchronous client, whose calls are waited for."""
    with start_blocking_portal() as portal:
        client = portal.call(lambda: get_client(url=url))

        def call(area: str, method: str, given: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
            answer = getattr(getattr(client, area), method)(*given, **options)
            if not hasattr(answer, "__aiter__"):
                answer = portal.call(awaited, answer)
            if not hasattr(answer, "__aiter__"):
                return answer
            return (part_of(one) for one in drawn(portal, answer))

        yield Session(call)
        portal.call(client.http.client.aclose)


async def awaited(answer: Any) -> Any:
    """What is answered in the end."""
    return await answer


def drawn(portal: BlockingPortal, stream: Any) -> Iterator[Any]:
    """What an asynchronous stream tells."""

    try:
        while (part := portal.call(awaited, anext(stream, None))) is not None:
            yield part
    finally:
        portal.call(stream.aclose)


@contextmanager
def in_javascript(url: str, package: str = "@langchain/langgraph-sdk") -> Iterator[Session]:
    """JavaScript's client."""
    with javascript(url, package=package) as client:
        yield javascripted(client)


def pinned(url: str) -> AbstractContextManager[Session]:
    """JavaScript's client of the older version."""
    return in_javascript(url, PINNED)


CLIENTS: Mapping[str, Callable[[str], AbstractContextManager[Session]]] = {
    "python": synchronous,
    "python-asynchronous": asynchronous,
    "javascript": in_javascript,
    "javascript-pinned": pinned,
}


@contextmanager
def graph(url: str) -> Iterator[Any]:
    """A `RemoteGraph`."""
    with get_sync_client(url=url) as client:
        yield RemoteGraph(ASSISTANT, sync_client=client)


@contextmanager
def asynchronous_graph(url: str) -> Iterator[Any]:
    """A `RemoteGraph` of which the asynchronous methods are called, by the names of the others."""
    with start_blocking_portal() as portal:
        client = portal.call(lambda: get_client(url=url))
        yield Awaited(RemoteGraph(ASSISTANT, client=client), portal)
        portal.call(client.http.client.aclose)


class Awaited:
    """Asynchronous methods, waited for."""

    def __init__(self, graph: RemoteGraph, portal: BlockingPortal) -> None:
        self._graph = graph
        self._portal = portal

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            answer = getattr(self._graph, f"a{name}")(*given, **options)
            if hasattr(answer, "__aiter__"):
                return drawn(self._portal, answer)
            return self._portal.call(awaited, answer)

        return call


GRAPHS: Mapping[str, Callable[[str], AbstractContextManager[Any]]] = {
    "synchronous": graph,
    "asynchronous": asynchronous_graph,
}
