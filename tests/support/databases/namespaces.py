"""Machines as far as a network goes: namespaces of this one, of which one has a Postgres."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.databases.postgres import NAME, PostgresServer
from tests.support.patience import wait_until

#: Where Postgres listens, as each of the others reaches it, by their numbers.
HOME = "10.77.{}.1"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Network:
    """A namespace at home and so many others, each with a link of its own to it."""

    def __init__(self, others: int) -> None:
        self._mark = f"rw{os.getpid()}"
        self.home = f"{self._mark}-home"
        self.others = [f"{self._mark}-{number}" for number in range(others)]
        _ip("netns", "add", self.home)
        for number, name in enumerate(self.others):
            _ip("netns", "add", name)
            here, there = f"{self._mark}h{number}", f"{self._mark}t{number}"
            ends = ("type", "veth", "peer", "name", there, "netns", name)
            _ip("link", "add", here, "netns", self.home, *ends)
            for where, link, last in ((self.home, here, 1), (name, there, 2)):
                _ip("-n", where, "addr", "add", f"10.77.{number}.{last}/24", "dev", link)
                _ip("-n", where, "link", "set", link, "up")
                _ip("-n", where, "link", "set", "lo", "up")

    def inside(self, name: str, *command: str) -> Sequence[str]:
        """The command as it is run in a namespace."""
        return ("ip", "netns", "exec", name, *command)

    @contextmanager
    def cut(self, number: int) -> Iterator[None]:
        """Nothing passes one link, and nobody is told, for as long as the context lasts."""
        link = f"{self._mark}h{number}"
        _ip("-n", self.home, "link", "set", link, "down")
        try:
            yield
        finally:
            _ip("-n", self.home, "link", "set", link, "up")

    def remove(self) -> None:
        """With what is left in it of links."""
        for name in (self.home, *self.others):
            _ip("netns", "del", name)


@contextmanager
def network(others: int) -> Iterator[Network]:
    """Removed at the end."""
    made = Network(others)
    try:
        yield made
    finally:
        made.remove()


class FarPostgres(PostgresServer):
    """A server at home, reached over the links; by its socket also from outside of the network."""

    def __init__(self, reached: Network) -> None:
        self._network = reached
        super().__init__()

    def url_over(self, number: int) -> str:
        """The database, as the namespace of this number reaches it."""
        return f"postgresql://postgres@{HOME.format(number)}/{NAME}"

    def start(self) -> None:
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.77.0.0/16 trust\n")
        server = [
            *(str(self._bin / "postgres"), "-D", str(self._data), "-k", str(self._data)),
            *("-h", "*", "-cfsync=off", "-cjit=off", "-cautovacuum=off"),
        ]
        if self._user:
            server = ["setpriv", "--reuid", self._user, "--clear-groups", *server]
        self._process = subprocess.Popen(
            self._network.inside(self._network.home, *server),
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        wait_until(self._answers, every=0.02)

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


def lacking() -> str:
    """Why there can be no namespaces here, if so."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("ip") is None:
        return "needs iproute2"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "this machine lets nobody make namespaces"
