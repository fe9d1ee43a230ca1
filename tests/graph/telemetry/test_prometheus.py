"""A real Prometheus reads a real server under load, and finds what the index has."""

import json
import shutil
import socket
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support import pages
from tests.support.checkout import ROOT
from tests.support.patience import wait_until
from tests.support.servers.server_process import serving

PROMPTS = ("what is 2 plus 3", "divide 1 by 0", "hello there", "add buy milk to my to-do list")
RUNS = 120


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path) as server:
        yield server


def scraped(server) -> str:
    answer = server.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text


def test_the_page_names_every_metric(server):
    told = {
        line.split()[2]
        for line in scraped(server).splitlines()
        if line.startswith("# TYPE runwright_")
    }
    rows = pages.rows((ROOT / "docs/deployment.md").read_text(), "metric")
    named = [name.strip("` ") for cell, _ in rows for name in cell.split(",")]
    assert sorted(named) == sorted(told)


@pytest.mark.slow
def test_prometheus_finds_nothing_wrong_with_the_text(server):
    for prompt in PROMPTS:
        server.settled(server.post(prompt))
    checked = subprocess.run(
        [tool("promtool"), "check", "metrics"],
        input=scraped(server),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.slow
def test_prometheus_agrees_with_the_index_after_load_and_a_kill(tmp_path):
    with serving(tmp_path) as server, prometheus(tmp_path, server.url) as ask:
        begun = [server.post(PROMPTS[number % 4]) for number in range(RUNS)]
        for run_id in begun[:20]:
            server.settled(run_id)
        wait_until(lambda: value(ask, "sum(runwright_runs_settled_total)") >= 1)
        server.kill()
        settled = before(tmp_path)
        with serving(tmp_path) as again:
            target(tmp_path, again.url)
            for run_id in begun:
                again.settled(run_id)
            found = Counter(again.get(run_id)["status"] for run_id in begun)
            for status, count in found.items():
                own = count - settled[status]
                query = f'sum(runwright_runs_settled_total{{status="{status}"}}) or vector(0)'
                wait_until(
                    lambda query=query, own=own: value(ask, query) == own,
                    otherwise=lambda query=query, own=own: f"{value(ask, query)} for {own}",
                )
            assert value(ask, "sum(runwright_runs)") == 0
            assert value(ask, "runwright_observer_faults_total") == 0


def before(folder: Path) -> Counter[str]:
    """How many runs had each status when the server was killed, as the index has it."""
    with closing(sqlite3.connect(folder / "runs.db")) as connection:
        rows = connection.execute("SELECT status, count(*) FROM runs GROUP BY status")
        return Counter(dict(rows.fetchall()))


def tool(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is missing; Debian's package prometheus has it"
    return found


def target(folder: Path, url: str) -> None:
    """Let the Prometheus of this folder scrape the server that answers there, and no other."""
    place, new = httpx.URL(url), folder / "new.json"
    new.write_text(json.dumps([{"targets": [f"{place.host}:{place.port}"]}]))
    new.rename(folder / "targets.json")


@contextmanager
def prometheus(folder: Path, url: str):
    """A Prometheus that scrapes the server; yields how to ask it a query."""
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: runwright\n"
        f'    file_sd_configs: [{{files: ["{folder}/targets.json"]}}]\n'
    )
    target(folder, url)
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = free.getsockname()[1]
    process = subprocess.Popen(
        [
            tool("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{listen}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listen}", trust_env=False) as client:
            yield client
    finally:
        process.kill()
        process.wait()


def value(client: httpx.Client, query: str) -> float:
    """What a query gives now; 0 where Prometheus has nothing, or does not answer yet."""
    try:
        found = client.get("/api/v1/query", params={"query": query}).json()
    except (httpx.TransportError, ValueError):
        return 0.0
    result = found.get("data", {}).get("result", [])
    return float(result[0]["value"][1]) if result else 0.0
