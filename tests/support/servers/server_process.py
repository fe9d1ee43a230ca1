"""A real `runwright serve` in a process of its own, to be talked to, stopped and killed."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.support.checkout import ROOT
from tests.support.databases.postgres import database_of
from tests.support.own_tools.gate_tool import open_gate
from tests.support.patience import patience, wait_until
from tests.support.servers.forks.forked import Forked

#: The command by which users start a server.
SERVE = (sys.executable, "-m", "api", "serve")


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """The environment of a process whose database is in `folder`; nothing else is inherited."""
    inherited = {name: value for name, value in os.environ.items() if "RUNWRIGHT" not in name}
    return {
        **inherited,
        "RUNWRIGHT_DATABASE_URL": database_of(folder),
        "RUNWRIGHT_PORT": "0",
        "RUNWRIGHT_STEP_TIMEOUT": "3600",  # longer than any test
        "GATES": str(folder),
        "PYTHONWARNINGS": "error",
        **{f"RUNWRIGHT_{name.upper()}": value for name, value in settings.items()},
    }


def http_client(url: str = "", **options: Any) -> httpx.Client:
    """A client of a local server; no certificates are loaded, which takes 20 ms each time."""
    return httpx.Client(
        base_url=url, **{"timeout": patience(), "trust_env": False, "verify": False} | options
    )


def forked(
    *arguments: str,
    folder: Path,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    **settings: str,
) -> Forked:
    """The started command, beside whose environment `env` has variables of another kind."""
    return Forked(
        arguments,
        cwd=cwd,
        env=environment(folder, **settings) | (env or {}),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        with_models="models" in settings,
    )


def runwright(
    *arguments: str, folder: Path, cwd: Path = ROOT, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    pipe = subprocess.PIPE
    with forked(*arguments, folder=folder, cwd=cwd, stdout=pipe, stderr=pipe, **settings) as done:
        out, err = done.communicate(patience())
        return subprocess.CompletedProcess([*arguments], done.wait(), out, err)


def make(*arguments: str) -> list[str]:
    """The command, with the environment that the tests run in instead of one of its own."""
    programs = Path(sys.executable).parent
    stamps = [f"--old-file=.venv/.{name}" for name in ("installed", "models", "postgres", "dev")]
    return ["make", *stamps, f"BIN={programs}", *arguments]


class ServerProcess:
    """A started server; `url` is where it answers, `lines` what it logged so far.

    `command` is what starts it, maybe through other processes; without one it is forked.
    """

    def __init__(self, folder: Path, command: Sequence[str] | None = None, **settings: str) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.process: Forked | subprocess.Popen[str]
        if command is None:
            self.process = forked("serve", folder=folder, stderr=subprocess.PIPE, **settings)
        else:
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

    def ask(self, prompt: str) -> str:
        """Start a run that asks about its plan; its id, once it does."""
        response = self.client.post("/runs", json={"prompt": prompt, "mode": "plan"})
        assert response.status_code == 201, response.text
        run_id = str(response.json()["run_id"])
        self.until(run_id, lambda record: record["status"] == "waiting")
        return run_id

    def get(self, run_id: str) -> dict[str, Any]:
        """The record as it is now."""
        response = self.client.get(f"/runs/{run_id}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def settled(self, run_id: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """The record once the run is settled, for which a quick machine has so many seconds."""
        wait = f"/runs/{run_id}/wait?timeout=60"  # it also ends where a run rests for a person

        def settles() -> bool:
            return self.client.get(wait).json()["status"] in ("completed", "failed", "cancelled")

        wait_until(settles, seconds=seconds, otherwise=lambda: str(self.get(run_id)))
        return self.get(run_id)

    def until(self, run_id: str, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The record once it meets `condition`."""
        seen: list[dict[str, Any]] = []

        def meets() -> bool:
            seen[:] = [self.get(run_id)]
            return bool(condition(seen[0]))

        wait_until(meets, every=0.02, otherwise=lambda: str(seen))
        return seen[0]

    def open_gate(self, name: str) -> None:
        """Let the calls of `gate.pass` that wait for it return."""
        open_gate(self.folder, name)

    def end_backoff(self, run_id: str) -> httpx.Response:
        """Let a run make its next attempt as soon as it waits for it; the answer."""

        def ended() -> httpx.Response | None:
            answer = self.client.post(f"/runs/{run_id}/retry-now")
            return answer if answer.status_code == 200 else None

        return wait_until(ended)

    def logs(self, words: str) -> str:
        """The line with these words, once it is logged."""
        return wait_until(
            lambda: next((line for line in list(self.lines) if words in line), None),
            otherwise=lambda: "\n".join(self.lines),
        )

    def kill(self) -> None:
        """SIGKILL: the process has no say in it; nothing happens when it has ended already."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):  # it has, and nobody has told yet
                os.killpg(self.process.pid, signal.SIGKILL)
        self._ended()

    def end_requested(self) -> None:
        """SIGTERM, which it has noticed; what is under way has its grace from now on."""
        self.process.send_signal(signal.SIGTERM)
        self.logs(" stopping")

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(patience())
        self._ended()
        return code

    def _ended(self) -> None:
        self.process.wait(patience())
        self.client.close()
        self._reader.join(patience())
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _await_url(self) -> str:
        self._serving.wait(patience())
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
    folder: Path, command: Sequence[str] | None = None, **settings: str
) -> Iterator[ServerProcess]:
    """A server that is stopped at the end if the test has not ended it."""
    server = ServerProcess(folder, command, **settings)
    try:
        yield server
    finally:
        server.kill()
