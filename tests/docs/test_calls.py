"""docs/calls.md and docs/api_examples.md tell the truth: their examples run, no call is missing."""

import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from tests.support import pages
from tests.support.servers.curl_examples import normal, replay, started

PAGE = (pages.DOCS / "calls.md").read_text()
EXAMPLES = (pages.DOCS / "api_examples.md").read_text()

#: What the tables name: method, path and parameters of each call, and where its example is.
CALLS = re.findall(r"\[`([A-Z]+) (/[^`? ]*)(?:\?([^`]*))?[^`]*`\]\(api_examples\.md#(\S+)\)", PAGE)


def test_every_example_answers_as_printed(tmp_path: Path) -> None:
    """In their order against one server, which the page starts."""
    with started(PAGE, tmp_path) as server:
        replayed = list(replay(PAGE, server.url))
    assert len(replayed) == PAGE.count("```console")
    for example in replayed:
        assert normal(example.answered) == normal(example.printed), example.command


def described(app: FastAPI) -> dict[str, set[str]]:
    """The parameters of every call, by its method and path."""
    paths: dict[str, Any] = app.openapi()["paths"]
    return {
        f"{method.upper()} {path}": {one["name"] for one in call.get("parameters", [])}
        for path, calls in paths.items()
        for method, call in calls.items()
    } | {"GET /docs": set()}


async def test_the_tables_have_every_call_and_only_parameters_that_it_takes(app: FastAPI) -> None:
    calls = described(app)
    named = {f"{method} {path.replace('{id}', '{run_id}')}" for method, path, _, _ in CALLS}
    assert named == set(calls)
    for method, path, parameters, _ in CALLS:
        given = {one.partition("=")[0] for one in parameters.split("&") if one}
        assert given <= calls[f"{method} {path.replace('{id}', '{run_id}')}"]


async def test_every_filter_is_named(app: FastAPI) -> None:
    [told] = re.findall(r"^The filters are (?:.+\n)+", PAGE, re.MULTILINE)
    assert set(pages.code(told)) >= described(app)["GET /runs"]


def test_every_call_in_a_table_leads_to_its_example() -> None:
    """But the plan that is to be approved, which is shown where it is."""
    led = {f"{method} {path}": anchor for method, path, _, anchor in CALLS}
    assert led.pop("POST /runs")
    for call, anchor in led.items():
        assert anchor in pages.anchors(f"### {call.replace('{id}', '{run_id}')}"), call


# Those of api_examples.md.


def test_every_call_of_the_examples_answers_as_printed(tmp_path: Path) -> None:
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
