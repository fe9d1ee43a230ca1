"""What three people want of the page, and how many clicks it takes them.

The tasks were written down before the page was built, and stand with their clicks in its document.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.support.checkout import ROOT
from tests.support.console.browser import open_run, page_of, status
from tests.support.servers.server_process import ServerProcess

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs/doors/console.md").read_text()


def documented(task: str) -> int:
    """The clicks that the page's document says a task takes."""
    [row] = [line for line in DOCUMENT.splitlines() if line.startswith(f"| {task}")]
    [clicks] = re.findall(r": (\d+) \|$", row)
    return int(clicks)


class Person:
    """Clicks, and counts it."""

    def __init__(self) -> None:
        self.clicks = 0

    def click(self, what: Locator) -> None:
        """One click."""
        what.click()
        self.clicks += 1


def test_why_did_this_run_fail_and_make_it_go_on(browser: Browser, server: ServerProcess) -> None:
    run_id = server.post("calculate 6 * 7, then order a unicorn")
    server.settled(run_id)
    person = Person()
    with page_of(browser, server.url) as page:
        open_run(page, run_id)
        # It opens with the attempt that failed, and says why: nothing is to be clicked for that.
        expect(page.locator(".outcome")).to_contain_text("the shop has no a unicorn")
        expect(page.locator(".detail")).to_contain_text("Another would fail alike.")
        person.click(page.get_by_role("button", name="Retry …"))
        page.get_by_label("Its input").fill('{"item": "cake"}')
        person.click(page.get_by_role("button", name="Retry from step 2"))
        expect(status(page)).to_have_text("✓ completed")
    assert person.clicks == documented("Why did this run fail")


#: How long the run has waited, in seconds.
TWO_HOURS = 7200.0


@contextmanager
def accepted_before(page: Page, seconds: float) -> Iterator[None]:
    """Shows runs as if they had been accepted, and asked about, so many seconds earlier."""

    def earlier(route: Route) -> None:
        told: dict[str, Any] = route.fetch().json()
        if "spans" in told:
            waiting = next(span for span in told["spans"] if span["part"] == "waiting")
            after = told["spans"][told["spans"].index(waiting) + 1 :]
            waiting["length_ms"] += seconds * 1000
            for span in after:
                span["start_ms"] += seconds * 1000
            told["total_ms"] += seconds * 1000
        route.fulfill(body=json.dumps(told), content_type="application/json")

    page.route("**/explain", earlier)
    yield
    page.unroute_all(behavior="wait")


def test_what_was_this_run_waiting_for_for_two_hours(
    browser: Browser, server: ServerProcess
) -> None:
    run_id = server.ask("order a cake, then calculate 2 * 2")
    server.client.post(f"/runs/{run_id}/approve", json={})
    server.settled(run_id)
    person = Person()
    with page_of(browser, server.url) as page, accepted_before(page, TWO_HOURS):
        open_run(page, run_id)
        expect(page.locator(".sums")).to_contain_text("waiting for a person 2 h 0 min")
        expect(page.locator(".bar.folded")).to_have_text("2 h 0 min")
        person.click(page.get_by_role("tab", name="Log"))
        expect(page.get_by_role("tabpanel")).to_contain_text("by client")
    assert person.clicks == documented("What was this run waiting for")


def test_stop_everything_that_this_prompt_started(browser: Browser, server: ServerProcess) -> None:
    mine = [server.post(f"pass gate flood-{name}") for name in "abcd"]
    other = server.post("pass gate else")
    person = Person()
    with page_of(browser, server.url) as page:
        page.goto("/")
        page.get_by_label("Search the prompts").fill("flood")
        found = page.get_by_role("row", name="pass gate flood")
        expect(found).to_have_count(4)
        expect(page.get_by_role("row", name="pass gate else")).to_have_count(0)
        person.click(found.first.get_by_role("checkbox"))
        person.click(page.get_by_role("button", name="Select all 4"))
        person.click(page.get_by_role("button", name="Cancel 4"))
        person.click(page.get_by_role("button", name="Yes, cancel them"))
        expect(page.locator("tbody .s-cancelled")).to_have_count(4)
    assert {server.get(run_id)["status"] for run_id in mine} == {"cancelled"}
    server.until(other, lambda record: record["status"] == "running")
    server.open_gate("else")
    assert person.clicks == documented("Stop everything")


def test_several_runs_are_retried_and_deleted_at_once(
    browser: Browser, server: ServerProcess
) -> None:
    run_ids = [server.post("order a unicorn of glass") for _ in range(2)]
    for run_id in run_ids:
        server.settled(run_id)
    with page_of(browser, server.url) as page:
        page.goto("/#/?text=glass")
        page.get_by_role("row", name="glass").first.get_by_role("checkbox").check()
        page.get_by_role("button", name="Select all 2").click()
        expect(page.get_by_role("button", name="Cancel 0")).to_be_disabled()
        page.get_by_role("button", name="Retry 2").click()
        expect(page.locator(".several")).to_contain_text("finished steps are not executed again")
        page.get_by_role("button", name="Yes, retry them").click()
        expect(page.get_by_role("status").filter(has_text="retry")).to_have_text(
            "retry: 2 of 2 done."
        )
        for run_id in run_ids:
            server.settled(run_id)  # again: it was told to be retried before
        page.reload()  # so that all that happened to them is seen
        page.get_by_role("row", name="glass").first.get_by_role("checkbox").check()
        page.get_by_role("button", name="Select all 2").click()
        page.get_by_role("button", name="Delete 2").click()
        expect(page.locator(".several")).to_contain_text("removed for good")
        page.get_by_role("button", name="Yes, delete them").click()
        expect(page.locator("main")).to_contain_text("No run matches.")
