"""docs/langgraph.md tells the truth: its code is run, and its table is what a script writes."""

import contextlib
import io
import re
from typing import Any

import pytest

from api.lg.requests import Choices
from api.lg.stream_parts import MODES
from tests.support.checkout import ROOT
from tests.support.servers.lg.conformance import compared
from tests.support.servers.lg.javascript import node_modules
from tests.support.servers.server_process import serving

PAGE = (ROOT / "docs" / "langgraph.md").read_text()

PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("program", "printed"), PROGRAMS)
def test_a_program_prints_what_the_page_says(tmp_path, program, printed):
    told, names = io.StringIO(), dict[str, Any]()
    with serving(tmp_path) as server, contextlib.redirect_stdout(told):
        exec(program.replace("http://127.0.0.1:8000", server.url), names)
        for client in (names.get("client"), getattr(names.get("remote"), "sync_client", None)):
            if client is not None:
                client.http.client.close()
    lines = told.getvalue().splitlines()
    assert lines == printed.splitlines()


def test_the_modes_of_the_page_are_those_that_are_streamed():
    streams = PAGE.partition("## Streams")[2].partition("\n## ")[0]
    told = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \| (?!refused)", streams, re.MULTILINE)
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(told))) == sorted(MODES)


def test_what_a_run_can_be_given_is_named():
    places = {"thread_id", "checkpoint_id", "checkpoint_ns"}
    assert all(f"`{name}`" in PAGE for name in {*Choices.model_fields} - places)


@pytest.mark.slow
def test_the_table_is_what_the_official_clients_are_answered_today(tmp_path):
    node_modules()
    lines = compared(tmp_path)
    assert [line for line in lines if ": ?" in line] == []
    assert "\n".join(lines) in PAGE
