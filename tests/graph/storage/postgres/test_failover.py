"""A fleet, or a server, whose database fails over: nothing that was accepted is lost."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.databases.postgres import NAME, PostgresServer, runs_kept_in
from tests.support.databases.replicated import Primary
from tests.support.patience import wait_until
from tests.support.runs.fleet_history import breaches, effects, jobs_left
from tests.support.servers.event_reader import Watcher
from tests.support.servers.fleet import FleetProcesses, Load
from tests.support.servers.proxies.forwarder import forwarding
from tests.support.servers.server_process import serving

TOOLS = "tests.support.own_tools.effects:lay"

#: How many runs there are, of how many steps, how long each of these takes in seconds, and how many
#: runs are accepted before the primary is lost.
RUNS, STEPS, PAUSE, BEFORE = 60, 4, "0.2", 15

pytestmark = pytest.mark.slow


@pytest.fixture
def primary() -> Iterator[Primary]:
    with Primary() as server:
        yield server


def by_one_address(primary: Primary, stack: ExitStack) -> tuple[str, Callable[[], None]]:
    """A URL, and what makes it lead to the standby."""
    forwarder = stack.enter_context(forwarding(primary.socket))

    def redirect() -> None:
        forwarder.target = primary.standby.socket

    return f"postgresql://postgres@127.0.0.1:{forwarder.port}/{NAME}", redirect


def by_both_addresses(primary: Primary, _: ExitStack) -> tuple[str, Callable[[], None]]:
    """The same by the list of both, of which the one that is written to is found."""
    hosts = ",".join(str(Path(one.socket).parent) for one in (primary, primary.standby))
    options = f"host={hosts}&target_session_attrs=read-write"
    return f"postgresql://postgres@/{NAME}?{options}", lambda: None


def killed(primary: Primary, stack: ExitStack) -> None:
    primary.kill()


def frozen(primary: Primary, stack: ExitStack) -> None:
    stack.enter_context(primary.frozen())


@pytest.mark.parametrize("lost", [killed, frozen])
@pytest.mark.parametrize("reached", [by_one_address, by_both_addresses])
def test_a_fleet_goes_on_at_the_standby(
    tmp_path: Path,
    primary: Primary,
    monkeypatch: pytest.MonkeyPatch,
    reached: Callable[[Primary, ExitStack], tuple[str, Callable[[], None]]],
    lost: Callable[[Primary, ExitStack], None],
) -> None:
    monkeypatch.setenv("PAUSE", PAUSE)
    standby = primary.standby
    with ExitStack() as stack:
        url, redirect = reached(primary, stack)
        stack.enter_context(runs_kept_in(tmp_path, url))
        fleet = stack.enter_context(FleetProcesses(tmp_path, servers=2, workers=2, tools=TOOLS))
        load = Load(fleet.servers, RUNS, STEPS, watched=6)
        wait_until(lambda: len(load.posted) >= BEFORE and effects(primary))
        lost(primary, stack)
        accepted = set(load.posted.values())
        wait_until(lambda: load.refused)
        standby.promote()
        redirect()
        assert accepted <= {run for (run,) in standby.execute("SELECT run_id FROM runwright.runs")}
        load.join()
        wait_until(lambda: settled_at(fleet, standby), otherwise=lambda: str([*breaches(standby)]))
        for server in fleet.servers:
            wait_until(lambda server=server: server.client.get("/health/ready").is_success)
        records = [fleet.servers[0].get(run_id) for run_id in load.posted.values()]
        assert {record["status"] for record in records} == {"completed"}
        assert {one.status_code for one in load.refused} == {503}
        assert all("retry-after" in one.headers for one in load.refused)
        assert [*breaches(standby)] == []
        assert effects(standby) == load.words
        wait_until(lambda: not jobs_left(standby))
        for watcher in load.watchers:
            assert whole(watcher)


def test_a_server_that_has_it_alone_goes_on_at_the_standby(
    tmp_path: Path, primary: Primary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAUSE", "1")
    standby = primary.standby
    with ExitStack() as stack:
        url, redirect = by_one_address(primary, stack)
        stack.enter_context(runs_kept_in(tmp_path, url))
        server = stack.enter_context(serving(tmp_path, tools=TOOLS))
        load = Load([server], RUNS, STEPS, watched=6)
        wait_until(lambda: len(load.posted) >= BEFORE and effects(primary))
        primary.kill()
        standby.promote()
        redirect()
        load.join()
        records = [server.settled(run_id) for run_id in load.posted.values()]
        assert {record["status"] for record in records} == {"completed"}
        assert [*breaches(standby)] == []
        assert effects(standby) == load.words
        for watcher in load.watchers:
            assert whole(watcher)


def settled_at(fleet: FleetProcesses, postgres: PostgresServer) -> bool:
    """Whether all runs are; a worker that was taken for dead is started again meanwhile."""
    for index, worker in enumerate(fleet.workers):
        if worker.process.poll() is not None:
            assert worker.process.poll() == 75
            fleet.replace(index)
    return not any(line.startswith("not settled") for line in breaches(postgres))


def whole(watcher: Watcher) -> bool:
    assert watcher.join()
    return [event["id"] for event in watcher.seen] == [*range(1, len(watcher.seen) + 1)]
