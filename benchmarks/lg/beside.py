"""Runs a second of 16 clients, through `/lg` and at LangGraph's development server.

Both have the same graph; each is asked in the same minutes, by the same calls.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.lg.clients import seconds_of, waited
from benchmarks.server import HERE, Server

CLIENTS, WARM = 16, 16

#: What the development server is made of.
_COPIED = ("api", "graph", "nodes", "tools", "langgraph.json", "pyproject.toml")


def measure(runs: int) -> dict[str, float]:
    """Runs a second, and how many times those of the development server."""
    ours = _ours(runs)
    default = _theirs(runs // 4)
    parallel = _theirs(runs, "--n-jobs-per-worker", "16")
    return {
        "/lg, runs/s": ours,
        "langgraph dev, runs/s": default,
        "langgraph dev --n-jobs-per-worker 16, runs/s": parallel,
        "/lg ÷ langgraph dev": ours / default,
        "/lg ÷ langgraph dev --n-jobs-per-worker 16": ours / parallel,
    }


def _ours(runs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder, posts_per_minute="0")
        try:
            seconds_of(server.url, waited("/lg"), WARM, CLIENTS)
            return runs / seconds_of(server.url, waited("/lg"), runs, CLIENTS)
        finally:
            server.end()


def _theirs(runs: int, *options: str) -> float:
    with tempfile.TemporaryDirectory() as folder, _development(Path(folder), *options) as url:
        seconds_of(url, waited(""), WARM, CLIENTS)
        return runs / seconds_of(url, waited(""), runs, CLIENTS)


@contextmanager
def _development(folder: Path, *options: str) -> Iterator[str]:
    for name in _COPIED:
        if (HERE / name).is_dir():
            shutil.copytree(HERE / name, folder / name)
        else:
            shutil.copy(HERE / name, folder / name)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    quiet = {
        **{name: one for name, one in os.environ.items() if not name.startswith("RUNWRIGHT")},
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGGRAPH_NO_VERSION_CHECK": "1",
        "LANGSMITH_TRACING": "false",
        "LANGSMITH_API_KEY": "",
        "PYTHONPATH": str(folder),
    }
    flags = ("--no-browser", "--no-reload", "--port", str(port), *options)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "langgraph_cli", "dev", *flags],
            cwd=folder,
            env=quiet,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(url):
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(15)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ok", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
