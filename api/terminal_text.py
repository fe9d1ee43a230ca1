"""Text on a terminal: what users, tools and models say has no power over it."""

import json
from typing import Any


def pretty(value: Any) -> str:
    """JSON for people; what a terminal would act upon is escaped as JSON has it."""
    return printable(json.dumps(value, ensure_ascii=False, indent=2), keep="\n")


def line(text: str) -> str:
    """One line, whatever is in it."""
    return printable(text)


def printable(text: str, keep: str = "") -> str:
    """The text with everything that is no visible character escaped, except what is in `keep`."""
    return "".join(
        char if char.isprintable() or char in keep else json.dumps(char)[1:-1] for char in text
    )
