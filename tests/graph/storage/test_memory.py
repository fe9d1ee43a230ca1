"""`memory://`: a database in a temporary folder, which ends with its process."""

import tempfile
from pathlib import Path

import pytest

from graph.storage.open import open_storage
from graph.storage.storage import StorageError
from tests.support.servers.server_process import ServerProcess
from tests.support.wording.messages import wording


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process and those that it starts have their temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def entries(folder: Path) -> list[str]:
    return [str(entry) for entry in folder.iterdir()]


def databases(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/runs.db"))


async def test_nothing_is_left_once_it_is_closed(temporary: Path) -> None:
    async with open_storage("memory://") as storage:
        assert storage.backend == "memory"
        assert len(databases(temporary)) == 1

    assert entries(temporary) == []


async def test_what_a_killed_process_left_goes_at_the_next_start_and_no_other(
    temporary: Path, tmp_path: Path
) -> None:
    killed = ServerProcess(tmp_path, database_url="memory://")
    living = ServerProcess(tmp_path, database_url="memory://")
    left = set(databases(temporary))
    assert len(left) == 2
    killed.kill()
    async with open_storage("memory://"):
        remaining = set(databases(temporary))
        assert len(remaining & left) == 1
        assert living.settled(living.post("2 + 2"))["status"] == "completed"
    living.terminate()

    assert databases(temporary) == []


async def test_a_process_that_is_just_starting_keeps_its_folder(temporary: Path) -> None:
    starting = tempfile.mkdtemp(prefix="runwright-memory-")
    async with open_storage("memory://"):
        assert starting in entries(temporary)


async def test_without_a_folder_for_temporary_files_it_is_said_so(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temporary / "missing"))
        with pytest.raises(StorageError) as refused:
            async with open_storage("memory://"):
                pass

    assert str(refused.value) == wording("storage.temporary")
