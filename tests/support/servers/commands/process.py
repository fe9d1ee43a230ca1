"""A real `runwright run` or `watch` in a process of its own, to be read and interrupted."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.patience import patience, wait_until
from tests.support.servers.server_process import forked

#: What moves a cursor or sets a colour.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class CommandProcess:
    """A started command; `output` and `complaints` are what it wrote so far.

    With `terminal`, both go to a terminal of its own, which is an xterm of 100 by 30. `waits` are
    in seconds, by the names that `stretched` has for them.
    """

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        terminal: bool = False,
        waits: Mapping[str, float] | None = None,
        **settings: str,
    ) -> None:
        self.output = self.complaints = ""
        self._terminal = terminal
        # A terminal's two ends; nobody reads a pipe's second one.
        reading, writing = os.openpty() if terminal else os.pipe()
        self.process = forked(
            *arguments,
            folder=folder,
            env={
                **{f"WAIT_{name}": str(seconds) for name, seconds in (waits or {}).items()},
                "TERM": "xterm-256color",
                "COLUMNS": "100",
                "LINES": "30",
            },
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing if terminal else subprocess.PIPE,
            **settings,
        )
        os.close(writing)
        self._readers = [threading.Thread(target=self._read, args=(reading,), daemon=True)]
        if not terminal:
            self._readers.append(threading.Thread(target=self._read_complaints, daemon=True))
        for reader in self._readers:
            reader.start()

    @property
    def shown(self) -> str:
        """The output without what only moves the cursor or sets a colour."""
        return CONTROL.sub("", self.output).replace("\r\n", "\n").replace("\r", "\n")

    @property
    def lines(self) -> list[str]:
        """The output with its times, durations and ids made alike."""
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", self.shown)
        text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
        return re.sub(r"in \d+ ms", "in N ms", text).splitlines()

    @property
    def run_id(self) -> str:
        """The id of its run, once it has told it."""
        return self.until(r"run ([0-9a-f-]{36})")[1]

    def until(self, pattern: str) -> re.Match[str]:
        """Wait until it has written what matches."""
        return wait_until(
            lambda: re.search(pattern, self.shown + self.complaints),
            otherwise=lambda: f"no {pattern!r} in {self.shown!r} {self.complaints!r}",
        )

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def leave(self) -> int:
        """Ctrl-C twice; the exit code."""
        self.interrupt()
        self.until("press Ctrl-C again")
        self.interrupt()
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(patience())
        for reader in self._readers:
            reader.join(patience())
        return code

    def _read(self, descriptor: int) -> None:
        with open(descriptor, "rb", buffering=0) as stream:
            try:
                while part := stream.read(65_536):
                    self.output += part.decode(errors="replace")
            except OSError:
                pass  # how a terminal ends

    def _read_complaints(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.complaints += line


@contextmanager
def running(*arguments: str, folder: Path, **options: Any) -> Iterator[CommandProcess]:
    """A command that is killed at the end if it has not ended by itself."""
    command = CommandProcess(*arguments, folder=folder, **options)
    try:
        yield command
    finally:
        command.process.kill()
        command.ended()
