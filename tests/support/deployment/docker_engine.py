"""A Docker engine of the tests' own; when it stops, its containers and images are gone."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.patience import patience, wait_until

_NEEDED = ("docker", "dockerd", "mmdebstrap")


class DockerEngine:
    """A started engine, which nothing but `run` talks to."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        self._socket = f"unix://{folder}/socket"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    "dockerd",
                    f"--host={self._socket}",
                    f"--pidfile={folder}/pid",
                    f"--data-root={folder}/data",
                    f"--exec-root={folder}/exec",
                ],
                stdout=log,
                stderr=log,
            )

    def run(self, script: str, folder: Path | None = None, stdin: bytes | None = None) -> str:
        """What a shell prints in which `docker` is this engine's; AssertionError if it fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": "/nowhere", "DOCKER_HOST": self._socket},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        told = done.stdout.decode()
        assert done.returncode == 0, f"{script}\nended with {done.returncode}:\n{told}"
        return told.strip()

    def await_start(self) -> None:
        """Until it answers."""
        wait_until(self._answers, otherwise=self._log.read_text)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        try:
            self.run("docker version")
        except AssertionError:
            return False
        return True

    def stop(self) -> None:
        """With every container."""
        self.process.terminate()
        self.process.wait(patience())


@contextmanager
def docker_engine() -> Iterator[DockerEngine]:
    """Where it cannot be had the test is skipped, which CI does not allow."""
    if lacking := _lacking():
        if os.environ.get("CI") == "true":
            pytest.fail(lacking)
        pytest.skip(lacking)
    # Not pytest's folder: that is kept, and too deep for the name of a socket.
    with tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as folder:
        context = DockerEngine(Path(folder))
        try:
            context.await_start()
            yield context
        finally:
            context.stop()


def _has_plugin() -> bool:
    version = ["docker", "compose", "version"]
    return subprocess.run(version, capture_output=True, check=False).returncode == 0


def _lacking() -> str:
    """Why no engine can be started here, if so."""
    if missing := [name for name in _NEEDED if shutil.which(name) is None]:
        return f"needs {', '.join(missing)}"
    if not (shutil.which("docker-compose") or _has_plugin()):
        return "needs docker compose"
    if os.geteuid() != 0:
        return "needs root"
    if Path("/var/run/docker.sock").exists():
        return "another engine runs here, whose network this one would change"
    return ""
