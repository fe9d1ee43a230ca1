"""The pages that people read: their blocks, examples, tables, headings and links."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.checkout import ROOT
from tests.support.servers.server_process import runwright

README = ROOT / "README.md"
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"

#: Every page that is written for people.
PAGES = (README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])+\]\(([^()\s]+)\)")


def blocks(page: str, language: str = "") -> list[str]:
    """What is fenced as `language`, in its order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [text for named, text in found if named == language]


def examples(page: str) -> list[tuple[str, str]]:
    """Every console block: its command on one line, and what it printed."""
    found = re.findall(r"```console\n\$ ((?:[^\n]*\\\n)*[^\n]*)\n(.*?)```", page, re.DOTALL)
    return [(command.replace("\\\n", " "), printed) for command, printed in found]


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return _FENCED.sub("", page)


def code(page: str) -> list[str]:
    """What stands in backticks within the prose."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def rows(page: str, first_heading: str) -> list[list[str]]:
    """The cells of the tables whose first column has this heading, without their heads."""
    tables = re.findall(
        rf"^\| {re.escape(first_heading)} \|.*\n\| ---.*\n((?:\|.*\n?)+)", page, re.MULTILINE
    )
    lines = [line for table in tables for line in table.splitlines()]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def anchors(page: str) -> set[str]:
    """What a link may name behind `#`, as GitHub makes it of the headings."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        before = found.get(slug, 0)
        found[slug] = before + 1
        names.add(f"{slug}-{before}" if before else slug)
    return names


def links(page: str) -> list[str]:
    """Where the links of a page lead."""
    return _LINK.findall(prose(page))


def local_links(path: Path) -> Iterator[tuple[Path, str]]:
    """The files and anchors that a page leads to within the project."""
    for link in links(path.read_text()):
        if re.match(r"\w+:", link):
            continue
        place, _, anchor = link.partition("#")
        yield (path.parent / place).resolve() if place else path, anchor


def contains(whole: Any, part: Any) -> bool:
    """Whether a shortened value agrees with the whole one."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)


def without_numbers_of_the_day(text: str) -> str:
    """Times, durations, ids and dates differ from run to run."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"(?m)^date: .*$", "date: DATE", text)
    return re.sub(r"in \d+ ms", "in N ms", text)


def curl(command: str) -> str:
    """What a command with curl prints."""
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
    return done.stdout.replace("\r", "").strip() + "\n"


def printed_by(command: str, folder: Path, *, cwd: Path = ROOT) -> str:
    """What a command with `.venv/bin/runwright` prints, its database in `folder`."""
    words = shlex.split(command)
    variables = (word.split("=", 1) for word in words if word.startswith("RUNWRIGHT_"))
    settings = {name.removeprefix("RUNWRIGHT_").lower(): value for name, value in variables}
    arguments = words[words.index(".venv/bin/runwright") + 1 :]
    return runwright(*arguments, folder=folder, cwd=cwd, **settings).stdout
