"""A `runwright serve` in a process of its own, and what it costs."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

TICKS = os.sysconf("SC_CLK_TCK")

HERE = Path(__file__).parents[1]


class Server:
    """A started server on the database in `folder`; `settings` as in the environment.

    It is that of this checkout, or of another one, which runs with the packages of this. `command`
    is what is started instead of `serve`.
    """

    def __init__(
        self, folder: str, *, command: Sequence[str] = (), checkout: Path = HERE, **settings: str
    ) -> None:
        environment = {
            # Compiled code is kept, as it is where this is not set.
            **{name: one for name, one in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "PYTHONPATH": str(checkout),
            "RUNWRIGHT_DATABASE_URL": f"sqlite:///{folder}/runs.db",
            "RUNWRIGHT_PORT": "0",
            **{f"RUNWRIGHT_{name.upper()}": value for name, value in settings.items()},
        }
        self.began = time.perf_counter()
        log = Path(folder) / "log"
        with log.open("w") as stderr:
            self.process = self._process(command, environment, stderr, folder)
        while not (match := re.search(r"http://\S+", log.read_text())):
            time.sleep(0.01)
        self.url = match[0]
        httpx.get(f"{self.url}/health/ready", trust_env=False).raise_for_status()
        self.start_seconds = time.perf_counter() - self.began

    def _process(
        self, command: Sequence[str], environment: dict[str, str], stderr: IO[str], folder: str
    ) -> subprocess.Popen[str]:
        command = command or [sys.executable, "-m", "api", "serve"]
        return subprocess.Popen(command, env=environment, stderr=stderr, cwd=folder)

    def cpu_ms(self) -> float:
        """CPU of all its threads so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / TICKS

    def memory_mb(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def end(self) -> None:
        """SIGTERM, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.wait(15)


@contextmanager
def server(*, checkout: Path = HERE, **settings: str) -> Iterator[Server]:
    """A server on a fresh database, ended afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        started = Server(folder, checkout=checkout, **settings)
        try:
            yield started
        finally:
            started.end()
