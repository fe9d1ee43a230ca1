"""A Postgres that waits for its disk, as an installed one does, and counts its statements."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from benchmarks.scale.process import free_port
from benchmarks.server import TICKS
from tests.support.databases.postgres import NAME, PostgresServer
from tests.support.patience import wait_until


class Counted(NamedTuple):
    """What a database has done so far: transactions, statements, bytes of log and of files."""

    transactions: float
    statements: float
    wal: float
    size: float

    def since(self, before: "Counted", runs: int) -> "Counted":
        """Of one run."""
        return Counted(*((now - then) / runs for now, then in zip(self, before, strict=True)))


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
            *("jit=off", "max_connections=300", "shared_preload_libraries=pg_stat_statements"),
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

    def counted(self, database: str = NAME) -> Counted:
        """So far; what Postgres itself does in the background is in the log, too."""
        [(transactions,)] = self.execute(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = %s", database
        )
        [(statements,)] = self.execute(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements"
            " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = %s)",
            database,
            database="postgres",
        )
        [(wal,)] = self.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
        [(size,)] = self.execute("SELECT pg_database_size(%s)", database)
        return Counted(float(transactions), float(statements), float(wal), float(size))

    def cpu_ms(self) -> float:
        """CPU of all its processes so far, those that have ended included."""
        assert self._process is not None
        mine = self._process.pid
        total = sum(_fields(mine)[11:15])
        for path in Path("/proc").glob("[0-9]*"):
            try:
                fields = _fields(int(path.name))
            except (OSError, ValueError):
                continue
            if fields[1] == mine:
                total += sum(fields[11:13])
        return total * 1000 / TICKS


def _fields(process: int) -> list[int]:
    """Those of a process' state after its name, as numbers; the state itself counts as none."""
    [state, *fields] = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return [0 * len(state), *(int(one) for one in fields)]
