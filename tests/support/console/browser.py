"""A real Chromium, and pages in it that notice whatever a page of ours must not do."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Response, expect, sync_playwright

from tests.support.patience import patience

#: It is to talk to nobody but the page.
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)

#: The folder in which each test leaves pictures of its pages as they were in the end, if it is set.
PICTURES = "PAGE_PICTURES"

expect.set_options(timeout=patience(30) * 1000)

_NOTICE = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => {
  window.violations.push(event.violatedDirective + ' ' + event.blockedURI);
});
window.hacked = () => { window.violations.push('hacked'); };
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser that is installed; without one its tests are skipped, but never in CI."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        if os.environ.get("CI"):
            raise AssertionError("chromium is not installed")
        pytest.skip("needs chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()


@contextmanager
def page_of(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page of a server, in a context of its own.

    At the end it leaves a picture, where these are kept. It must have asked no other host, run into
    no policy, run nothing that it was given as text, and have thrown nothing.
    """
    options = {"viewport": {"width": 1240, "height": 900}} | options
    context = browser.new_context(base_url=url, **options)
    context.set_default_timeout(patience(30) * 1000)
    context.add_init_script(_NOTICE)
    asked: list[str] = []
    thrown: list[str] = []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.asked = asked  # type: ignore[attr-defined]
    yield page
    violations = page.evaluate("window.violations")
    _leave_picture(page)
    context.close()
    foreign = [one for one in asked if not one.startswith((url, "data:"))]
    assert (foreign, violations, thrown) == ([], [], [])


def _leave_picture(page: Page) -> None:
    folder = os.environ.get(PICTURES)
    if not folder or page.url == "about:blank":
        return
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition("::")[2].removesuffix(" (call)")
    name = re.sub(r"[^\w-]+", "-", test).strip("-")
    number = len([*Path(folder).glob(f"{name}.*.png")]) + 1
    page.screenshot(path=Path(folder, f"{name}.{number}.png"))


def open_run(page: Page, run_id: str) -> None:
    """Show a run, and wait until it stands there: before that, the page shows what it showed."""
    page.goto(f"/#/runs/{run_id}")  # which changes the address, and returns
    expect(page.locator("main")).to_contain_text(run_id)


def status(page: Page) -> Locator:
    """Where it says how the run stands."""
    return page.locator(".state .status")


def is_list(answer: Response) -> bool:
    """Whether it is the list of runs."""
    return answer.ok and "/runs?limit=50" in answer.url
