"""Answers of scripted models in several rounds, and the graph that asks for them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graph.state import RunState
from nodes.planning.model import Completion
from tests.support.models.scripted_models import ScriptedModel, Turn, answer


def round_of_steps(
    *steps: tuple[str, Mapping[str, Any]], then: str = "done", says: str | None = None
) -> Completion:
    """A whole answer with these steps, what is to follow them, and words."""
    given = [{"reasoning": "as asked", "tool": tool, "input": value} for tool, value in steps]
    return answer(json.dumps({"steps": given, "then": then, "answer": says}))


def passing(*labels: str, then: str = "done") -> Turn:
    """An answer whose steps pass these labels by."""
    return round_of_steps(*(("pass", {"label": label}) for label in labels), then=then)


def model(*script: Turn) -> ScriptedModel:
    """A model that answers by this script."""
    return ScriptedModel("a/one", list(script))


def calculating(expression: str, then: str = "done") -> Completion:
    """A whole answer with one calculation."""
    return round_of_steps(("calculator", {"expression": expression}), then=then)


def seen(state: RunState) -> list[tuple[int, str, int, int, str | None]]:
    """Number, reason, first and last step, and what follows, of each round."""
    return [
        (entry["round"], entry["why"], entry["first"], entry["last"], entry["then"])
        for entry in state["plan"]["rounds"]
    ]


def texts(messages: Sequence[Mapping[str, str]]) -> list[str]:
    """What the messages of a call say."""
    return [message["content"] for message in messages]
