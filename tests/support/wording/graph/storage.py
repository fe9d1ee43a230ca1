"""Why a database, or a copy of one, cannot be had."""

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from graph.storage import open as opening
from graph.storage.open import BackupFailed, back_up, open_storage, sqlite_path
from graph.storage.sqlite.open import FileOwned, Owner, check_place
from graph.storage.sqlite.schema import VERSION
from graph.storage.storage import StorageError
from tests.support.wording.messages import masked, refusal


async def messages() -> dict[str, str]:
    """Of the database first, then of its owner, then of copies."""
    url = "mysql://x"
    told = {"url": masked(refusal(StorageError, sqlite_path, url), url=repr(url))}
    with TemporaryDirectory() as name:
        folder = Path(name)
        told["unusable"] = masked(
            await _unopened(folder / "none" / "runs.db"), path=folder / "none" / "runs.db"
        ).replace(str(folder / "none"), "<folder>")
        told["newer"] = await _newer(folder / "newer.db")
        told["foreign"] = masked(await _foreign(folder / "other.db"), path=folder / "other.db")
        told["copy.is-none"] = masked(
            refusal(BackupFailed, back_up, folder / "other.db", folder / "copy"),
            path=folder / "other.db",
        )
        told |= _copies(folder)
        told["link"] = masked(refusal(StorageError, _linked, folder / "l.db"), path=folder / "l.db")
        told["no-file"] = masked(await _refused(f"sqlite:///{folder}"), path=folder)
        shared = folder / "shared" / "runs.db"
        told["another-users"] = masked(refusal(StorageError, _another_users, shared), path=shared)
        told["temporary"] = await _no_temporary(folder / "none")
    path = Path("<path>")
    told["owned"] = str(FileOwned(path, None))
    told["owned.server"] = masked(str(FileOwned(path, Owner(97, "<url>"))), pid=97)
    told["owned.process"] = masked(str(FileOwned(path, Owner(97, None))), pid=97)
    return told


async def _unopened(path: Path) -> str:
    return await _refused(f"sqlite:///{path}")


async def _refused(url: str) -> str:
    with pytest.raises(StorageError) as refused:
        async with open_storage(url):
            pass
    return str(refused.value)


def _linked(path: Path) -> None:
    path.symlink_to(path.parent / "other.db")
    check_place(path)


def _another_users(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)
    path.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
        check_place(path)


async def _no_temporary(folder: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        return await _refused("memory://")


async def _newer(path: Path) -> str:
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    said = masked(await _unopened(path), path=path, known=f"to version {VERSION}")
    return masked(said.replace("<known>", "to version <known>"), version=VERSION + 1)


async def _foreign(path: Path) -> str:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text)")
    return await _unopened(path)


def _copies(folder: Path) -> dict[str, str]:
    there, nowhere = folder / "there", folder / "none" / "copy"
    there.touch()

    def faster(source: Path, part: Path) -> int:
        (folder / "fast").touch()
        return 0

    told = {
        "copy.there": masked(refusal(BackupFailed, back_up, there, there), path=there),
        "copy.no-database": masked(
            refusal(BackupFailed, back_up, nowhere, folder / "copy"), path=nowhere
        ),
        "copy.no-folder": masked(
            refusal(BackupFailed, back_up, there, nowhere), path=nowhere.parent
        ),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "_copy", faster)
        late = refusal(BackupFailed, back_up, there, folder / "fast")
    return told | {"copy.meanwhile": masked(late, path=folder / "fast")}
