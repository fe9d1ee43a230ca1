"""Much to be drawn: 600 attempts, and a list of a hundred thousand runs."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from api.views.answers import ExplanationAnswer, Run, shape
from benchmarks.search.rows import fill, usual_row
from graph.record.explain import explain
from graph.record.record import record_of
from graph.state import RunState
from graph.storage.open import open_storage
from tests.support.console.browser import page_of
from tests.support.patience import wait_until
from tests.support.runs.generated_runs import REFUSED
from tests.support.runs.run_states import CREATED_AT, attempted, planned, queued
from tests.support.servers.server_process import ServerProcess, serving

pytestmark = pytest.mark.slow

#: Steps of the large record, each with three attempts.
STEPS = 200

#: What one event may change of what is drawn, in nodes and attributes, of some thousands.
MOST_CHANGES = 60

#: Runs of the long list, and of a page of it.
RUNS, PAGE = 100_000, 50

_DRAWN = """async ([before, after]) => {
    const {render} = await import('/console/vendor/preact.mjs');
    const {html} = await import('/console/words.js');
    const {Waterfall} = await import('/console/run/waterfall.js');
    const place = document.createElement('div');
    document.getElementById('main').replaceChildren(place);
    const draw = async ([record, explained]) => {
        const begun = performance.now();
        render(html`<${Waterfall} record=${record} explained=${explained} chosen="a0"
            select=${() => {}} light=${() => {}} />`, place);
        place.offsetHeight;
        return performance.now() - begun;
    };
    const all = await draw(before);
    let changes = 0;
    new MutationObserver((seen) => { changes += seen.length; }).observe(
        place, {subtree: true, childList: true, attributes: true, characterData: true});
    const one = await draw(after);
    await new Promise((done) => setTimeout(done));
    return {all, one, changes, rows: place.querySelectorAll('[role=row]').length};
}"""


def large(attempts: int) -> list[Any]:
    """The record and the explanation of a run that has made so many of its attempts."""
    state: RunState = planned(queued(), STEPS)
    at = CREATED_AT + 2
    for number in range(attempts):
        times: dict[str, Any] = {"started_at": at, "duration_ms": 250.0}
        at += 0.3
        if number % 3 < 2:
            times |= {"status": "error", "output": None, "error": REFUSED, "retry_at": at}
        state = attempted(state, **times)
    told = explain(state, now=CREATED_AT + 2 + 3 * STEPS * 0.3 + 1)
    return [
        json.loads(shape(Run).json(record_of(state))),
        json.loads(shape(ExplanationAnswer).json(told)),
    ]


def test_an_event_of_a_run_of_600_attempts_changes_little_of_what_is_drawn(
    browser: Browser, server: ServerProcess, record_property: Any
) -> None:
    """What that takes depends on the machine, and is told; on a busy one 153 to 682, 5 to 57 ms."""
    with page_of(browser, server.url) as page:
        page.goto("/")
        drawn = page.evaluate(_DRAWN, [large(3 * STEPS - 1), large(3 * STEPS)])

    record_property("drawn in ms", drawn["all"])
    record_property("an event drawn in ms", drawn["one"])
    assert drawn["rows"] > STEPS
    assert 0 < drawn["changes"] <= MOST_CHANGES


def prompts(page: Page) -> list[str]:
    """The rows of the list."""
    return page.locator("tbody .what a").all_text_contents()


@pytest.mark.timeout(3600)  # as many rows are written first
def test_a_list_of_a_hundred_thousand_runs_is_read_a_page_at_a_time(
    browser: Browser, tmp_path: Path
) -> None:
    async def filled() -> None:
        async with open_storage(f"sqlite:///{tmp_path}/runs.db") as storage:
            await fill(storage.index, RUNS, settled_row)

    with ThreadPoolExecutor(1) as beside:  # the browser's driver has the loop of this thread
        beside.submit(lambda: asyncio.run(filled())).result()
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
        page.get_by_label("Search the prompts").fill("list7 page7")
        expect(page.locator("tbody tr").first).to_contain_text("list7 page7")
        page.get_by_role("link", name="failed").click()
        expect(page.locator("tbody .s-failed").first).to_be_visible()
        assert len(page.asked) < 40  # type: ignore[attr-defined]


def settled_row(*given: Any) -> Any:
    """A row of the benchmark's that no server would resume."""
    row = usual_row(*given)
    if row.status == "running":
        return replace(row, status="failed", completed_at=row.created_at + 1)
    return row
