"""What every test runs under, and the parts that many of them share."""

import asyncio
import gc
import os
import shutil
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

# Read when LangGraph is imported: a type that a checkpoint cannot rebuild is an error, not a hint.
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from graph.service import Runs
from graph.storage.open import open_storage
from graph.storage.storage import Storage
from tests.support.clocks import Clocks
from tests.support.databases.postgres import EVERYWHERE, PostgresServer, runs_kept_in
from tests.support.examples import examples
from tests.support.patience import SLOWNESS, patience
from tests.support.runs.fake_runs import FakeRuns
from tests.support.runs.still_runs import still_runs
from tests.support.servers.asgi_clients import application, serving
from tests.support.servers.documented import describe_once
from tests.support.servers.forks.forked import share_servers
from tests.support.servers.forks.stretched import stretch_waits
from tools.loading import BUILTIN
from tools.registry import make_tools
from tools.toolbox import Tool

pytest_plugins = ("tests.support.timing.failures",)

stretch_waits()
describe_once()

# A busy machine makes an example slow, not wrong.
settings.register_profile(
    "runwright",
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("runwright")


@pytest.hookimpl(tryfirst=True)  # before the plugin reads it
def pytest_configure(config: pytest.Config) -> None:
    """A test that hangs is ended, later where the machine is slow."""
    if config.option.timeout is None:
        config.option.timeout = patience(300)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        config.add_cleanup(share_servers())


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays: looking for garbage in it would take a fifth of the time.

    It would again each time that the tests leave garbage, which is looked for seldom: as often as
    Python does it would take a tenth.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        gc.enable()


#: Whose tests run on both backends in `make test`; the others do on Postgres in `make test-rest`.
ON_BOTH = (
    "tests/graph/storage/",
    "tests/graph/runs/test_threads.py::test_a_run_begins",
    "tests/graph/runs/test_threads.py::test_a_thread_that_goes",
    "tests/graph/runs/test_threads.py::test_posts_under_one_new_name",
    "tests/graph/runs/test_threads.py::test_two_posts_at_once",
    "tests/graph/runs/killed/test_crashes.py::test_a_killed_server",
)


#: Who calls models by itself, which takes a library that each process would be loading for as long
#: as a hundred tests take: one process does all of it.
WITH_MODELS = (
    "tests/api/cli/test_secrets.py",
    "tests/docs/test_models.py",
    "tests/graph/models/test_",
    "tests/graph/models/whole_runs/test_streamed.py",
    "tests/graph/workbench/test_replan.py",
    "tests/house/test_wording.py",
)


#: What takes longest by itself, in this order: it begins, and the others fill what is left. Else it
#: would be done alone in the end, while a core has nothing to do.
LONGEST = (
    "tests/types/",
    "tests/docs/operating/test_deployed.py",
    "tests/nodes/patterns/test_composed.py",
    "tests/project/test_first_minute.py",
    "tests/api/test_fuzz.py",
    "tests/house/test_stored_runs.py",
    "tests/graph/queue/test_leases.py",
    "tests/graph/workbench/test_studio.py",
    "tests/docs/test_studio.py",
    *WITH_MODELS,
    "tests/graph/runs/killed/",
)


def _place(item: pytest.Item) -> int:
    """Where a test's file comes."""
    found = (place for place, start in enumerate(LONGEST) if item.nodeid.startswith(start))
    return next(found, len(LONGEST))


class ByFile(LoadFileScheduling):
    """One process does the tests of a file, or of all files that call models."""

    def _split_scope(self, nodeid: str) -> str:
        return WITH_MODELS[0] if nodeid.startswith(WITH_MODELS) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    """With `--dist loadfile`, as `make test` has it."""
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need no second backend each time are slow on it. The longest come first."""
    items.sort(key=_place)
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        on = parameters.get("database_url") or parameters.get("kept_on")
        if on == "postgres" and not item.nodeid.startswith(ON_BOTH):
            item.add_marker(pytest.mark.slow)


def pytest_report_header() -> str:
    """How slow this machine is."""
    return f"slowness: {SLOWNESS:g} (TEST_SLOWNESS sets it)"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, the only loop that LangGraph knows."""
    return "asyncio"


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """The clocks of this process."""
    return Clocks(monkeypatch)


@pytest.fixture
def stopped(clocks: Clocks) -> Clocks:
    """The clocks, which stand still."""
    clocks.stop()
    return clocks


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with nothing but its tables, which take long to make."""
    path = tmp_path_factory.mktemp("empty") / "runs.db"

    async def make() -> None:
        async with open_storage(f"sqlite:///{path}"):
            pass

    asyncio.run(make())
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server of databases, of this process of tests alone."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def _everywhere(request: pytest.FixtureRequest) -> None:
    """With `TEST_BACKEND=postgres` all servers that tests start keep their runs there."""
    if os.environ.get("TEST_BACKEND") == "postgres":
        EVERYWHERE.append(request.getfixturevalue("postgres"))


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path) -> str:
    """An empty database on each backend; one more joins by its parameter, and its URL here."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.empty()
    return f"sqlite:///{shutil.copy(empty_database, tmp_path)}"


@pytest.fixture(params=["sqlite", "postgres"])
def kept_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """What the servers of the test's folder keep their runs in, each backend in turn."""
    if request.param == "sqlite":
        yield "sqlite"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with runs_kept_in(tmp_path, server.empty()):
        yield "postgres"


@pytest.fixture
async def storage(database_url: str) -> AsyncIterator[Storage]:
    """Each backend, empty."""
    async with open_storage(database_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def tools() -> Mapping[str, Tool]:
    """The tools that come with the package."""
    return make_tools(BUILTIN)


@pytest.fixture(scope="module")
async def still(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> AsyncIterator[Runs]:
    """Real runs of which none begins, the same for all tests of a file."""
    path = shutil.copy(empty_database, tmp_path_factory.mktemp("still"))
    async with still_runs(f"sqlite:///{path}") as runs:
        yield runs


@pytest.fixture
def runs() -> FakeRuns:
    """What stands behind the application where a test makes the states of runs itself."""
    return FakeRuns()


@pytest.fixture
async def app(runs: FakeRuns) -> AsyncIterator[FastAPI]:
    """The application over `runs`, started."""
    app = application(runs, heartbeat=60)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(runs: FakeRuns) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application over `runs`."""
    async with serving(runs) as client:
        yield client
