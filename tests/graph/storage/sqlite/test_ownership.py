"""One process owns a SQLite file; every other one is told who."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from graph.storage.open import open_storage
from graph.storage.sqlite.open import FileOwned, Owner, own
from tests.support.checkout import ROOT
from tests.support.wording.messages import wording

OWNER = """
import sys
from pathlib import Path
from graph.storage.sqlite.open import own
with own(Path(sys.argv[1]), url=sys.argv[2] or None):
    print("owned", flush=True)
    sys.stdin.read()
"""


@contextmanager
def owner(path: Path, url: str = "http://127.0.0.1:8000") -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the file until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path), url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        yield process
        process.kill()


async def test_a_file_that_a_server_has_is_refused_with_its_address(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with owner(path) as process, pytest.raises(FileOwned) as error:
        async with open_storage(f"sqlite:///{path}"):
            pass

    assert error.value.owner == Owner(process.pid, "http://127.0.0.1:8000")
    assert str(error.value) == wording(
        "storage.owned.server", path=path, url="http://127.0.0.1:8000", pid=process.pid
    )
    assert not path.exists()


def test_a_process_without_a_server_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with owner(path, url="") as process, pytest.raises(FileOwned) as error, own(path, url=None):
        pass

    assert error.value.owner == Owner(process.pid, None)
    assert str(error.value) == wording("storage.owned.process", path=path, pid=process.pid)


def test_a_file_is_free_again_after_its_owner_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with owner(path) as process:
        process.kill()
        process.wait(10)
        with own(path, url="http://localhost:1"):
            note = json.loads((tmp_path / "runs.db.owner").read_text())

    assert note == {"pid": os.getpid(), "url": "http://localhost:1"}


def test_a_file_is_free_again_after_its_owner_is_done(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    for _ in range(2):
        with own(path, url=None):
            pass

    assert [left.name for left in tmp_path.iterdir()] == ["runs.db.lock"]


def test_a_file_is_owned_once_in_a_process_too(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with own(path, url=None), pytest.raises(FileOwned), own(path, url=None):
        pass


def test_a_file_is_the_same_by_whatever_link_it_is_named(tmp_path: Path) -> None:
    path, link = tmp_path / "runs.db", tmp_path / "link.db"
    path.touch()
    link.symlink_to(path)
    with (
        own(path, url=None),
        pytest.raises(FileOwned, match=r"link\.db "),
        own(link, url=None),
    ):
        pass


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", '{"pid": 1}', '{"pid": 1, "host": "a"}'])
def test_an_owner_whose_note_cannot_be_read_is_another_process(tmp_path: Path, note: str) -> None:
    path = tmp_path / "runs.db"
    with own(path, url=None):
        (tmp_path / "runs.db.owner").write_text(note)
        with pytest.raises(FileOwned) as error, own(path, url=None):
            pass

    assert error.value.owner is None
    assert str(error.value) == wording("storage.owned", path=path)


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    """It is a mistyped path more often than a wish."""
    path = tmp_path / "missing" / "runs.db"
    with pytest.raises(FileNotFoundError), own(path, url=None):
        pass

    assert not list(tmp_path.iterdir())
