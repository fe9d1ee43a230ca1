"""A tool that tells what its own server process has imported."""

import sys

from tools.registry import tool


@tool(phrases=["is module {name} loaded"])
def is_loaded(name: str) -> bool:
    """Whether the process has imported a module."""
    return name in sys.modules
