"""A fleet of real processes over one Postgres: servers that execute nothing, and workers."""

import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import httpx

from tests.support.databases.postgres import EVERYWHERE
from tests.support.patience import patience, wait_until
from tests.support.servers.event_reader import Watcher
from tests.support.servers.forks.forked import Forked
from tests.support.servers.proxies.cutting import cutting
from tests.support.servers.server_process import (
    ServerProcess,
    environment,
    forked,
    http_client,
    serving,
)


class WorkerProcess:
    """A started `runwright worker`; `lines` are what it logged so far.

    `program` starts another program than this one's, as `earlier_program` gives it.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str] = ("worker",),
        program: Sequence[str] = (),
        **settings: str,
    ) -> None:
        self.lines: list[str] = []
        self.process: Forked | subprocess.Popen[str]
        if program:
            self.process = subprocess.Popen(
                [*program, *command],
                env=environment(folder, **settings),
                stderr=subprocess.PIPE,
                text=True,
            )
        else:
            self.process = forked(*command, folder=folder, stderr=subprocess.PIPE, **settings)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def logs(self, words: str) -> str:
        """The line with these words, once it is logged."""
        return wait_until(
            lambda: next((line for line in list(self.lines) if words in line), None),
            otherwise=lambda: "\n".join(self.lines),
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to a process that may have ended by itself."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(patience())
        self._reader.join(patience())
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def kill(self) -> None:
        """SIGKILL, whatever state it is in."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.ended()

    @property
    def took(self) -> set[str]:
        """The runs that it has logged."""
        return set(re.findall(r"run_id=([0-9a-f-]{36})", "\n".join(self.lines)))

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())


#: Three effects, with a gate in the middle at which a test stops the run.
PROMPT = "add bread to my list, then pass gate {name}, then add jam to my list"


class FleetProcesses:
    """So many servers and workers; a worker that ends by itself is started again when asked for."""

    def __init__(self, folder: Path, *, servers: int, workers: int, **settings: str) -> None:
        self._folder, self._settings = folder, settings
        self.servers = [ServerProcess(folder, workers="0", **settings) for _ in range(servers)]
        self.workers = [self.start() for _ in range(workers)]

    def __enter__(self) -> Self:
        for worker in self.workers:
            worker.logs("working")
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.kill()
        for worker in self.workers:
            worker.kill()

    def start(self) -> WorkerProcess:
        """One more worker, which is starting."""
        return WorkerProcess(self._folder, **self._settings)

    def standing(self, name: str) -> str:
        """A run that stands at its gate."""
        server = self.servers[0]
        run_id = server.post(PROMPT.format(name=name))
        server.until(run_id, lambda run: (run.get("current") or {}).get("step") == 2)
        return run_id

    def replace(self, index: int) -> None:
        """Kill a worker, and start another one in its place, as a supervisor does."""
        self.workers[index].kill()
        self.workers[index] = self.start()


@contextmanager
def deployed(folder: Path, **settings: str) -> Iterator[ServerProcess]:
    """A server; where all servers are to be tried on Postgres, it is two of them and a worker.

    They are behind a balancer, so that each request meets the one or the other.
    """
    if not EVERYWHERE:
        with serving(folder, **settings) as server:
            yield server
        return
    with (
        FleetProcesses(folder, servers=2, workers=1, **settings) as fleet,
        cutting([one.url for one in fleet.servers]) as balancer,
    ):
        first = fleet.servers[0]
        first.url = balancer.url
        first.client.base_url = balancer.url
        yield first


@contextmanager
def frozen(worker: WorkerProcess) -> Iterator[None]:
    """The worker stands still for as long as the context lasts."""
    worker.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.signal(signal.SIGCONT)


class Load:
    """Posts runs to the servers in turns, each with a key, until each is accepted.

    Each lays down words of its own, in so many `steps`. `watched` of them are watched at whichever
    server. `refused` are the answers to those that were to come again.
    """

    def __init__(
        self, servers: Sequence[ServerProcess], runs: int, steps: int, *, watched: int
    ) -> None:
        self._urls = [server.url for server in servers]
        self._prompts = [[f"w{run:05}s{step}" for step in range(steps)] for run in range(runs)]
        self._watched = max(1, runs // watched)
        self.words = [word for prompt in self._prompts for word in prompt]
        self.posted: dict[int, str] = {}
        self.refused: list[httpx.Response] = []
        self.watchers: list[Watcher] = []
        self._thread = threading.Thread(target=self._post, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until all are accepted, for half a second each at most."""
        self._thread.join(patience(120 + 0.5 * len(self._prompts)))
        assert not self._thread.is_alive()

    def _post(self) -> None:
        for number, words in enumerate(self._prompts):
            prompt = ", then ".join(f"lay {word}" for word in words)
            self.posted[number] = self._accepted(prompt, number)
            if number % self._watched == 0:
                self.watchers.append(Watcher(self.posted[number], self._next_url))
            time.sleep(0.05)

    def _accepted(self, prompt: str, number: int) -> str:
        while True:
            try:
                with http_client(self._urls[number % len(self._urls)]) as client:
                    given = {"Idempotency-Key": f"load-{number}"}
                    answer = client.post("/runs", json={"prompt": prompt}, headers=given)
                if answer.is_success:
                    return str(answer.json()["run_id"])
                self.refused.append(answer)
                assert answer.status_code in (409, 429, 503), answer.text
            except httpx.TransportError:
                pass
            time.sleep(0.2)

    def _next_url(self) -> str:
        return random.choice(self._urls)
