"""The curl examples of a page: replayed against a server, compared, and written anew.

`python -m tests.support.servers.curl_examples docs/api_examples.md` writes the page with the
answers of today. In a new example, write `ID_A`, `ID_B`, … for the ids of its answer, in their
order, and for its answer nothing else; later commands may name them.
"""

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.patience import patience, wait_until
from tests.support.servers.server_process import ServerProcess, http_client, make, serving

#: Where the page says that the server is.
PLACE = "localhost:8000"

WIDTH = 96

#: A command and its answer, before which the page may name the fields that it shows of it.
EXAMPLE = re.compile(
    r"(?:<!-- only: ([a-z_, ]+) -->\n)?```console\n\$ ((?:[^\n]*\\\n)*[^\n]*)\n(.*?)```", re.DOTALL
)
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}(?![0-9a-f-])|\bID_[A-Z]\b")
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")

#: Fields of what is measured, and differs from run to run.
MEASURED = re.compile(r".*_ms$|ends_per_s$")


@dataclass
class Example:
    """One command of the page, and what it printed there and here; `only` names what is shown."""

    only: str
    command: str
    printed: str
    answered: str = ""


def started(page: str, folder: Path) -> AbstractContextManager[ServerProcess]:
    """The server of the page, started by its command."""
    [command] = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    ours = f'make() {{ command {shlex.join(make())} "$@"; }}\n'
    # Its answers tell the limits.
    return serving(folder, ["bash", "-c", ours + command], step_timeout="30")


def examples(page: str) -> list[Example]:
    """The commands in their order."""
    return [Example(*found) for found in EXAMPLE.findall(page)]


def replay(page: str, url: str) -> Iterator[Example]:
    """Run every command in its turn; ids of the page stand for those that came here instead."""
    ids: dict[str, str] = {}
    for example in examples(page):
        command = example.command.replace(PLACE, url.removeprefix("http://"))
        for printed, here in ids.items():
            command = command.replace(printed, here)
        if example.command.endswith("/health"):  # it is shown of a server at rest
            wait_until(lambda: _is_at_rest(url))
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            timeout=patience(),
            check=False,
        )
        assert done.returncode in (0, 28), f"{example.command}: {done.stderr}"  # 28: its --max-time
        example.answered = readable(done.stdout.replace("\r", ""), example.only)
        printed_ids, here_ids = ID.findall(example.printed), ID.findall(example.answered)
        ids |= dict(zip(printed_ids, here_ids, strict=False))
        yield example


def _is_at_rest(url: str) -> bool:
    with http_client(url) as client:
        return bool(client.get("/health").json()["runs"]["in_flight"] == 0)


def normal(answer: str) -> Any:
    """An answer without what is of its day: as data where it is JSON, else as text."""
    head, body, tail = split(answer)
    text = TIME.sub("TIME", ID.sub("ID", f"{head}|{tail}"))
    text = re.sub(r"(?m)^(date|content-length|etag): .*$", r"\1", text)
    text = re.sub(r'"duration_ms":[\d.]+', "N", re.sub(r"(?m)^retry: \d+$", "retry: N", text))
    return text, _plain(body) if body is not None else None


def _plain(value: Any, *, measured: bool = False) -> Any:
    """`measured` values are numbers of the day."""
    if isinstance(value, dict):
        return {
            name: _plain(part, measured=measured or bool(MEASURED.match(name)))
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [_plain(part, measured=measured) for part in value]
    if isinstance(value, str):
        text = TIME.sub("TIME", ID.sub("ID", value))
        text = re.sub(r"\d{4}-[\d-]*$", "TIME", text)  # a shortened value, cut within it
        # In the order of their shares, which is of the day as well.
        text = re.sub(r"Most of the time .*", "Most of the time …", text)
        return re.sub(r"\d[\d.,]* (ms|s)\b", "N", text)
    return "N" if measured and value is not None else value


def split(answer: str) -> tuple[str, Any, str]:
    """What comes before the JSON of an answer, the JSON, and what comes after it."""
    lines = answer.splitlines(keepends=True)
    for first, line in enumerate(lines):
        if line.startswith(("{", "[")):
            text = "".join(lines[first:])
            value, end = json.JSONDecoder().raw_decode(text)
            return "".join(lines[:first]), value, text[end:].strip("\n")
    return answer.strip("\n"), None, ""


def readable(answer: str, only: str) -> str:
    """The answer with line breaks in its JSON, and of that `only` these fields if any are named."""
    head, body, tail = split(answer)
    if only:
        body = {name: body[name] for name in only.split(", ")}
    told = head + (broken(body) if body is not None else "")
    return told + (f"\n{tail}" if tail else "") + "\n"


def broken(value: Any, indent: int = 0, before: int = 0) -> str:
    """JSON in which everything that fits into a line is in one; `before` is what stands there."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent + before <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    inner = indent + 2
    if isinstance(value, dict):
        named = ((json.dumps(name), part) for name, part in value.items())
        parts = [f"{name}: {broken(part, inner, len(name) + 3)}" for name, part in named]
        opening, closing = "{", "}"
    else:
        parts = [broken(part, inner, 1) for part in value]
        opening, closing = "[", "]"
    lines = ",\n".join(" " * inner + part for part in parts)
    return f"{opening}\n{lines}\n{' ' * indent}{closing}"


def rewritten(page: str, url: str) -> str:
    """The page with the answers of the server at `url`, and its ids in the commands."""
    told: list[str] = []
    ids: dict[str, str] = {}
    for example in replay(page, url):
        command = example.command
        for printed, here in ids.items():
            command = command.replace(printed, here)
        ids |= dict(zip(ID.findall(example.printed), ID.findall(example.answered), strict=False))
        only = f"<!-- only: {example.only} -->\n" if example.only else ""
        told.append(f"{only}```console\n$ {command}\n{example.answered}```")
    answers = iter(told)
    return EXAMPLE.sub(lambda _: next(answers), page)


def main(path: Path) -> None:
    """Write the page anew."""
    page = path.read_text()
    with tempfile.TemporaryDirectory() as folder, started(page, Path(folder)) as server:
        path.write_text(rewritten(page, server.url))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
