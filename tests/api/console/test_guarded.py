"""What nobody can do by the page, and that nothing in it keeps anybody from using it."""

import json
import os
import re
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response, Route, expect

from graph.settings.configured import new_key
from tests.support.console.browser import is_list, open_run, page_of, status
from tests.support.own_tools.shop_tool import MARKUP
from tests.support.patience import patience, wait_until
from tests.support.servers.server_process import ServerProcess, serving

pytestmark = pytest.mark.slow


def test_what_others_have_written_is_text_wherever_it_stands(
    browser: Browser, server: ServerProcess
) -> None:
    """The page notices what runs, or is an element, though it was given as text."""
    said = server.post(f"say {MARKUP}")
    failed = server.post(f"order unicorn {MARKUP}")
    body = {"prompt": f"say {MARKUP}", "mode": "plan", "metadata": {"ticket": MARKUP}}
    asked = server.client.post("/runs", json=body).json()["run_id"]
    unsaid = server.post(f"what is the capital of {MARKUP}")
    for run_id in (said, failed, unsaid):
        server.settled(run_id)
    server.until(asked, lambda record: record["status"] == "waiting")
    with page_of(browser, server.url) as page:
        page.goto("/#/tools")
        expect(page.locator("main")).to_contain_text("onerror=hacked()")
        page.goto("/")
        expect(page.locator("table")).to_contain_text("onerror=hacked()")
        page.get_by_label("What should be done?").fill(f"say {MARKUP}, and {MARKUP}")
        expect(page.locator("#preview")).to_contain_text("onerror=hacked()")
        for run_id in (said, failed, unsaid, asked):
            open_run(page, run_id)
            expect(page.locator(".sentence")).to_contain_text("onerror=hacked()")
            for name in ("Plan", "Log", "Events", "States", "Raw", "Result"):
                page.get_by_role("tab", name=name).click()
                page.get_by_role("tabpanel").wait_for()
            assert page.locator("img, main script").count() == 0
        expect(page.locator(".editor textarea")).to_have_value(re.compile("onerror=hacked"))
        page.get_by_label("Why not").fill(MARKUP)
        page.get_by_role("button", name="Reject").click()
        expect(status(page)).to_have_text("⊘ cancelled")
        page.get_by_role("tab", name="Log").click()
        expect(page.get_by_role("tabpanel")).to_contain_text(f"by client: {MARKUP}")


def test_with_keys_the_page_asks_for_one_and_shows_what_is_its_owner_s(
    browser: Browser, tmp_path: Path
) -> None:
    (alices, alice), (bobs, bob) = new_key("alice"), new_key("bob")
    with serving(tmp_path, api_keys=f"{alice},{bob}") as server:
        server.client.headers["x-api-key"] = bobs
        server.post("calculate 2 + 2")
        with page_of(browser, server.url) as page:
            page.goto("/")
            page.get_by_label("Key", exact=True).fill("wrong")
            page.get_by_role("button", name="Enter").click()
            expect(page.get_by_role("alert")).to_contain_text("none of this server's keys")
            page.get_by_label("Key", exact=True).fill(alices)
            page.get_by_role("button", name="Enter").click()
            expect(page.locator(".owner")).to_contain_text("alice")
            expect(page.locator(".pages")).to_contain_text("0 runs")
            page.get_by_role("button", name="what is (41*7)+13").click()
            expect(page.locator(".outcome .large")).to_have_text("300")
            assert page.evaluate("document.cookie") == ""
            assert alices not in page.evaluate("JSON.stringify(localStorage)")
            with page.expect_navigation():  # what was read is gone with the page that had it
                page.get_by_role("button", name="Log out").click()
            page.get_by_label("Key", exact=True).wait_for()
            assert page.locator("table, .sentence").count() == 0


def test_a_session_that_ended_with_its_server_is_asked_for_anew(
    browser: Browser, tmp_path: Path
) -> None:
    key, kept = new_key("alice")
    first = ServerProcess(tmp_path, api_keys=str(kept))
    port = first.url.rpartition(":")[2]
    with page_of(browser, first.url) as page:
        read: list[Response] = []
        page.on("response", lambda answer: read.append(answer) if is_list(answer) else None)
        page.goto("/")
        page.get_by_label("Key", exact=True).fill(key)
        page.get_by_role("button", name="Enter").click()
        expect(page.locator(".live")).to_have_text("● live")
        # Read, and read again since it is connected: it asks for no more by itself.
        wait_until(lambda: len(read) >= 2 or page.wait_for_timeout(1))
        first.kill()
        with serving(tmp_path, api_keys=str(kept), port=port):
            page.get_by_label("Key", exact=True).fill(key)
            page.get_by_role("button", name="Enter").click()
            expect(page.locator(".live")).to_have_text("● live")


def test_what_was_asked_before_the_key_was_given_does_not_ask_for_it_again(
    browser: Browser, tmp_path: Path
) -> None:
    key, kept = new_key("alice")
    refused = json.dumps({"status": 401, "title": "A key", "detail": "A key is needed."})
    with serving(tmp_path, api_keys=str(kept)) as server, page_of(browser, server.url) as page:
        asked, session = list[Route](), list[Route]()

        def first(kept: list[Route], route: Route) -> None:
            route.continue_() if kept else kept.append(route)

        page.route("**/runs?limit=50&", partial(first, asked))
        page.route("**/session", partial(first, session))
        page.goto("/")
        wait_until(lambda: (asked and session) or page.wait_for_timeout(1))
        session[0].continue_()  # by which it knows that there are keys
        page.get_by_label("Key", exact=True).fill(key)
        page.get_by_role("button", name="Enter").click()
        expect(page.locator(".pages")).to_contain_text("0 runs")
        with page.expect_response(lambda answer: answer.status == 401) as late:
            asked[0].fulfill(status=401, body=refused, content_type="application/problem+json")
        late.value.finished()
        page.evaluate("new Promise((done) => setTimeout(done))")
        assert page.get_by_label("Key", exact=True).count() == 0
        expect(page.locator(".owner")).to_contain_text("alice")


_ATTACK = """async (url) => {
    const said = [];
    const json = { 'content-type': 'application/json' }, body = '{"prompt": "what is 1 + 1"}';
    for (const options of [
        { credentials: 'include' },
        { method: 'POST', credentials: 'include', headers: json, body },
        { method: 'POST', credentials: 'include', mode: 'no-cors', body },
    ]) said.push(await fetch(`${url}/runs`, options).then((told) => told.type, () => 'refused'));
    return said;
}"""


def test_a_page_of_another_port_can_do_nothing_by_the_session(
    browser: Browser, tmp_path: Path
) -> None:
    """It is of the same site, so that the browser sends the cookie with what it asks."""
    key, kept = new_key("alice")
    with serving(tmp_path, api_keys=str(kept)) as server:
        other = "http://127.0.0.1:1/"
        context = browser.new_context()
        context.set_default_timeout(patience(30) * 1000)
        page = context.new_page()
        page.goto(server.url)
        page.get_by_label("Key", exact=True).fill(key)
        page.get_by_role("button", name="Enter").click()
        page.locator(".owner").wait_for()
        page.route(other, lambda route: route.fulfill(body="<p>hello", content_type="text/html"))
        page.goto(other)

        assert page.evaluate(_ATTACK, server.url) == ["refused"] * 3
        server.client.headers["x-api-key"] = key
        assert server.client.get("/runs").json()["total"] == 0
        context.close()


def test_nothing_stands_in_the_way_of_who_uses_the_page_otherwise(
    browser: Browser, server: ServerProcess
) -> None:
    """By the rules of axe, those of colours in both schemes; and nothing overflows a telephone."""
    waiting = server.ask("order tea")
    failed = server.post("calculate 6 * 7, then order a unicorn")
    server.settled(failed)
    places = {  # with what stands there when all of it has been read
        "/": "tbody tr",
        f"/#/runs/{failed}": ".g-node",
        f"/#/runs/{waiting}": ".g-node",
        "/#/threads": "tbody tr",
        f"/#/threads/{failed}": ".turns li",
        "/#/tools": "article",
        "/#/health": "[aria-label=Settings]",
    }
    with page_of(browser, server.url, color_scheme="light") as page:
        for place, read in places.items():
            page.goto("about:blank")
            page.goto(place)
            page.locator(read).first.wait_for()
            if place.endswith("tools"):
                page.get_by_role("button", name="Try …").first.click()
            if "runs" in place:
                page.get_by_role("tab", name="Log").click()
            assert violations(page, "{}") == [], place
            page.emulate_media(color_scheme="dark")
            assert violations(page, COLOURS) == [], place
            page.emulate_media(color_scheme="light")
            page.set_viewport_size({"width": 360, "height": 700})
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, place
            page.set_viewport_size({"width": 1240, "height": 900})


#: The rules that look at colours.
COLOURS = "{runOnly: ['color-contrast', 'link-in-text-block']}"


def violations(page: Page, options: str) -> list[str]:
    """What axe finds."""
    axe = Path(os.environ.get("MCP_NODE_MODULES", ""), "axe-core/axe.min.js")
    if not axe.is_file():
        assert not os.environ.get("CI"), "axe-core is not installed"
        pytest.skip("needs axe-core from npm, and MCP_NODE_MODULES that says where it is")
    page.evaluate(axe.read_text())
    found = page.evaluate(f"axe.run({options})")["violations"]
    return [json.dumps([one["id"], [node["target"] for node in one["nodes"]]]) for one in found]
