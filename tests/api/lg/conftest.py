"""A real server, and LangGraph's own clients of it.

Where all servers are to be tried on Postgres, it is two of them behind a balancer, and a worker
that executes what they are given: each request of a test meets the one or the other.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from tests.support.databases.postgres import EVERYWHERE
from tests.support.own_tools.gate_tool import GATE
from tests.support.servers.cutting_proxy import cutting
from tests.support.servers.fleet import FleetProcesses
from tests.support.servers.server_process import ServerProcess, serving

#: Tools that fail, sleep, wait at a gate, or may have acted.
TOOLS = (
    f"examples.flaky:fail_times,examples.flaky:sleep,tests.support.own_tools.uncertain:send,{GATE}"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for the tests of one file, each of which has threads of its own."""
    folder: Path = tmp_path_factory.mktemp("lg")
    given = {"tools": TOOLS, "backoff": "0.01"}
    if not EVERYWHERE:
        with serving(folder, **given) as started:
            yield started
        return
    with (
        FleetProcesses(folder, servers=2, workers=1, **given) as fleet,
        cutting([one.url for one in fleet.servers]) as balancer,
    ):
        first = fleet.servers[0]
        first.url = balancer.url
        first.client.base_url = balancer.url
        yield first


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
