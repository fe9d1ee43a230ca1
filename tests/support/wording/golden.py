"""The golden file: every sentence for people, in sections, as `key = text`."""

import difflib
from collections.abc import Mapping

from tests.support.wording.messages import AREAS, GOLDEN, provoked

WRITE = "python -m tests.support.wording --write"

_HEAD = f"""\
# What Runwright says to people, as its code says it; asserted here and nowhere else.
# After a change of words: {WRITE}, and read the diff.
"""


def rendered() -> str:
    """The file as it would be written now."""
    return "\n".join([_HEAD, *(_section(area, provoked(area)) for area in AREAS)])


def kept() -> str:
    """The file as it is; empty where there is none yet."""
    return GOLDEN.read_bytes().decode() if GOLDEN.exists() else ""


def difference() -> str:
    """What would change in the file, line by line; empty where nothing would."""
    before, after = (text.splitlines(keepends=True) for text in (kept(), rendered()))
    return "".join(difflib.unified_diff(before, after, "golden.txt", "said now", n=0))


def write() -> None:
    """Write the file anew."""
    GOLDEN.write_bytes(rendered().encode())


def _section(area: str, messages: Mapping[str, str]) -> str:
    return "".join([f"[{area}]\n", *(_entry(key, text) for key, text in messages.items())])


def _entry(key: str, text: str) -> str:
    lines = text.split("\n")
    if len(lines) == 1:
        return f"{key} = {text}\n"
    return "".join([f"{key} =\n", *(f"    |{line}\n" for line in lines)])
