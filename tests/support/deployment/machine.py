"""A Debian machine with systemd, in a container, for what changes a whole machine."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.deployment.docker_engine import DockerEngine
from tests.support.patience import wait_until

#: systemd asks for more than a container has, and is not let have more than the tests have.
_RIGHTS = (
    "--cap-add ALL --cap-drop SYS_RESOURCE --security-opt seccomp=unconfined"
    " --security-opt apparmor=unconfined --cgroupns private --volume /sys/fs/cgroup:/sys/fs/cgroup"
    " --tmpfs /run --tmpfs /tmp"
)


class Machine:
    """A started machine, in which everything is done as root."""

    def __init__(self, context: DockerEngine) -> None:
        self._context = context
        self._name = context.run(f"docker run --detach {_RIGHTS} machine")

    def run(self, script: str, stdin: bytes | None = None) -> str:
        """What a shell prints; AssertionError if it fails."""
        command = f"docker exec --interactive {self._name} bash -euo pipefail -c "
        return self._context.run(command + shlex.quote(script), stdin=stdin)

    def write(self, path: str, text: str) -> None:
        """A file that only root can read."""
        self.run(f"umask 077; cat > {path}", stdin=text.encode())

    def until(self, script: str) -> str:
        """What it prints as soon as it does not fail."""
        told: list[str] = []

        def succeeds() -> bool:
            try:
                told.append(self.run(script))
            except AssertionError as failure:
                told[:] = [str(failure)]
                return False
            return True

        wait_until(succeeds, otherwise=lambda: told[-1])
        return told[-1]

    def remove(self) -> None:
        """At once."""
        self._context.run(f"docker rm --force --volumes {self._name}")


@contextmanager
def machine(context: DockerEngine) -> Iterator[Machine]:
    """It is removed at the end."""
    started = Machine(context)
    try:
        started.until("systemctl is-active dbus")
        yield started
    finally:
        started.remove()
