"""A real `make studio` in a copy of the checkout, as a fresh clone has it, to be talked to."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
from langgraph_sdk import get_sync_client

from tests.support.checkout import PACKAGES, ROOT
from tests.support.models.silent_server import SilentServer, silence
from tests.support.patience import patience, wait_until
from tests.support.servers.server_process import make

_FILES = ("Makefile", "langgraph.json", "pyproject.toml")

_FAULTS = ("BlockingError", "Traceback", "[error", "Deserializing unregistered", "[warning")


class StudioServer:
    """A started server.

    `folder` is the copy that it runs in, where it keeps what it keeps; `url` is where it answers,
    `client` LangGraph's own client of it, `lines` what it printed so far. `outside` is where it
    would go if it called anybody but itself.
    """

    def __init__(self, folder: Path, outside: SilentServer, **settings: str) -> None:
        self.folder, self.outside = copy_checkout(folder), outside
        self.lines: list[str] = []
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            make("studio", f"ARGS=--no-browser --no-reload --port {port}"),
            cwd=self.folder,
            env=_environment(self.folder, outside.url, settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.client = get_sync_client(url=self.url)
        self._await_answer()

    @property
    def complaints(self) -> list[str]:
        """What it printed that is a fault; its detector of blocking calls prints, too."""
        slow = "exceeded the expected startup time", "Slow graph load"  # the machine is busy
        return [
            line
            for line in self.lines
            if any(sign in line for sign in _FAULTS) and not any(sign in line for sign in slow)
        ]

    def run(self, prompt: str) -> tuple[str, dict[str, Any]]:
        """The thread that the prompt was run on, and the state that came out."""
        thread_id = self.thread()
        return thread_id, self.wait(thread_id, {"prompt": prompt})

    def thread(self) -> str:
        """A new thread."""
        return self.client.threads.create()["thread_id"]

    def wait(
        self, thread_id: str, given: dict[str, Any] | None = None, **options: Any
    ) -> dict[str, Any]:
        """The state in which a run on the thread ends; without input it goes on where it stands."""
        state = self.client.runs.wait(thread_id, "runwright", input=given, **options)
        return cast("dict[str, Any]", state)

    def history(self, thread_id: str) -> list[dict[str, Any]]:
        """The thread's checkpoints, the oldest one first."""
        found: Any = self.client.threads.get_history(thread_id, limit=100)
        return list(reversed(found))

    def before_step(self, thread_id: str, step: int) -> dict[str, Any]:
        """The first checkpoint that this step is due at."""
        return next(
            entry
            for entry in self.history(thread_id)
            if entry["next"] == ["execute_step"] and entry["values"]["run"]["cursor"] == step - 1
        )

    def stop(self) -> None:
        """Stop it and everything that it started, unless that is done."""
        if self.process.returncode is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(patience())
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(patience())
        self._reader.join(patience())
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.client.http.client.close()

    def _await_answer(self) -> None:
        try:
            wait_until(self._answers, every=0.1, otherwise=lambda: "\n".join(self.lines))
        except AssertionError:
            self.stop()
            raise

    def _answers(self) -> bool:
        assert self.process.poll() is None, "\n".join(self.lines)
        try:
            answer = httpx.get(f"{self.url}/ok", trust_env=False, timeout=patience())
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip())


@contextmanager
def studio(folder: Path, **settings: str) -> Iterator[StudioServer]:
    """A server that is stopped at the end."""
    with silence() as outside:
        server = StudioServer(folder, outside, **settings)
        try:
            yield server
        finally:
            server.stop()


def copy_checkout(folder: Path) -> Path:
    """What a fresh clone has of the product; what an earlier start in the folder left, stays.

    With what Python has compiled of it, which takes a second each time.
    """
    clone = folder / "clone"
    for name in PACKAGES:
        half_written = shutil.ignore_patterns("*.pyc.*")
        shutil.copytree(ROOT / name, clone / name, ignore=half_written, dirs_exist_ok=True)
    for name in _FILES:
        shutil.copy(ROOT / name, clone / name)
    return clone


def _environment(folder: Path, outside: str, settings: dict[str, str]) -> dict[str, str]:
    """Nothing but the settings, the copy's packages, and a proxy that leads nowhere."""
    proxies = {f"{kind}_proxy": outside for kind in ("http", "https", "all")}
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(folder),
        "LOG_COLOR": "false",
        # As somebody may have it who works with LangSmith: it must not be used.
        "LANGSMITH_API_KEY": "canary-key",
        **proxies,
        **{name.upper(): url for name, url in proxies.items()},
        "NO_PROXY": "127.0.0.1,localhost",
        **{f"RUNWRIGHT_{name.upper()}": value for name, value in settings.items()},
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
