"""One browser and one server for all tests of the package, whose runs have words of their own."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.console.browser import chromium
from tests.support.own_tools.gate_tool import GATE
from tests.support.own_tools.shop_tool import SHOP
from tests.support.servers.server_process import ServerProcess, serving


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, tools=f"{SHOP},{GATE}", backoff="0.01") as started:
        yield started
