"""A Postgres that another one follows, and what takes its place when it is gone."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.support.databases.postgres import PostgresServer
from tests.support.patience import wait_until

#: What waits for the disk waits for the other one's, too.
SYNCHRONOUS = "ALTER SYSTEM SET synchronous_standby_names = '*'"

_FOLLOWED = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


class Standby(PostgresServer):
    """Follows a server from a copy of it, and reads only until it is promoted."""

    def __init__(self, primary: "Primary") -> None:
        self._primary = primary
        super().__init__()

    def promote(self) -> None:
        """Become the one that is written to; it is when this returns."""
        self.execute("SELECT pg_promote(wait => true)")
        wait_until(lambda: self.execute("SELECT pg_is_in_recovery()") == [(False,)])

    def _make_files(self) -> None:
        shutil.rmtree(self._data)
        self._primary.copy_to(self._data)

    def _make_databases(self) -> None:
        """They are those of the other one."""


class Primary(PostgresServer):
    """A server with a standby, without which it acknowledges nothing that waits for the disk."""

    def __enter__(self) -> Self:
        self.standby = Standby(self)
        self.execute(SYNCHRONOUS)
        self.execute("SELECT pg_reload_conf()")
        wait_until(lambda: self.execute(_FOLLOWED) == [(1,)])
        return super().__enter__()

    def __exit__(self, *of: object) -> None:
        self.kill()
        self.standby.__exit__(*of)
        super().__exit__(*of)

    def copy_to(self, place: Path) -> None:
        """Copy the files, with what lets the copy follow this one."""
        place.mkdir(mode=0o700)
        if self._user:
            shutil.chown(place, self._user)
        reached = ("-h", str(self._data), "-U", "postgres")
        options = ("--checkpoint=fast", "--no-sync", "--write-recovery-conf")
        self._run("pg_basebackup", *reached, "-D", str(place), "-X", "stream", *options)
        (place / f"{Path(self.socket).name}.lock").unlink()  # of the socket of this one

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All of its processes stand still for as long as the context lasts: none answers."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)
