"""Whatever the server answers, as users, tools and models have written it, is text on the page."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.console.browser import open_run, page_of
from tests.support.own_tools.shop_tool import MARKUP
from tests.support.servers.server_process import ServerProcess

pytestmark = pytest.mark.slow

#: What the page needs to find its way: statuses, parts of the time, times, and ids.
_KEPT = {"status", "part", "state", "next_cursor", "source", "outcome", "why", "backend"}
_FORM = re.compile(r"\d{4}-\d\d-\d\dT.*Z|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f-]{32,}")

#: Below these the names are written by others as well.
_NAMED = {"metadata", "properties", "models", "servers", "input", "output"}

#: All but streams.
_ANSWERS = re.compile(
    r"//[^/]+/(runs(?!/stream|/[^/]+/stream)|threads|tools|health|doctor|plan|budget)"
)


def hostile(value: Any, name: str = "") -> Any:
    """The same, with markup in every text that somebody else may have written."""
    if isinstance(value, str):
        return value if name in _KEPT or _FORM.fullmatch(value) else f"{value} {MARKUP}"
    if isinstance(value, dict):
        tail = MARKUP if name in _NAMED else ""
        return {f"{key}{tail}": hostile(item, key) for key, item in value.items()}
    if isinstance(value, list):
        if name == "actions":  # which of ours it is
            return value
        return [hostile(item, name) for item in value]
    return value


def answer(route: Route) -> None:
    """What the server answers, made hostile."""
    told = route.fetch()
    body = told.text()
    if "json" in told.headers.get("content-type", ""):
        body = json.dumps(hostile(json.loads(body)))
    route.fulfill(response=told, body=body)


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
        page.route(_ANSWERS, answer)
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
        page.get_by_role("button", name="Try …").first.click()
        page.locator("summary").first.click()
        is_all_text(page)
