"""Processes of the program that are forked from one in which all of it is loaded already.

Loading it takes a second or two of work, of which a start has little else. `Forked` is used as a
`subprocess.Popen`: it has a process of its own, which is signalled, killed and waited for.
"""

import atexit
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_ROOT = Path(__file__).parents[4]
HEADER = 8  # bytes, of an order's length

#: What a fork is told that is to load models, and to be a server at the place that is told, too.
SERVE_WITH_MODELS = "serve-forks-with-models"


class Forked:
    """A started process; its streams are those that a `Popen` with pipes and text has.

    `arguments` are those of the program. Streams that are not given are those of this process, also
    where they are closed.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        with_models: bool = False,
    ) -> None:
        self.returncode: int | None = None
        self._lock = threading.Lock()
        given = (stdin, stdout, stderr)
        closed = [number for number in range(3) if given[number] is None and not _is_open(number)]
        for _ in closed:
            os.open(os.devnull, os.O_RDWR)  # has the lowest number that is free
        self.stdout, out = _stream(stdout, 1)
        self.stderr, err = _stream(stderr, 2)
        self.stdin, into = _input(stdin)
        told = {"arguments": [*arguments], "cwd": str(cwd), "env": {**env}, "closed": closed}
        order = json.dumps(told).encode()
        try:
            self._link = socket.socket(socket.AF_UNIX)
            self._link.connect(str(fork_server(with_models)))
            socket.send_fds(self._link, [len(order).to_bytes(HEADER)], [into, out, err])
            self._link.sendall(order)
            self.pid = int.from_bytes(received(self._link, HEADER))
        finally:
            for descriptor in (into, out, err):
                os.close(descriptor)

    def poll(self) -> int | None:
        """The exit code, or None as long as it goes on."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative where a signal has ended it. Raises `TimeoutExpired`."""
        if not self._lock.acquire(timeout=-1 if timeout is None else max(timeout, 0.001)):
            raise subprocess.TimeoutExpired("the program", timeout or 0.0)
        try:
            if self.returncode is None:
                ready = select.poll()  # `select` knows no descriptors above a thousand
                ready.register(self._link, select.POLLIN)
                if not ready.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired("the program", timeout or 0.0)
                told = received(self._link, HEADER)
                self.returncode = os.waitstatus_to_exitcode(int.from_bytes(told))
                self._link.close()
            return self.returncode
        finally:
            self._lock.release()

    def send_signal(self, number: int) -> None:
        """Nothing where it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has, and the fork server has not told yet
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it wrote, once it has ended; its input is closed."""
        if self.stdin:
            with suppress(BrokenPipeError):
                self.stdin.close()
        told = {"stdout": "", "stderr": ""}

        def read(name: str, stream: IO[str]) -> None:
            told[name] = stream.read()

        readers = [
            threading.Thread(target=read, args=(name, stream), daemon=True)
            for name, stream in (("stdout", self.stdout), ("stderr", self.stderr))
            if stream and not stream.closed
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        self._close()
        return told["stdout"], told["stderr"]

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self.wait()

    def _close(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream:
                with suppress(BrokenPipeError):
                    stream.close()


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _input(given: int | None) -> tuple[IO[str] | None, int]:
    """Our end of the input, if it has one, and a descriptor of the other one."""
    if given == subprocess.DEVNULL:
        return None, os.open(os.devnull, os.O_RDONLY)
    if given != subprocess.PIPE:
        return None, os.dup(0 if given is None else given)
    theirs, ours = os.pipe()
    return os.fdopen(ours, "w", encoding="utf-8"), theirs


def _stream(given: int | None, own: int) -> tuple[IO[str] | None, int]:
    """Our end of a stream, if it has one, and a descriptor of the other one."""
    if given != subprocess.PIPE:
        return None, os.dup(own if given is None else given)
    ours, theirs = os.pipe()
    return os.fdopen(ours, encoding="utf-8", errors="replace"), theirs


def received(link: socket.socket, length: int) -> bytes:
    """So many bytes. Raises `ConnectionError` where the other side has ended before."""
    told = b""
    while len(told) < length:
        part = link.recv(length - len(told))
        if not part:
            raise ConnectionError("the other side has ended")
        told += part
    return told


# The servers, of which all processes of the tests have the same

_VARIABLE = "TEST_FORKS"  # the folder of their sockets
_starting = threading.RLock()


def share_servers() -> Callable[[], None]:
    """Let this process and those that it starts have the same servers, until what is returned."""
    folder = tempfile.TemporaryDirectory(prefix="forks-", ignore_cleanup_errors=True)
    # They end when nobody is left who could write to it.
    os.mkfifo(Path(folder.name) / "alive")
    alive = os.open(Path(folder.name) / "alive", os.O_RDWR)
    os.environ[_VARIABLE] = folder.name

    def end() -> None:
        if os.environ.pop(_VARIABLE, None):
            os.close(alive)
            folder.cleanup()

    return end


def fork_server(with_models: bool = False) -> Path:
    """Where a server listens, which is started when it is first asked for."""
    with _starting:
        if _VARIABLE not in os.environ:
            atexit.register(share_servers())
        place = Path(os.environ[_VARIABLE]) / ("models" if with_models else "plain")
        ready = place.with_suffix(".ready")
        if not ready.exists():
            with place.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not ready.exists():
                    _start(place, with_models=with_models)
                    ready.touch()
    return place


def _start(place: Path, *, with_models: bool) -> None:
    inherited = {name: value for name, value in os.environ.items() if "RUNWRIGHT" not in name}
    inherited.pop("PYTHONUNBUFFERED", None)  # streams as they are without it
    if with_models:  # from the other one, which has loaded the program
        order = [SERVE_WITH_MODELS, str(place)]
        pipe, none = subprocess.PIPE, subprocess.DEVNULL
        forked = Forked(order, cwd=_ROOT, env=inherited, stdin=none, stdout=pipe)
        assert forked.stdout is not None
        with forked.stdout as told, forked._link:
            assert told.readline(), "the fork server did not load models"
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.servers.forks.server", str(place)],
        cwd=_ROOT,
        env={**inherited, "PYTHONWARNINGS": "error"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as told:
        assert told.readline(), "the fork server did not start"
    process.returncode = 0  # it outlives whoever started it
