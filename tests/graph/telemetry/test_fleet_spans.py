"""The spans of a run that one worker began and another one went on with, and what died with one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.deployment.otlp_receiver import Receiver
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.patience import wait_until
from tests.support.runs.recorded_spans import assert_recorded, span_id
from tests.support.servers.fleet import FleetProcesses

CALLER = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def folder(tmp_path: Path, postgres: PostgresServer) -> Iterator[Path]:
    """The folder of processes that keep their runs in an empty Postgres database."""
    with runs_kept_in(tmp_path, postgres.empty()):
        yield tmp_path


def post(fleet: FleetProcesses, prompt: str) -> str:
    """A run that is called for in a trace."""
    answer = fleet.servers[0].client.post(
        "/runs", json={"prompt": prompt}, headers={"traceparent": CALLER}
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["run_id"])


def test_a_worker_that_takes_a_run_over_goes_on_in_the_trace_of_its_caller(
    folder: Path, receiver: Receiver, exporting: Callable[..., None]
) -> None:
    exporting(receiver)
    with FleetProcesses(folder, servers=1, workers=2, tools=GATE, traces="otlp") as fleet:
        [server] = fleet.servers
        run_id = post(fleet, "add bread to my list, then pass gate a, then add jam to my list")
        server.until(run_id, lambda run: (run.get("current") or {}).get("step") == 2)
        mine, other = sorted(fleet.workers, key=lambda worker: run_id not in worker.took)
        mine.kill()
        open_gate(folder, "a")
        record = server.settled(run_id)
        assert run_id in other.took
        wait_until(lambda: int.from_bytes(span_id(run_id, "0")) in receiver.spans)

    assert [mark["what"] for mark in record["marks"]] == ["taken_up"]
    assert_recorded(receiver, [record], {(run_id, 0): CALLER})
    assert {one.trace_id.hex() for sent in receiver.spans.values() for one in sent} == {"a" * 32}
    assert "wait interruption" in receiver.names


@pytest.mark.slow
def test_what_a_dead_worker_had_not_sent_is_exported_by_who_finds_it_dead(
    folder: Path, receiver: Receiver, exporting: Callable[..., None]
) -> None:
    """The run has settled: nobody takes it over."""
    exporting(receiver, OTEL_BSP_SCHEDULE_DELAY="3600000")
    with FleetProcesses(folder, servers=1, workers=1, tools=GATE, traces="otlp") as fleet:
        [server], [mine] = fleet.servers, fleet.workers
        run_ids = [post(fleet, "pass gate a") for _ in range(3)]
        for run_id in run_ids:
            server.until(run_id, lambda run: run["current"])
        exporting(receiver)
        fleet.workers.append(fleet.start())
        fleet.workers[-1].logs("working")
        open_gate(folder, "a")
        records = [server.settled(run_id) for run_id in run_ids]
        assert not {*run_ids} & {*told(receiver)}
        mine.kill()
        wait_until(lambda: {*run_ids} <= {*told(receiver)})

    assert_recorded(receiver, records, {(run_id, 0): CALLER for run_id in run_ids})


def told(receiver: Receiver) -> Iterator[str]:
    """The runs whose end has come."""
    for sent in [*receiver.spans.values()]:
        for attribute in sent[0].attributes:
            if attribute.key == "runwright.run_id":
                yield attribute.value.string_value
