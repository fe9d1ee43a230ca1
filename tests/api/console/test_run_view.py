"""One run on the page: its words tied to its steps, the graph, and rows that keys reach."""

import pytest
from playwright.sync_api import Browser, expect

from tests.support.console.browser import open_run, page_of, status
from tests.support.own_tools.shop_tool import SHOP
from tests.support.servers.server_process import ServerProcess, serving

pytestmark = pytest.mark.slow


def test_words_and_rows_of_a_step_are_lit_together_and_lead_to_its_attempt(
    browser: Browser, server: ServerProcess
) -> None:
    run_id = server.post("calculate 6 * 7, then order bread")
    server.settled(run_id)
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        words = page.locator(".sentence .placed")
        expect(words).to_have_text(["calculate 6 * 71", "order bread2"])
        words.nth(1).hover()
        expect(page.locator(".w-row.lit")).to_contain_text("shop.order")
        page.get_by_role("row", name="calculator").hover()
        expect(page.locator(".sentence .lit")).to_have_text("calculate 6 * 71")
        words.first.click()
        expect(page.locator(".detail h2")).to_contain_text("calculator")


def test_the_graph_shows_the_node_that_a_run_is_in_and_the_attempt_on_its_arc(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("graph")
    with (
        serving(folder, tools=SHOP, backoff="3600") as server,
        page_of(browser, server.url) as page,
    ):
        run_id = server.post("order bread")
        open_run(page, run_id)
        graph = page.get_by_role("img", name="The run is in execute_step.")
        expect(graph.locator(".g-node.here")).to_have_text("execute_step")
        expect(graph.locator(".g-note")).to_have_text("attempt 2 of 3")
        expect(page.locator(".now")).to_contain_text("waits until")
        expect(page.locator(".now").get_by_role("timer")).to_contain_text("in ")
        expect(page.locator(".actions")).to_contain_text("nothing else changes")
        page.locator("h1").focus()
        page.keyboard.press(".")
        expect(graph.locator(".g-note")).to_have_text("attempt 3 of 3")
        server.end_backoff(run_id)
        expect(status(page)).to_have_text("✓ completed")
        expect(page.get_by_role("img", name="The run went through plan")).to_be_visible()


def test_rows_of_the_waterfall_are_reached_and_folded_by_arrows(
    browser: Browser, server: ServerProcess
) -> None:
    run_id = server.post("order flour, then say hi")
    server.settled(run_id)
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        page.locator(".g-node").first.wait_for()
        page.keyboard.press("w")
        expect(page.get_by_role("treegrid")).to_be_focused()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        order = page.get_by_role("row", name="shop.order")
        expect(order.locator(".name")).to_be_focused()
        expect(order).to_have_attribute("aria-expanded", "true")
        page.keyboard.press("ArrowLeft")
        expect(order).to_have_attribute("aria-expanded", "false")
        page.keyboard.press("ArrowRight")
        expect(order).to_have_attribute("aria-expanded", "true")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator(".detail h2")).to_contain_text("attempt 1 of 3")
