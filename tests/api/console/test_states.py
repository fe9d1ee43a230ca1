"""What the page shows in states that are none of success: nothing there, refused, paused, gone."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.support.console.browser import open_run, page_of, status
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import wait_until
from tests.support.servers.server_process import ServerProcess, serving

pytestmark = pytest.mark.slow


def test_where_there_are_no_runs_it_says_how_to_begin(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as server, page_of(browser, server.url) as page:
        page.goto("/")
        preview = page.locator("#preview")
        expect(preview).to_contain_text("Nothing has been run yet.")
        expect(preview.get_by_role("button")).to_have_count(4)
        expect(preview).to_contain_text(f"curl {server.url}/runs")
        preview.get_by_role("link", name="tools").click()
        expect(page.get_by_role("heading", name="Tools")).to_be_visible()


def test_a_queued_run_says_its_place_and_about_how_long_it_waits(
    browser: Browser, tmp_path: Path
) -> None:
    with serving(tmp_path, tools=GATE, in_flight="1") as server:
        for _ in range(3):
            server.settled(server.post("calculate 1 + 1"))
        first = server.post("pass gate queue")
        server.until(first, lambda record: record["status"] == "running")
        run_ids = [server.post(f"calculate {number} + 1") for number in range(2)]
        with page_of(browser, server.url) as page:
            open_run(page, run_ids[1])
            expect(page.locator(".facts")).to_contain_text("place 2 in the queue, about ")
            expect(page.get_by_role("img", name="The run has not begun.")).to_be_visible()
            expect(page.get_by_role("button", name="Cancel …")).to_be_visible()
            server.open_gate("queue")
            expect(status(page)).to_have_text("✓ completed")
            expect(page.locator(".facts")).not_to_contain_text("queue")


def test_where_nothing_matches_it_says_which_filter_hides_how_many(
    browser: Browser, server: ServerProcess
) -> None:
    for sum_ in ("1 + 1", "2 + 2"):
        server.settled(server.post(f"calculate {sum_} uncommonly"))
    with page_of(browser, server.url) as page:
        page.goto("/#/?text=uncommonly&tool=shop.order")
        dropped = page.get_by_role("link", name="Without the tool")
        expect(dropped).to_have_text("Without the tool shop.order")
        expect(page.locator(".plain-list")).to_contain_text(": 2 runs")
        dropped.click()
        expect(page.get_by_role("row", name="uncommonly")).to_have_count(2)
        page.get_by_label("with retries").check()
        expect(page).to_have_url(f"{server.url}/#/?text=uncommonly&min_retries=1")
        expect(page.locator("main")).to_contain_text("No run matches.")


def test_what_was_refused_is_edited_and_run(browser: Browser, server: ServerProcess) -> None:
    run_id = server.post("hum the capital of France")
    server.settled(run_id)
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        expect(page.locator(".outcome")).to_contain_text("Nothing was done.")
        page.get_by_role("link", name="Edit and run").click()
        field = page.get_by_label("What should be done?")
        expect(field).to_have_value("hum the capital of France")
        field.fill("calculate 3 * 3")
        field.press("Enter")
        expect(page.locator(".outcome .large")).to_have_text("9")


def test_a_run_that_is_gone_is_said_to_be_with_how_long_runs_are_kept(
    browser: Browser, tmp_path: Path
) -> None:
    with serving(tmp_path, retention="7") as server, page_of(browser, server.url) as page:
        open_run(page, "no-such-run")
        expect(page.locator("main")).to_contain_text("settled more than 7 days ago")


def test_a_refusal_with_a_time_is_counted_down_and_then_sent_again(
    browser: Browser, server: ServerProcess
) -> None:
    refused = {"status": 429, "detail": "Too many at once.", "title": "Too many"}
    with page_of(browser, server.url) as page:
        page.clock.install()
        page.goto("/")
        page.route(
            "**/runs",
            lambda route: route.fulfill(
                status=429,
                body=json.dumps(refused),
                content_type="application/problem+json",
                headers={"retry-after": "30"},
            ),
            times=1,
        )
        page.get_by_label("What should be done?").fill("calculate 5 * 5")
        page.get_by_role("button", name="Run", exact=True).click()
        told = page.get_by_role("alert")
        expect(told).to_contain_text("Too many at once.")
        expect(told.get_by_role("timer")).to_contain_text("s")
        expect(told.get_by_role("button")).to_have_count(0)
        page.clock.run_for(31_000)
        told.get_by_role("button", name="now").click()
        expect(page.locator(".outcome .large")).to_have_text("25")


def at_rest(page: Page, reading: set[Request]) -> bool:
    """Whether it waits for no answer, and has asked for nothing since it had the last one."""
    rested = not reading
    page.evaluate("new Promise(requestAnimationFrame)")
    return rested and not reading


def test_the_page_stands_still_when_it_is_told_to_and_goes_on(
    browser: Browser, server: ServerProcess
) -> None:
    run_id = server.post("pass gate paused, then calculate 8 * 8")
    with page_of(browser, server.url) as page:
        reading: set[Request] = set()
        page.on("request", lambda one: reading.add(one) if one.resource_type == "fetch" else None)
        page.on("requestfinished", lambda one: reading.discard(one))
        open_run(page, run_id)
        expect(status(page)).to_have_text("◐ running")
        expect(page.locator(".r-running")).to_be_visible()
        expect(page.locator(".live")).to_have_text("● live")
        page.keyboard.press("l")
        expect(page.locator(".live")).to_contain_text("paused at")
        # From here on nothing begins to be read; what was begun would tell of what comes next.
        wait_until(lambda: at_rest(page, reading))
        server.open_gate("paused")
        server.settled(run_id)
        expect(status(page)).to_have_text("◐ running")
        page.get_by_role("button", name="Go on").click()
        expect(status(page)).to_have_text("✓ completed")
        expect(page.locator(".outcome .large")).to_have_text("64")


def test_a_server_that_is_silent_is_not_live_within_12_seconds(
    browser: Browser, server: ServerProcess
) -> None:
    """As one is whose machine has gone, so that no socket tells: its heartbeats do not come."""
    with page_of(browser, server.url) as page:
        page.clock.install()
        page.goto("/")
        expect(page.locator(".live")).to_have_text("● live")
        page.route("**/runs/stream", lambda route: None)  # what is asked again gets no answer
        page.clock.fast_forward(12_000)  # in one go: a heartbeat in between would begin it anew
        expect(page.locator(".live")).to_contain_text("not live: as of")


def test_a_page_of_another_version_than_its_server_says_so(
    browser: Browser, tmp_path: Path
) -> None:
    first = ServerProcess(tmp_path, tools=GATE)
    port = first.url.rpartition(":")[2]
    with page_of(browser, first.url) as page:
        with page.expect_response("**/session") as told:  # by which it knows the version
            page.goto("/")
        told.value.finished()
        expect(page.locator(".live")).to_have_text("● live")
        first.kill()
        newer = json.dumps({"keys": False, "owner": "default", "version": "99.0"})
        page.route(
            "**/session", lambda route: route.fulfill(body=newer, content_type="application/json")
        )
        with serving(tmp_path, tools=GATE, port=port):
            told_so = page.get_by_role("alert").filter(has_text="of another version now")
            expect(told_so).to_be_visible()
            with page.expect_navigation():
                page.get_by_role("button", name="Reload the page").click()
            expect(page.locator(".live")).to_have_text("● live")


def test_large_values_are_shown_in_part_and_when_asked_for_or_the_refusal_is(
    browser: Browser, server: ServerProcess
) -> None:
    words = ("word " * 1500).strip()
    run_id = server.client.post("/tools/shop.say/call", json={"input": {"words": words}}).json()[
        "run_id"
    ]
    server.settled(run_id)
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        panel = page.locator(".detail")
        expect(panel.get_by_role("link", name="Download it whole")).to_be_visible()
        expect(panel.locator(".value").last).to_contain_text("word…")
        page.route("**/output", lambda route: route.abort(), times=1)
        panel.get_by_role("button", name="Show").click()
        expect(panel.get_by_role("alert")).to_have_text("The server does not answer.")
        panel.get_by_role("button", name="Show").click()  # again, as one does then
        expect(panel.locator(".value").last).to_contain_text(words)
        expect(panel.get_by_role("alert")).to_have_count(0)


def test_what_was_asked_of_one_large_value_is_not_shown_for_another(
    browser: Browser, server: ServerProcess
) -> None:
    run_id = server.ask("say one, then say two")
    steps = [
        {"step": step, "tool": "shop.say", "input": {"words": f"{word} " * 1500}}
        for step, word in enumerate(("one", "two"), 1)
    ]
    answer = server.client.post(f"/runs/{run_id}/approve", json={"plan": {"steps": steps}})
    assert answer.status_code == 200, answer.text
    server.settled(run_id)
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        panel = page.locator(".detail")
        page.locator("[data-at=a0]").click()
        panel.get_by_role("button", name="Show").click()
        expect(panel.get_by_role("button", name="Show")).to_have_count(0)
        expect(panel.locator(".value").last).to_contain_text("one one")
        page.locator("[data-at=a1]").click()
        expect(panel.locator(".value").last).to_contain_text("two two")
        expect(panel.get_by_role("button", name="Show")).to_be_visible()
