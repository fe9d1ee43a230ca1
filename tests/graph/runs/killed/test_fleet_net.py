"""A worker is cut off from the database, and comes back: `make soak-net` cuts for 20 s, as root."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.databases.namespaces import FarPostgres, Network, lacking, network
from tests.support.databases.postgres import runs_kept_in
from tests.support.patience import patience, wait_until
from tests.support.runs.fleet_history import breaches, effects, jobs_left
from tests.support.servers.fleet import WorkerProcess
from tests.support.servers.server_process import environment, serving

#: How long the link is cut, s: longer than a lease.
CUT = float(os.environ.get("CUT_SECONDS", "8"))

#: As long as it takes, so that runs are in the middle of a step when the link is cut.
RUNS, STEPS, PAUSE = 24, 4, 0.5

TOOLS = "tests.support.own_tools.effects:lay"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(lacking()), reason=lacking()),
    pytest.mark.timeout(patience(300 + CUT)),
]


class FarWorker(WorkerProcess):
    """A worker in a namespace of its own."""

    def __init__(self, folder: Path, where: Network, number: int, url: str) -> None:
        self.lines: list[str] = []
        settings = environment(folder, database_url=url, tools=TOOLS)
        self.process = subprocess.Popen(
            where.inside(where.others[number], sys.executable, "-m", "api", "worker"),
            cwd=ROOT,
            env={**settings, "PAUSE": str(PAUSE)},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()


@pytest.fixture
def net() -> Iterator[Network]:
    with network(2) as made:
        yield made


def test_a_worker_that_is_cut_off_does_nothing_more_and_others_go_on(
    tmp_path: Path, net: Network
) -> None:
    with FarPostgres(net) as postgres, runs_kept_in(tmp_path, postgres.url):
        far, near = (
            FarWorker(tmp_path, net, number, postgres.url_over(number)) for number in range(2)
        )
        with serving(tmp_path, workers="0", tools=TOOLS) as server:
            for worker in (far, near):
                worker.logs("working")
            words = [[f"w{number:05}s{step}" for step in range(STEPS)] for number in range(RUNS)]
            posted = [server.post(", then ".join(f"lay {one}" for one in run)) for run in words]
            mine = "SELECT count(DISTINCT worker_id) FROM runwright.procrastinate_jobs"
            wait_until(lambda: postgres.execute(mine) == [(2,)], every=0.05)
            began = time.monotonic()
            with net.cut(0):
                records = [server.settled(run_id) for run_id in posted]
                settled = time.monotonic() - began
                time.sleep(max(0.0, CUT - settled))
            assert {record["status"] for record in records} == {"completed"}
            assert far.ended() == 75
            over = sum(bool(record["marks"]) for record in records)
            assert over
            # As a supervisor does.
            again = FarWorker(tmp_path, net, 0, postgres.url_over(0))
            again.logs("working")
            near.kill()
            last = server.post("lay w99999s0")
            assert server.settled(last)["status"] == "completed"
            wait_until(lambda: not jobs_left(postgres), every=0.1)
            assert [*breaches(postgres)] == []
            assert effects(postgres) == sorted([*chain(*words), "w99999s0"])
            again.kill()
    sys.stdout.write(
        f"{RUNS} runs, of which {over} were taken over, had settled {settled:.1f} s after the cut\n"
    )
