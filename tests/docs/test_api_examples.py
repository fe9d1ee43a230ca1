"""docs/api_examples.md tells the truth: its commands are run, and it has every call."""

import re
from pathlib import Path

from fastapi import FastAPI

from tests.support.checkout import ROOT
from tests.support.servers.curl_examples import normal, replay, started

EXAMPLES = (ROOT / "docs" / "api_examples.md").read_text()


def test_every_example_answers_as_printed(tmp_path: Path) -> None:
    """In their order against one server, status and content; ids, times and durations aside."""
    with started(EXAMPLES, tmp_path) as server:
        replayed = list(replay(EXAMPLES, server.url))
    assert len(replayed) > 30
    for example in replayed:
        assert normal(example.answered) == normal(example.printed), example.command


async def test_the_examples_have_every_call_that_there_is(app: FastAPI) -> None:
    calls = {
        f"{method.upper()} {path}"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    headings = set(re.findall(r"(?m)^### ([A-Z]+ /\S+)$", EXAMPLES))
    assert headings >= calls
    assert headings - calls == {"GET /docs"}
