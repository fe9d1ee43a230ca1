"""The page without a mouse, on paper, in either scheme, on a telephone, and by its addresses."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.console.browser import open_run, page_of, status
from tests.support.patience import wait_until
from tests.support.servers.server_process import ServerProcess

pytestmark = pytest.mark.slow

#: The colours of the page, in its two schemes.
LIGHT, DARK = "rgb(246, 247, 249)", "rgb(16, 19, 24)"


def background(page: Page) -> str:
    """The colour of the page."""
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_a_run_is_started_looked_into_and_mended_by_keys_alone(
    browser: Browser, server: ServerProcess
) -> None:
    with page_of(browser, server.url) as page:
        press = page.keyboard.press
        page.goto("/#/tools")
        expect(page.get_by_role("heading", name="Tools")).to_be_visible()
        press("n")
        expect(page.get_by_label("What should be done?")).to_be_focused()
        page.keyboard.type("calculate 6 * 7, then order a unicorn of keys")
        press("Enter")
        expect(status(page)).to_have_text("✕ failed")
        press("w")
        press("ArrowDown")
        press("]")
        expect(page.get_by_role("tab", name="Plan")).to_have_attribute("aria-selected", "true")
        press("r")
        expect(page.get_by_role("region", name="Retry")).to_be_visible()
        page.get_by_label("Its input").focus()
        press("ControlOrMeta+a")
        page.keyboard.type('{"item": "keys"}')
        again = page.get_by_role("button", name="Retry from step 2")
        expect(again).to_be_enabled()
        press("Tab")
        wait_until(lambda: again.evaluate("it => it === document.activeElement") or press("Tab"))
        press("Enter")
        expect(page.locator(".outcome .large")).to_have_text("ordered keys")
        press("?")
        expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()
        press("Escape")
        expect(page.get_by_role("heading", name="Keys", exact=True)).to_have_count(0)
        press("Escape")
        expect(page.get_by_label("What should be done?")).to_be_visible()


def test_keys_mean_what_they_mean_on_what_is_seen_however_fast_they_are_pressed(
    browser: Browser, server: ServerProcess
) -> None:
    with page_of(browser, server.url) as page:
        page.goto("/#/tools")
        expect(page.get_by_role("heading", name="Tools")).to_be_visible()
        for _ in range(5):
            page.keyboard.press("?")
            page.keyboard.press("Escape")  # of the keys, and not of the page
        expect(page).to_have_url(f"{server.url}/#/tools")
        expect(page.get_by_role("heading", name="Keys", exact=True)).to_have_count(0)
        page.keyboard.press("Escape")
        expect(page.get_by_label("What should be done?")).to_be_visible()


def test_who_comes_by_keyboard_skips_to_the_content(
    browser: Browser, server: ServerProcess
) -> None:
    with page_of(browser, server.url) as page:
        page.goto("/#/tools")
        expect(page.get_by_role("heading", name="Tools")).to_be_visible()
        page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to the content")
        expect(skip).to_be_focused()
        expect(skip).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        expect(page.get_by_role("heading", name="Tools")).to_be_visible()


def test_the_scheme_is_the_system_s_until_one_is_chosen(
    browser: Browser, server: ServerProcess
) -> None:
    with page_of(browser, server.url, color_scheme="dark") as page:
        page.goto("/")
        expect(page.locator(".live")).to_have_text("● live")
        assert background(page) == DARK
        page.emulate_media(color_scheme="light")
        assert background(page) == LIGHT
        field = page.get_by_label("What should be done?")
        expect(field).to_be_focused()  # a browser does that when it has drawn the field
        page.keyboard.press("Escape")
        expect(field).not_to_be_focused()
        page.keyboard.press("t")
        page.keyboard.press("t")
        assert background(page) == DARK
        page.reload()
        expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
        assert background(page) == DARK


def test_on_paper_there_is_the_run_and_nothing_that_one_clicks(
    browser: Browser, server: ServerProcess
) -> None:
    run_id = server.post("order bread for paper, then order a unicorn")
    server.settled(run_id)
    with page_of(browser, server.url, color_scheme="dark") as page:
        open_run(page, run_id)
        retry = page.get_by_role("button", name="Retry …")
        expect(retry).to_be_visible()
        page.emulate_media(media="print")
        for gone in (retry, page.get_by_role("navigation", name="Pages"), page.locator(".live")):
            expect(gone).to_be_hidden()
        for kept in (".sentence", ".outcome", ".bar", ".detail"):
            expect(page.locator(kept).first).to_be_visible()
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


@pytest.mark.parametrize(
    ("place", "read"),
    [
        ("/", ".pages .quiet"),
        ("/#/threads", ".pages .quiet"),
        ("/#/tools", "article"),
        ("/#/health", "[aria-label=Settings]"),
    ],
)
def test_where_it_is_narrow_everything_is_reached(
    browser: Browser, server: ServerProcess, place: str, read: str
) -> None:
    with page_of(browser, server.url, viewport={"width": 360, "height": 700}) as page:
        page.goto(place)
        page.locator(read).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        links = page.get_by_role("navigation", name="Pages").get_by_role("link")
        for link in links.all():
            expect(link).to_be_in_viewport()


def test_an_attempt_has_its_key_and_an_address_of_its_own(
    browser: Browser, server: ServerProcess
) -> None:
    run_id = server.post("order bread, then calculate 1 + 2")
    attempts = server.settled(run_id)["execution_log"]
    keys = [attempt["step_key"] for attempt in attempts]
    assert len(attempts) == 4
    assert len(set(keys)) == 2
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        for place, key in enumerate(keys):
            page.locator(f"[data-at=a{place}]").last.click()
            expect(page.locator(".detail")).to_contain_text(key)
            expect(page).to_have_url(f"{server.url}/#/runs/{run_id}?at=a{place}")
        page.goto("about:blank")
        page.goto(f"/#/runs/{run_id}?at=a1")
        expect(page.locator(".detail h2")).to_contain_text("attempt 2 of 3")
