"""Tools and health on the page: what each takes, a try of it, and what the server is set to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.console.browser import page_of
from tests.support.own_tools.mcp_files import mcp_file, rude
from tests.support.own_tools.shop_tool import MARKUP, SHOP
from tests.support.patience import wait_until
from tests.support.servers.server_process import ServerProcess, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[ServerProcess]:
    with serving(tmp_path, tools=SHOP, retention="7", instructions="hush") as server:
        yield server


def test_a_tool_that_changes_nothing_is_tried_and_others_are_not(
    browser: Browser, server: ServerProcess
) -> None:
    with page_of(browser, server.url) as page:
        page.goto("/#/tools")
        calculator = page.get_by_role("article", name="calculator")
        expect(calculator).to_contain_text("comes with Runwright · changes nothing")
        calculator.get_by_role("button", name="Try …").click()
        page.get_by_label("expression of calculator").fill("6 *")
        calculator.get_by_role("button", name="Try it").click()
        expect(calculator.locator(".outcome.bad")).to_be_visible()
        page.get_by_label("expression of calculator").fill("6 * 7")
        calculator.get_by_role("button", name="Try it").click()
        expect(calculator.locator(".outcome .large")).to_have_text("42")

        said = page.get_by_role("article", name="shop.say")
        said.get_by_role("button", name="Try …").click()
        page.get_by_label("words of shop.say").fill(MARKUP)
        said.get_by_role("button", name="Try it").click()
        expect(said.locator(".value").last).to_contain_text("onerror=hacked()")

        order = page.get_by_role("article", name="shop.order")
        expect(order).to_contain_text("your own · a further call with the same key has no second")
        expect(order).to_contain_text("⚠ changes something")
        expect(order.get_by_role("button")).to_have_count(0)
        ship = page.get_by_role("article", name="shop.ship")
        expect(ship).to_contain_text("where it may have acted")
        calculator.get_by_role("link", name="the run").click()
        expect(page.locator(".facts")).to_contain_text("planned by the caller")


def test_tools_are_found_by_their_kind_and_words(browser: Browser, server: ServerProcess) -> None:
    with page_of(browser, server.url) as page:
        page.goto("/#/tools")
        kinds = page.get_by_role("group", name="Kind")
        kinds.get_by_role("button", name="own").click()
        expect(page.get_by_role("article")).to_have_count(5)
        kinds.get_by_role("button", name="MCP").click()
        expect(page.locator("main")).to_contain_text("No tool matches.")
        page.get_by_role("button", name="Show all").click()
        page.get_by_label("Search the tools").fill("arithmetic")
        expect(page.get_by_role("article")).to_have_count(1)
        page.get_by_role("link", name="Its runs").click()
        expect(page).to_have_url(f"{server.url}/#/?tool=calculator")


def test_tools_of_mcp_servers_are_there_and_tried(browser: Browser, tmp_path: Path) -> None:
    file = mcp_file(tmp_path, rude=rude(tmp_path), text="npx something")
    with serving(tmp_path, mcp=str(file)) as server, page_of(browser, server.url) as page:
        wait_until(lambda: "rude.echo" in server.client.get("/tools").text)
        page.goto("/#/tools")
        page.get_by_role("group", name="Kind").get_by_role("button", name="MCP").click()
        echo = page.get_by_role("article", name="rude.echo")
        expect(echo).to_contain_text("of the MCP server rude")
        echo.locator("summary").click()
        expect(echo.locator("details .value")).to_contain_text('"required"')
        echo.get_by_role("button", name="Try …").click()
        page.get_by_label("text of rude.echo").fill("hello from afar")
        echo.get_by_role("button", name="Try it").click()
        expect(echo.get_by_role("status")).to_contain_text("hello from afar")
        changes = page.get_by_role("article").filter(has_text="⚠ changes something").first
        expect(changes.get_by_role("button", name="Try …")).to_have_count(0)
        page.goto("/#/health")
        servers = page.get_by_role("region", name="MCP servers")
        expect(servers.get_by_role("row", name="rude")).to_contain_text("ready")
        expect(servers.get_by_role("row", name="text")).to_contain_text("bare text")


def test_health_tells_what_doctor_would_and_the_settings_but_no_texts(
    browser: Browser, configured: ServerProcess
) -> None:
    with page_of(browser, configured.url) as page:
        page.goto("/#/health")
        for title in ("Runs", "Storage", "Models", "Yours today", "Doctor", "Settings"):
            expect(page.get_by_role("region", name=title)).to_be_visible()
        expect(page.get_by_role("region", name="Doctor")).to_contain_text("nothing fails")
        settings = page.get_by_role("region", name="Settings")
        expect(settings.get_by_role("row", name="RUNWRIGHT_RETENTION")).to_contain_text("7")
        told = settings.get_by_role("row", name="RUNWRIGHT_INSTRUCTIONS")
        expect(told).to_contain_text("set, not shown")
        expect(settings.get_by_role("row", name="RUNWRIGHT_MAX_ATTEMPTS")).to_have_count(0)
        settings.get_by_label("those with their defaults").check()
        expect(settings.get_by_role("row", name="RUNWRIGHT_MAX_ATTEMPTS")).to_contain_text("3")
        expect(page.locator("main")).not_to_contain_text("hush")
        configured.kill()
        expect(page.get_by_role("heading", name="Health").locator("..")).to_contain_text(
            "no answer"
        )
