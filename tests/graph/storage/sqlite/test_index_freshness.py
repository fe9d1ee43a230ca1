"""What was accepted is found at once, whatever else is being read."""

from pathlib import Path

from graph.storage.open import open_storage
from graph.storage.sqlite.open import SqliteSaver
from tests.graph.storage.test_search import row


async def test_a_run_is_found_while_a_record_is_being_read(tmp_path: Path) -> None:
    """A half-read answer keeps its connection at what was stored when the reading began."""
    async with open_storage(f"sqlite:///{tmp_path / 'runs.db'}") as storage:
        await storage.index.accept(row("a"))
        await storage.index.accept(row("b"))
        assert isinstance(storage.reader, SqliteSaver)
        async with storage.reader.conn.execute("SELECT run_id FROM runs") as half_read:
            await half_read.fetchone()
            await storage.index.accept(row("c"))

            assert await storage.index.owned("c", "me")
            assert await storage.index.find("c") is not None
