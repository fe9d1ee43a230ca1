"""Much to be drawn: 600 attempts, and a list of a hundred thousand runs."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.search.rows import fill, usual_row
from graph.state.wording import searchable
from graph.storage.open import open_storage
from tests.support.console.browser import page_of
from tests.support.console.large_run import ATTEMPTS, STEPS, Drawing, large
from tests.support.patience import wait_until
from tests.support.servers.server_process import ServerProcess, serving

pytestmark = pytest.mark.slow

#: What one event may change of what is drawn, in nodes and attributes, of some thousands.
MOST_CHANGES = 60

#: Runs of the long list, how many of them are written as runs are, and how many make a page of it.
RUNS, WRITTEN, PAGE = 100_000, 1_000, 50


def test_an_event_of_a_run_of_600_attempts_changes_little_of_what_is_drawn(
    browser: Browser, server: ServerProcess
) -> None:
    """What that takes depends on the machine: `make bench-console` measures it."""
    with page_of(browser, server.url) as page:
        page.goto("/")
        drawing = Drawing(page)
        drawn = drawing.draw(large(ATTEMPTS - 1))
        changed = drawing.draw(large(ATTEMPTS))

    assert drawn["rows"] > STEPS
    assert 0 < changed["changes"] <= MOST_CHANGES


def prompts(page: Page) -> list[str]:
    """The rows of the list."""
    return page.locator("tbody .what a").all_text_contents()


def multiplied(file: Path) -> None:
    """Write the rows of the file again until there are as many as wanted, each copy a bit later."""
    with closing(sqlite3.connect(file)) as database, database:
        database.create_function("searchable", 1, searchable, deterministic=True)
        database.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000")
        kept = [
            name
            for _, name, _, _, _, _, hidden in database.execute("PRAGMA table_xinfo(runs)")
            if not hidden and name not in ("number", "bytes")
        ]
        changed = {"run_id": "lower(hex(randomblob(16)))", "created_at": "created_at + copy * 5000"}
        database.execute(
            f"""
            INSERT INTO runs ({", ".join(kept)})
            WITH copies (copy) AS (
                SELECT 1 UNION ALL SELECT copy + 1 FROM copies LIMIT {RUNS // WRITTEN - 1}
            )
            SELECT {", ".join(changed.get(name, name) for name in kept)}
            FROM copies CROSS JOIN (SELECT * FROM runs ORDER BY number LIMIT {WRITTEN})
            ORDER BY copy, number
            """
        )


def test_a_list_of_a_hundred_thousand_runs_is_read_a_page_at_a_time(
    browser: Browser, tmp_path: Path
) -> None:
    async def filled() -> None:
        async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
            await fill(storage.index, WRITTEN, settled_row)

    with ThreadPoolExecutor(1) as beside:  # the browser's driver has the loop of this thread
        beside.submit(lambda: asyncio.run(filled())).result()
    multiplied(tmp_path / "runs.db")
    with serving(tmp_path) as server, page_of(browser, server.url) as page:
        page.goto("/")
        expect(page.locator("tbody tr")).to_have_count(PAGE)
        expect(page.locator(".pages")).to_contain_text("at least 10000 runs")
        pages = [prompts(page)]
        for _ in range(3):
            page.get_by_role("button", name="Older").click()
            wait_until(lambda: prompts(page) != pages[-1] or page.wait_for_timeout(10))
            pages.append(prompts(page))
        assert [len(one) for one in pages] == [PAGE] * 4
        assert len({prompt for one in pages for prompt in one}) == 4 * PAGE
        for seen in pages[-2::-1]:
            page.get_by_role("button", name="Newer").click()
            wait_until(lambda seen=seen: prompts(page) == seen or page.wait_for_timeout(10))
        page.get_by_label("Search the prompts").fill("list7")
        expect(page.locator("tbody tr").first).to_contain_text("list7")
        page.get_by_role("link", name="failed").click()
        expect(page.locator("tbody .s-failed").first).to_be_visible()
        assert len(page.asked) < 40  # type: ignore[attr-defined]


def settled_row(*given: Any) -> Any:
    """A row of the benchmark's that no server would resume."""
    row = usual_row(*given)
    if row.status == "running":
        return replace(row, status="failed", completed_at=row.created_at + 1)
    return row
