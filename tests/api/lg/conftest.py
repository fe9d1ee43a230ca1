"""A real server, or two of them over one Postgres, and LangGraph's own clients of it."""

from collections.abc import Iterator

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from tests.support.own_tools.gate_tool import GATE
from tests.support.servers.fleet import deployed
from tests.support.servers.server_process import ServerProcess

#: Tools that fail, sleep, wait at a gate, or may have acted.
TOOLS = (
    f"examples.flaky:fail_times,examples.flaky:sleep,tests.support.own_tools.uncertain:send,{GATE}"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for the tests of one file, each of which has threads of its own."""
    with deployed(tmp_path_factory.mktemp("lg"), tools=TOOLS, backoff="0.01") as started:
        yield started


@pytest.fixture
def lg(server: ServerProcess) -> Iterator[SyncLangGraphClient]:
    """The official client."""
    client = get_sync_client(url=f"{server.url}/lg")
    yield client
    client.http.client.close()


@pytest.fixture
def thread(lg: SyncLangGraphClient) -> str:
    """A new thread."""
    return str(lg.threads.create()["thread_id"])


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's clients come again at once where a stream was cut."""
    for module in ("_sync", "_async"):
        name = f"langgraph_sdk.{module}.http._reconnect_delay"
        monkeypatch.setattr(name, lambda *_, **__: 0.01)
