"""A real `runwright serve` in a process of its own, to be talked to, stopped and killed."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.checkout import ROOT

SERVE = (sys.executable, "-m", "api", "serve")


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """The environment of a process whose database is in `folder`; nothing else is inherited."""
    inherited = {name: value for name, value in os.environ.items() if "RUNWRIGHT" not in name}
    return {
        **inherited,
        "RUNWRIGHT_DATABASE_URL": f"sqlite:///{folder}/runs.db",
        "RUNWRIGHT_PORT": "0",
        "PYTHONWARNINGS": "error",
        **{f"RUNWRIGHT_{name.upper()}": value for name, value in settings.items()},
    }


def http_client(url: str = "", **options: Any) -> httpx.Client:
    """A client of a local server; no certificates are loaded, which takes 20 ms each time."""
    return httpx.Client(
        base_url=url, **{"timeout": 30, "trust_env": False, "verify": False} | options
    )


def runwright(*arguments: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "api", *arguments],
        cwd=ROOT,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def make(*arguments: str) -> list[str]:
    """The command, with the environment that the tests run in instead of one of its own."""
    programs = Path(sys.executable).parent
    stamps = [f"--old-file=.venv/.{name}" for name in ("installed", "models", "dev")]
    return ["make", *stamps, f"BIN={programs}", *arguments]


class ServerProcess:
    """A started server; `url` is where it answers, `lines` what it logged so far.

    `command` is what starts it, maybe through other processes.
    """

    def __init__(self, folder: Path, command: Sequence[str] = SERVE, **settings: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(folder, **settings),
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self._serving = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.client = http_client()
        self.url = self._await_url()
        self.client.base_url = self.url

    def post(self, prompt: str) -> str:
        """Start a run; its id."""
        response = self.client.post("/runs", json={"prompt": prompt})
        assert response.status_code == 201, response.text
        return str(response.json()["run_id"])

    def get(self, run_id: str) -> dict[str, Any]:
        """The record as it is now."""
        response = self.client.get(f"/runs/{run_id}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def settled(self, run_id: str, timeout: float = 30) -> dict[str, Any]:
        """The record once the run is settled."""
        return self.until(
            run_id, lambda run: run["status"] in ("completed", "failed", "cancelled"), timeout
        )

    def until(self, run_id: str, condition: Any, timeout: float = 30) -> dict[str, Any]:
        """The record once it meets `condition`."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            record = self.get(run_id)
            if condition(record):
                return record
            time.sleep(0.02)
        raise AssertionError(f"not within {timeout} s: {record}")

    def kill(self) -> None:
        """SIGKILL: the process has no say in it; nothing happens when it has ended already."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self._ended()

    def terminate(self, timeout: float = 15) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self._ended()
        return code

    def _ended(self) -> None:
        self.process.wait(10)
        self.client.close()
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _await_url(self) -> str:
        self._serving.wait(30)
        match = re.search(r"http://[^\s\"]+", "\n".join(self.lines))
        if match is None:
            self.kill()
            raise AssertionError("the server did not start:\n" + "\n".join(self.lines))
        return match[0]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            if re.search(r"\bserving\b", line):  # in text, or as JSON
                self._serving.set()
        self._serving.set()


@contextmanager
def serving(
    folder: Path, command: Sequence[str] = SERVE, **settings: str
) -> Iterator[ServerProcess]:
    """A server that is stopped at the end if the test has not ended it."""
    server = ServerProcess(folder, command, **settings)
    try:
        yield server
    finally:
        server.kill()
