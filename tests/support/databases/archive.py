"""A Postgres whose log of writes is archived, and what is restored from it, as it was at a time."""

import shutil
import signal
import tempfile
from pathlib import Path

from tests.support.databases.postgres import PostgresServer
from tests.support.patience import wait_until


class ArchivedServer(PostgresServer):
    """A server of which each part of its log is copied as soon as it is full."""

    def __init__(self) -> None:
        self.archive = archive = Path(tempfile.mkdtemp(prefix="runwright-archive-"))
        archive.chmod(0o777)  # another user may write there
        super().__init__(
            "archive_mode=on",
            # A copy that was cut off must not be taken for a whole one.
            f"archive_command=cp %p {archive}/%f.part && mv {archive}/%f.part {archive}/%f",
            "full_page_writes=on",
        )

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        shutil.rmtree(self.archive, ignore_errors=True)

    def back_up(self) -> None:
        """Make a copy of the files (`pg_basebackup`), beside whatever is written meanwhile."""
        self._run("pg_basebackup", "-h", str(self._data), "-U", "postgres", "-X", "none", *self._to)

    def time(self) -> str:
        """What time it is to the database."""
        [(now,)] = self.execute("SELECT clock_timestamp()::text")
        return str(now)

    def lose(self) -> None:
        """Stop it, as if its machine were gone; what was written is in the archive by then."""
        [(last,)] = self.execute("SELECT pg_walfile_name(pg_switch_wal())")
        wait_until(lambda: (self.archive / last).exists())
        self.stop(signal.SIGQUIT)

    def restore(self, until: str) -> None:
        """Start it from the copy and the archive, as it was at a time."""
        shutil.rmtree(self._data)
        self._copy.rename(self._data)
        with (self._data / "postgresql.auto.conf").open("a") as settings:
            settings.write(
                f"restore_command = 'cp {self.archive}/%f %p'\n"
                f"recovery_target_time = '{until}'\n"
                "recovery_target_action = 'promote'\n"
            )
        (self._data / "recovery.signal").touch()
        self.start()
        wait_until(lambda: self.execute("SELECT pg_is_in_recovery()") == [(False,)])

    @property
    def _copy(self) -> Path:
        return self.folder / "copy"

    @property
    def _to(self) -> tuple[str, ...]:
        self._copy.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._copy, self._user)
        return ("-D", str(self._copy), "--checkpoint=fast", "--no-sync")
