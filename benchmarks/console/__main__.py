"""`python -m benchmarks.console`: what the page takes to draw, and a newcomer until the result."""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

from playwright.sync_api import Browser, Page

from api.console.page import FOLDER
from benchmarks.server import server
from benchmarks.table import print_table
from tests.support.console.browser import chromium, page_of
from tests.support.console.large_run import ATTEMPTS, Drawing, large

SENTENCE = "what is (41*7)+13"

#: Milliseconds until something is to be seen, by the browser's own clock.
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main() -> None:
    """Measure so many rounds, and print medians and sizes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    before, after = large(ATTEMPTS - 1), large(ATTEMPTS)
    with server() as started, chromium() as browser:
        url = started.url
        newcomer(browser, url)  # warm
        figures = [
            {**newcomer(browser, url), **drawing(browser, url, before, after)}
            for _ in range(rounds)
        ]
    print_table(figures)
    print()
    own = [path for path in FOLDER.rglob("*") if "vendor" not in path.parts]
    print(f"own modules and page  {size(own, '.js', '.html'):7,} bytes")
    print(f"style sheet           {size(own, '.css'):7,} bytes")
    print(f"modules of others     {size(FOLDER.rglob('*'), '.mjs'):7,} bytes")


def newcomer(browser: Browser, url: str) -> dict[str, float]:
    """Open the page, click a sentence, see its result."""
    with page_of(browser, url) as page:
        began = time.perf_counter()
        page.goto("/")
        page.get_by_role("button", name=SENTENCE).wait_for()
        requests = float(len(asked(page)))
        page.get_by_role("button", name=SENTENCE).click()
        page.locator(".outcome .large").wait_for()
        seconds = time.perf_counter() - began
        paint = page.evaluate(_PAINT)
    return {
        "first paint, ms": paint,
        "requests until then": requests,
        "newcomer, s": seconds,
    }


def drawing(browser: Browser, url: str, before: str, after: str) -> dict[str, float]:
    """Draw a run of many attempts, and then one event of it."""
    with page_of(browser, url) as page:
        page.goto("/")
        page.get_by_role("button", name=SENTENCE).wait_for()
        drawn = Drawing(page)
        whole, one = drawn.draw(before), drawn.draw(after)
    return {
        f"{ATTEMPTS} attempts drawn, ms": whole["ms"],
        "of the CPU, ms": whole["cpu_ms"],
        "one event drawn, ms": one["ms"],
        "its CPU, ms": one["cpu_ms"],
        "nodes": whole["nodes"],
    }


def asked(page: Page) -> list[str]:
    """The addresses that a page has asked for."""
    found: list[str] = page.asked  # type: ignore[attr-defined]
    return found


def size(paths: Iterable[Path], *kinds: str) -> int:
    """Bytes of the files of these kinds."""
    return sum(path.stat().st_size for path in paths if path.suffix in kinds)


if __name__ == "__main__":
    main()
