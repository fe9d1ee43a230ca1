"""Runs as tests read and edit them, where a graph gives and takes its channels."""

from collections.abc import Mapping
from typing import Any

from graph.state import whole


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a graph gives back, as the run that is in it, beside the questions that it asks."""
    asked = {"__interrupt__": values["__interrupt__"]} if "__interrupt__" in values else {}
    return {**whole(values), **asked}
