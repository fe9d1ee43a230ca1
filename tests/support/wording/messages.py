"""The sentences for people, by key: as the code says them now, and as the golden file has them.

`wording(key)` is for tests that must know which sentence was said. It reads the file, which a test
holds to the code: to provoke all of them takes seconds, in each process.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

GOLDEN = Path(__file__).with_name("golden.txt")

#: The sections of the golden file: modules whose `messages()` provoke what they name, and the
#: package whose sentences they are.
AREAS: Mapping[str, str] = {
    "problems": "api",
    "fields": "api",
    "plans": "nodes",
    "references": "nodes",
    "json_data": "nodes",
    "answers": "nodes",
    "antecedent": "nodes",
    "calculator": "tools",
    "todos": "tools",
    "tools": "tools",
    "settings": "graph",
    "planning": "nodes",
    "runs": "graph",
    "approval": "nodes",
    "in_doubt": "nodes",
    "orders": "graph",
    "hand_edits": "nodes",
    "explanation": "graph",
    "terminal": "api",
    "doctor": "api",
    "mcp": "api",
    "storage": "graph",
    "workbench": "graph",
}


@cache
def provoked(area: str) -> Mapping[str, str]:
    """The sentences of an area, whatever settings and loop the test has that asks first."""
    messages = import_module(f"tests.support.wording.{AREAS[area]}.{area}").messages
    with ThreadPoolExecutor(1) as thread, mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("RUNWRIGHT_")]:
            del os.environ[name]
        return thread.submit(_awaited, messages).result()


def _awaited(messages: Callable[[], Any]) -> Mapping[str, str]:
    told: Any = messages()
    return asyncio.run(told) if asyncio.iscoroutine(told) else told


def wording(key: str, **parts: object) -> str:
    """The sentence that `area.name` stands for, its `<part>`s filled in."""
    area, _, name = key.partition(".")
    text = golden()[area][name]
    for part, value in parts.items():
        if f"<{part}>" not in text:
            raise KeyError(f"{key} has no <{part}>: {text}")
        text = text.replace(f"<{part}>", str(value))
    return text


@cache
def golden() -> Mapping[str, Mapping[str, str]]:
    """What the golden file has, by area."""
    found: dict[str, dict[str, list[str]]] = {}
    lines: list[str] = []
    for line in GOLDEN.read_bytes().decode().split("\n"):
        key, is_entry, text = line.partition(" =")
        if line.startswith("["):
            area = found.setdefault(line[1:-1], {})
        elif line.startswith("    |"):
            lines.append(line[5:])
        elif is_entry and found:
            lines = area[key] = [text[1:]] if text else []
    return {
        name: {key: "\n".join(lines) for key, lines in area.items()} for name, area in found.items()
    }


def masked(text: str, **parts: object) -> str:
    """`text` with what differs from run to run, or from use to use, as `<part>`.

    The longest first: a number may stand in the name of a folder.
    """
    for part, value in sorted(parts.items(), key=lambda item: -len(str(item[1]))):
        if str(value) not in text:
            raise ValueError(f"{value!r} is not in {text!r}")
        text = text.replace(str(value), f"<{part}>")
    return text


def refusal(kind: type[Exception], call: Any, *args: Any, **options: Any) -> str:
    """What `call` says when it refuses; that it does is asserted."""
    try:
        call(*args, **options)
    except kind as error:
        return str(error)
    raise AssertionError(f"{call} refused nothing: {args} {options}")
