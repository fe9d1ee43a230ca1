"""What befalls a page while it is open: its run is deleted, its server is slow, or another."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from graph.settings.configured import new_key
from tests.support.console.browser import open_run, page_of, status
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import wait_until
from tests.support.servers.server_process import ServerProcess, serving

pytestmark = pytest.mark.slow

#: Runs of a long thread, and how many of them a page shows at first.
TURNS, SHOWN = 200, 10


def test_a_run_that_is_deleted_while_it_is_shown_is_said_to_be_gone(
    browser: Browser, server: ServerProcess
) -> None:
    run_id = server.post("calculate 3 * 3 gone")
    server.settled(run_id)
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        expect(status(page)).to_be_visible()
        expect(page.locator(".live")).to_have_text("● live")
        assert server.client.delete(f"/runs/{run_id}").status_code == 204
        page.get_by_role("tab", name="Events").click()
        page.reload()
        expect(page.locator("main")).to_contain_text("Somebody may have deleted it")
        page.get_by_role("link", name="All runs").click()
        expect(page.get_by_label("What should be done?")).to_be_visible()


def test_two_tabs_show_the_same_run_and_what_either_does_to_it(
    browser: Browser, server: ServerProcess
) -> None:
    run_id = server.ask("order lentils, then calculate 1 + 1")
    with page_of(browser, server.url) as one, page_of(browser, server.url) as other:
        for page in (one, other):
            open_run(page, run_id)
            expect(page.get_by_role("region", name="Shall this be done?")).to_be_visible()
        one.get_by_role("button", name="Approve").click()
        for page in (one, other):
            expect(status(page)).to_have_text("✓ completed")
            expect(page.get_by_role("region", name="Shall this be done?")).to_have_count(0)


def test_a_decision_that_came_too_late_is_said_beside_its_button(
    browser: Browser, server: ServerProcess
) -> None:
    run_id = server.ask("order barley")
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        approve = page.get_by_role("button", name="Approve")
        expect(approve).to_be_enabled()
        expect(page.locator(".live")).to_have_text("● live")  # before that there is nothing to stop
        page.locator("h1").focus()
        page.keyboard.press("l")  # it stands still, so that it does not hear of the other decision
        expect(page.locator(".live")).to_contain_text("paused at")
        server.client.post(f"/runs/{run_id}/reject", json={})
        approve.click()
        expect(page.get_by_role("alert")).to_contain_text("cancelled")


def test_a_run_that_ends_while_it_is_read_is_drawn_to_its_end(
    browser: Browser, server: ServerProcess
) -> None:
    """What the server explains may have been asked before the end, and the record after it."""
    run_id = server.post("pass gate late, then calculate 1 + 1")
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        expect(page.locator(".r-running")).to_be_visible()
        expect(page.locator(".live")).to_have_text("● live")
        before = server.client.get(f"/runs/{run_id}/explain").text
        page.keyboard.press("l")
        expect(page.locator(".live")).to_contain_text("paused at")
        server.open_gate("late")
        server.settled(run_id)
        page.route(
            "**/explain",
            lambda route: route.fulfill(body=before, content_type="application/json"),
            times=1,
        )
        page.get_by_role("button", name="Go on").click()
        expect(status(page)).to_have_text("✓ completed")
        expect(page.get_by_role("row", name="calculator").locator(".bar")).to_have_count(1)


def test_a_slow_server_is_waited_for_and_nothing_is_asked_twice(
    browser: Browser, server: ServerProcess
) -> None:
    with page_of(browser, server.url) as page:
        page.goto("/")
        held: list[Route] = []
        page.route("**/runs", lambda route: held.append(route))
        page.get_by_label("What should be done?").fill("calculate 77 + 1")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
        page.get_by_label("What should be done?").press("Enter")
        wait_until(lambda: held or page.wait_for_timeout(1))
        held[0].continue_()
        expect(page.locator(".outcome .large")).to_have_text("78")
        assert len(held) == 1
        posts = [one for one in page.asked if one.endswith("/runs")]  # type: ignore[attr-defined]
        assert len(posts) == 1


def test_a_server_that_comes_back_with_other_keys_asks_for_one_of_these(
    browser: Browser, tmp_path: Path
) -> None:
    (old, kept), (new, other) = new_key("alice"), new_key("alice")
    first = ServerProcess(tmp_path, api_keys=str(kept))
    port = first.url.rpartition(":")[2]
    with page_of(browser, first.url) as page:
        page.goto("/")
        field = page.get_by_label("Key", exact=True)
        field.fill(old)
        page.get_by_role("button", name="Enter").click()
        expect(page.locator(".live")).to_have_text("● live")
        first.kill()
        with serving(tmp_path, api_keys=str(other), port=port):
            field.fill(old)
            page.get_by_role("button", name="Enter").click()
            expect(page.get_by_role("alert")).to_contain_text("none of this server's keys")
            field.fill(new)
            page.get_by_role("button", name="Enter").click()
            expect(page.locator(".live")).to_have_text("● live")


def test_a_thread_of_two_hundred_runs_shows_its_newest_and_more_when_asked(
    browser: Browser, tmp_path: Path
) -> None:
    with serving(tmp_path) as server:
        run_id = server.post("calculate 0 + 1")
        for number in range(1, TURNS):
            body = {"prompt": f"calculate {number} + 1", "thread_id": run_id}
            last = server.client.post("/runs", json=body).json()["run_id"]
        server.settled(last)
        with page_of(browser, server.url) as page:
            page.goto(f"/#/threads/{run_id}")
            turns = page.get_by_role("list", name="Conversation").get_by_role("listitem")
            expect(turns).to_have_count(SHOWN)
            expect(turns.last.locator(".large")).to_have_text(str(TURNS))
            assert len(page.asked) < 40  # type: ignore[attr-defined]
            page.get_by_role("button", name="Earlier ones").click()
            expect(turns).to_have_count(2 * SHOWN)
            expect(turns.first.locator(".large")).to_have_text(str(TURNS - 2 * SHOWN + 1))


def test_a_server_that_is_killed_is_not_live_within_12_seconds(
    browser: Browser, tmp_path: Path
) -> None:
    """By the page's own clock, which no busy machine delays."""
    first = ServerProcess(tmp_path, tools=GATE)
    run_id = first.post("pass gate forever")
    with page_of(browser, first.url) as page:
        open_run(page, run_id)
        expect(page.locator(".live")).to_have_text("● live")
        page.evaluate(
            """() => new MutationObserver(() => {
                if (document.documentElement.dataset.live === 'lost') window.lost ??= Date.now();
            }).observe(document.documentElement, {attributes: true})"""
        )
        killed = time.time() * 1000
        first.kill()
        expect(page.locator(".live")).to_contain_text("not live: as of")
        assert page.evaluate("window.lost") - killed <= 12_000
        width = page.locator(".r-running").first.evaluate("bar => bar.style.width")
        page.wait_for_timeout(700)  # more than the time between two drawings of a growing bar
        assert page.locator(".r-running").first.evaluate("bar => bar.style.width") == width
