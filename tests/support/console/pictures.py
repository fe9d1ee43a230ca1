"""`make pictures`: the pictures of the page that README and docs show, taken of real runs."""

import tempfile
from pathlib import Path

from playwright.sync_api import Page

from tests.support.checkout import ROOT
from tests.support.console.browser import chromium, page_of
from tests.support.own_tools.shop_tool import SHOP
from tests.support.servers.server_process import ServerProcess, serving

FOLDER = ROOT / "docs/doors"

BEFORE = (
    "Add a todo to buy milk, then show me all my tasks",
    "what is (41*7)+13",
    "what's the capital of France, and add a todo to visit it",
    "calculate 15% of 200, then add the result as a task",
)

TYPED = "Calculate 42 * 8, tell me the capital of France, then add the result as a task"

SIZE = {"width": 1120, "height": 760}


def take() -> None:
    """Take them anew."""
    with (
        tempfile.TemporaryDirectory() as place,
        serving(Path(place), tools=SHOP, backoff="0.2") as server,
        chromium() as browser,
        page_of(browser, server.url, viewport=SIZE) as page,
    ):
        for prompt in BEFORE:
            server.settled(server.post(prompt))
        _run(page, server)
        _runs(page, server)


def _run(page: Page, server: ServerProcess) -> None:
    """One whose step was refused twice."""
    run_id = server.post("calculate 6 * 7, then order flour, then show me all my tasks")
    server.settled(run_id)
    page.goto(f"/#/runs/{run_id}")
    page.locator(".g-node").first.wait_for()
    page.locator("[data-at=a1]").click()
    page.locator(".live").get_by_text("live").wait_for()
    page.screenshot(path=FOLDER / "run.png")


def _runs(page: Page, server: ServerProcess) -> None:
    """The list, and what is typed."""
    server.client.post("/runs", json={"prompt": "order a pizza for Ann", "mode": "plan"})
    server.settled(server.post("calculate 6 * 7, then order a unicorn"))
    page.goto("/")
    page.get_by_label("What should be done?").fill(TYPED)
    page.locator(".under .unplaced").wait_for()
    page.locator("tbody tr").nth(6).wait_for()
    page.screenshot(path=FOLDER / "runs.png")


if __name__ == "__main__":
    take()
