"""Conversations on the page: what was asked and what came of it, answered as it streams."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.console.browser import open_run, page_of, status
from tests.support.models.llm_runs import SUM, models, serving_models
from tests.support.models.stream_server import StreamServer, stream_server
from tests.support.own_tools.shop_tool import MARKUP
from tests.support.patience import wait_until
from tests.support.servers.server_process import ServerProcess

pytestmark = pytest.mark.slow

#: What the model says; the second word has a character that is two units of UTF-16.
WORDS = ["The sum ", "👍 is ", "42."]


@pytest.fixture
def provider() -> Iterator[StreamServer]:
    with stream_server(SUM, WORDS) as started:
        yield started


def test_a_thread_is_begun_gone_on_with_and_named(browser: Browser, server: ServerProcess) -> None:
    with page_of(browser, server.url) as page:
        page.goto("/#/threads")
        page.get_by_label("First words").fill("calculate 6 * 7")
        page.get_by_role("button", name="Begin").click()

        turns = page.get_by_role("list", name="Conversation").get_by_role("listitem")
        expect(turns).to_have_count(1)
        expect(turns.first.locator(".large")).to_have_text("42")
        page.get_by_label("Go on").fill("calculate 2 + 2")
        page.get_by_label("Go on").press("Enter")
        expect(turns).to_have_count(2)
        expect(turns.nth(1).locator(".large")).to_have_text("4")
        expect(page.get_by_label("Go on")).to_have_value("")

        page.get_by_role("button", name="Name it").click()
        page.get_by_label("Name of the thread").fill(f"sums {MARKUP}")
        page.get_by_role("button", name="Keep").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"sums {MARKUP}")
        turns.nth(1).get_by_role("link", name="the run").click()
        expect(page.locator(".crumb")).to_contain_text("with 1 earlier run in mind")
        page.get_by_role("link", name="Threads").click()
        listed = page.get_by_role("row", name="sums")
        expect(listed).to_contain_text("calculate 2 + 2")
        listed.get_by_role("link").click()
        expect(turns).to_have_count(2)
        page.get_by_role("button", name="Delete …").click()
        expect(page.locator(".title")).to_contain_text("Its 2 runs")
        page.get_by_role("button", name="Yes, delete it").click()
        expect(page.get_by_role("heading", name="Threads")).to_be_visible()
        expect(page.get_by_role("row", name="sums")).to_have_count(0)


def test_what_is_posted_to_a_thread_by_others_is_seen_and_waits_for_what_goes_on(
    browser: Browser, server: ServerProcess
) -> None:
    first = server.post("pass gate thread")
    with page_of(browser, server.url) as page:
        page.goto(f"/#/threads/{first}")
        turns = page.get_by_role("list", name="Conversation").get_by_role("listitem")
        expect(turns.first).to_contain_text("running")
        page.get_by_label("Go on").fill("order tea")
        page.get_by_role("button", name="Send").click()
        expect(turns.nth(1)).to_contain_text("Behind the run before, which goes on.")
        server.open_gate("thread")
        expect(turns.nth(1).locator(".large")).to_have_text("ordered tea")

        body = {"prompt": "order soup", "thread_id": first, "mode": "plan"}
        server.client.post("/runs", json=body)
        expect(turns.nth(2)).to_contain_text("Its plan waits for an approval.")
        turns.nth(2).get_by_role("link", name="Decide").click()
        page.get_by_role("button", name="Approve").click()
        expect(status(page)).to_have_text("✓ completed")


def test_what_is_written_while_the_words_before_are_sent_is_kept(
    browser: Browser, server: ServerProcess
) -> None:
    first = server.post("calculate 5 + 5")
    server.settled(first)
    with page_of(browser, server.url) as page:
        page.goto(f"/#/threads/{first}")
        field, held = page.get_by_label("Go on"), list[Route]()
        page.route("**/runs", lambda route: held.append(route))
        field.fill("calculate 6 + 6")
        field.press("Enter")
        wait_until(lambda: held or page.wait_for_timeout(1))
        field.fill("calculate 7 + 7")
        field.press("Enter")  # not yet: the server has not taken the one before
        held[0].continue_()
        turns = page.get_by_role("list", name="Conversation").get_by_role("listitem")
        expect(turns.nth(1).locator(".large")).to_have_text("12")
        expect(field).to_have_value("calculate 7 + 7")
        assert len(held) == 1


def test_an_answer_is_read_while_it_is_given_in_its_thread_and_on_its_run(
    browser: Browser, tmp_path: Path, provider: StreamServer
) -> None:
    given = models(("openai/gpt-5-mini", provider.url))
    with (
        serving_models(tmp_path, models=given, answer="auto") as server,
        page_of(browser, server.url) as talk,
        page_of(browser, server.url) as shown,
    ):
        talk.goto("/#/threads")
        talk.get_by_label("First words").fill("what is 40 + 2")
        talk.get_by_role("button", name="Begin").click()
        talk.get_by_role("list", name="Conversation").get_by_role("listitem").wait_for()
        expect(talk.locator(".live")).to_have_text("● live")  # by the stream of its run
        run_id = server.client.get("/runs").json()["runs"][0]["run_id"]
        open_run(shown, run_id)
        expect(shown.locator(".facts")).to_contain_text("1 attempt")
        expect(shown.locator(".live")).to_have_text("● live")
        provider.let(1)
        for page in (talk, shown):
            expect(page.locator(".streamed")).to_have_text("The sum")
        provider.let(2)
        for page in (talk, shown):
            expect(page.locator(".streamed")).to_have_text("The sum 👍 is")
        provider.let(3)
        for page in (talk, shown):
            expect(page.locator(".outcome")).to_contain_text("The sum 👍 is 42.")
            expect(page.locator(".streamed")).to_have_count(0)


def test_words_that_were_missed_are_left_out_visibly_and_an_answer_may_begin_anew(
    browser: Browser, server: ServerProcess
) -> None:
    with page_of(browser, server.url) as page:
        page.goto("/")
        told = page.evaluate(
            """async () => {
                const {SILENT, heard} = await import('/console/run/outcome.js');
                const all = (...deltas) => deltas.reduce(heard, SILENT).text;
                const a = {text: '👍 a', offset: 0}, b = {text: ' b', offset: 3};
                return [all(a, b), all(a, {text: 'c', offset: 9}), all(a, {text: 'A', offset: 0})];
            }"""
        )
    assert told == ["👍 a b", "👍 a… c", "A"]
