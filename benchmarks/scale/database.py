"""A Postgres that waits for its disk, as an installed one does, and counts its statements."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from benchmarks.server import TICKS
from tests.support.databases.postgres import PostgresServer
from tests.support.patience import wait_until


class Counted(NamedTuple):
    """What a database has done so far: transactions, statements, bytes of files."""

    transactions: float
    statements: float
    size: float


def free_port() -> int:
    """A port of loopback that nothing listens on just now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def cpu_ms(process: int) -> float:
    """CPU of all threads of a process so far, those that have ended included.

    By its clock (`clock_getcpuclockid`), which counts nanoseconds: a turn of few runs is as short
    as some ticks of those in /proc. Raises `OSError` where it has ended.
    """
    return time.clock_gettime_ns((~process << 3) | 2) / 1e6


class Database(PostgresServer):
    """Reached on loopback; `url` is the database that the fleet has."""

    def __init__(self) -> None:
        self._port = free_port()
        super().__init__()
        self.execute("CREATE EXTENSION pg_stat_statements", database="postgres")

    def url_of(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        settings = (
            *("jit=off", "max_connections=800", "shared_preload_libraries=pg_stat_statements"),
            *("shared_buffers=256MB", "max_wal_size=4GB"),
        )
        self._process = subprocess.Popen(
            [
                *(self._bin / "postgres", "-D", self._data, "-k", self._data),
                *("-h", "127.0.0.1", "-p", str(self._port), *(f"-c{one}" for one in settings)),
            ],
            user=self._user,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        wait_until(self._answers, every=0.02)

    def observed(self, database: str) -> "Observer":
        """A database of it, by a connection of its own."""
        return Observer(self, database)

    def cpu_ms(self) -> float:
        """CPU of all its processes so far, those that have ended included."""
        assert self._process is not None
        mine = self._process.pid
        total = sum(_fields(mine)[11:15])
        for child in self.children():
            with suppress(OSError):
                total += sum(_fields(child)[11:13])
        return total * 1000 / TICKS

    def children(self) -> Iterator[int]:
        """Its processes but for the first."""
        assert self._process is not None
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                if _fields(int(path.name))[1] == self._process.pid:
                    yield int(path.name)


class Observer:
    """Looks at one database of a server by a connection that is kept, and counts itself out."""

    def __init__(self, server: Database, name: str) -> None:
        self._server, self.name = server, name
        self._asked = 0
        self._connection = psycopg.connect(server.url_of(name), autocommit=True)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def execute(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        self._asked += 1
        return self._connection.execute(sql.encode(), values or None).fetchall()

    def wal(self) -> float:
        """Bytes of the server's log so far."""
        [(bytes_so_far,)] = self.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
        return float(bytes_so_far)

    def counted(self) -> "Counted":
        """So far. Of transactions those are known that the connection that made them has told, as
        it does within ten seconds.
        """
        asked = self._asked
        [(transactions, size)] = self.execute(
            "SELECT xact_commit, pg_database_size(datid) FROM pg_stat_database"
            " WHERE datname = current_database()"
        )
        [(statements,)] = self._server.execute(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements"
            " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = %s)",
            self.name,
            database="postgres",
        )
        return Counted(float(transactions) - asked, float(statements) - asked, float(size))

    def cpu_ms(self) -> dict[int, float]:
        """CPU of each process so far that works for this database, or for all of them."""
        others = self.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname <> current_database()"
            " OR pid = pg_backend_pid()"
        )
        mine = {*self._server.children()} - {int(pid) for (pid,) in others}
        found = {}
        for process in mine:
            with suppress(OSError):  # it has ended
                found[process] = cpu_ms(process)
        return found


def _fields(process: int) -> list[int]:
    """Those of a process' state after its name, as numbers; the state itself counts as none."""
    [state, *fields] = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return [0 * len(state), *(int(one) for one in fields)]
