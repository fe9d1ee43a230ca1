"""The pages are found, and what they name is there: links, files, settings, targets of make."""

import re
import tomllib
from pathlib import Path

import pytest

from graph.settings import Settings
from tests.support import pages
from tests.support.checkout import ROOT

each_page = pytest.mark.parametrize(
    "path", pages.PAGES, ids=lambda path: str(path.relative_to(ROOT))
)

#: Folders whose files the pages name.
FOLDERS = ("api", "graph", "nodes", "tools", "docs", "tests", "examples", "notebooks", "benchmarks")


def test_the_index_leads_to_every_page_by_the_question_that_it_answers() -> None:
    rows = pages.rows(pages.INDEX.read_text(), "page")
    assert all(question.endswith("?") for _, question in rows)
    led = [(pages.DOCS / link).resolve() for page, _ in rows for link in pages.links(page)]
    assert sorted(led) == sorted(set(pages.DOCS.rglob("*.md")) - {pages.INDEX})


def test_the_readme_leads_to_the_index() -> None:
    assert pages.INDEX in [path for path, _ in pages.local_links(pages.README)]


def test_a_reader_sees_all_pages_at_once() -> None:
    assert len(list(pages.DOCS.iterdir())) <= 15


@each_page
def test_every_link_leads_somewhere(path: Path) -> None:
    """To a file that is there, and a heading that it has."""
    for target, anchor in pages.local_links(path):
        assert target.exists(), target
        if anchor:
            assert anchor in pages.anchors(target.read_text()), f"{target.name}#{anchor}"


@each_page
def test_every_file_that_is_named_is_there(path: Path) -> None:
    for name in pages.code(path.read_text()):
        if re.fullmatch(r"[\w.-]+/[\w./-]*", name) and name.split("/")[0] in FOLDERS:
            assert (ROOT / name).exists(), name


@each_page
def test_every_setting_that_is_named_is_one(path: Path) -> None:
    named = set(re.findall(r"\bRUNWRIGHT_([A-Z_]+)\b", path.read_text()))
    assert {name.lower() for name in named} <= set(Settings.model_fields)


@each_page
def test_every_target_of_make_that_is_named_is_one(path: Path) -> None:
    """`make soak-…` stands for all that begin so."""
    text = path.read_text()
    lines = re.findall(r"^make ([\w-]+)", text, re.MULTILINE)
    named = {*lines, *re.findall(r"`make ([\w-]+…?)", text)}
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name in named:
        if name.endswith("…"):
            assert any(target.startswith(name[:-1]) for target in targets), name
        else:
            assert name in targets


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    """What is not released, then the versions; each entry is one sentence under its kind."""
    text = (ROOT / "CHANGELOG.md").read_text()
    unreleased, *versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert unreleased == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", version) for version in versions)
    assert versions[0].startswith(f"{project['version']} ")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= kinds
    for entry in re.findall(r"^- ((?:.+\n(?:  .+\n)*))", text, re.MULTILINE):
        assert re.fullmatch(r"[^.]+(\.\S[^.]*)*\.", " ".join(entry.split())), entry


def test_the_house_is_told_in_ten_lines() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    house = text.split("## The house in ten lines\n")[1].split("\n## ")[0]
    assert re.findall(r"^(\d+)\. ", house, re.MULTILINE) == [str(line) for line in range(1, 11)]
