"""Whatever the server answers, as users, tools and models have written it, is text on the page."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.console.browser import open_run, page_of
from tests.support.own_tools.shop_tool import MARKUP
from tests.support.servers.server_process import ServerProcess

pytestmark = pytest.mark.slow

#: Stands before the page's `fetch`: all that the server answers has markup in every text, and in
#: every name, that somebody else may have written. What the page needs to find its way is kept:
#: statuses, parts of the time, times, ids, and which actions there are.
_HOSTILE = """
const KEPT = ['status', 'part', 'state', 'next_cursor', 'source', 'outcome', 'why', 'backend'];
const NAMED = ['metadata', 'properties', 'models', 'servers', 'input', 'output'];
const FORM = /^(\\d{4}-\\d\\d-\\d\\dT.*Z|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f-]{32,})$/;
const hostile = (value, name) => {
    if (typeof value === 'string') {
        return KEPT.includes(name) || FORM.test(value) ? value : `${value} MARKUP`;
    }
    if (name === 'actions' || value === null || typeof value !== 'object') return value;
    if (Array.isArray(value)) return value.map((item) => hostile(item, name));
    const tail = NAMED.includes(name) ? 'MARKUP' : '';
    return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key + tail, hostile(item, key)]));
};
const answered = window.fetch;
window.fetch = async (...asked) => {
    const answer = await answered(...asked);
    if (!answer.headers.get('content-type')?.includes('json')) return answer;
    const {status, headers} = answer;
    if (new URL(answer.url).pathname === '/session') return answer;
    return new Response(JSON.stringify(hostile(await answer.json())), {status, headers});
};
""".replace("MARKUP", MARKUP)


def is_all_text(page: Page) -> None:
    """It shows the markup, and has made no element of it."""
    expect(page.locator("main")).to_contain_text("onerror=hacked()")
    assert page.locator("img, main script").count() == 0


def test_markup_in_every_field_of_every_answer_is_text(
    browser: Browser, server: ServerProcess
) -> None:
    done = server.post("calculate 6 * 7, then order bread, then say hi")
    failed = server.post("order unicorn")
    doubt = server.post("ship tea")
    asked = server.client.post(
        "/runs",
        json={"prompt": "say hello", "mode": "plan", "metadata": {"a": "b"}, "thread_name": "talk"},
    ).json()["run_id"]
    for run_id in (done, failed):
        server.settled(run_id)
    for run_id in (asked, doubt):
        server.until(run_id, lambda record: record["status"] == "waiting")
    with page_of(browser, server.url) as page:
        page.add_init_script(_HOSTILE)
        for place in ("/#/threads", f"/#/threads/{asked}", "/#/tools", "/#/health", "/"):
            page.goto("about:blank")
            page.goto(place)
            is_all_text(page)
        page.get_by_label("What should be done?").fill("hum a tune")
        expect(page.locator("#preview")).to_contain_text("onerror=hacked()")
        for run_id in (done, failed, doubt, asked):
            page.goto("about:blank")
            open_run(page, run_id)
            expect(page.locator(".sentence")).to_contain_text("onerror=hacked()")
            for name in ("Plan", "Log", "Events", "States", "Raw", "Result"):
                page.get_by_role("tab", name=name).click()
                page.get_by_role("tabpanel").wait_for()
                is_all_text(page)
        page.goto("/#/tools")
        page.get_by_role("article").first.wait_for()  # else it is the run that has such a button
        page.get_by_role("button", name="Try …").first.click()
        page.locator("summary").first.click()
        is_all_text(page)
