"""How complex a task is, so that a simple one does not pay for a large model.

A pure function of the words: it costs microseconds and can be explained afterwards.
"""

import re
from collections.abc import Mapping

from typing_extensions import TypedDict

from nodes.patterns.grammar.phrases import word_set
from tools.registry import Tool

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*|\d+")

#: What people do with tools; each occurrence is taken for one action.
_ACTIONS = word_set(
    "add put create make write note remember remind list show read tell see check complete mark"
    " finish delete remove drop take clear update change rename replace calculate compute sum"
    " multiply divide subtract convert find search send fetch get compare sort count plan"
)
_CONNECTORS = word_set("then afterwards after before next finally also once first second third")
_REFERENCES = word_set("it its that this those them result results total answer each every")
_CONDITIONS = word_set("if unless otherwise else until while whether depending except when")

#: A score from here on is complex, unless configured otherwise.
THRESHOLD = 5.0


class Features(TypedDict):
    """What the score is made of; words are counted in twenties."""

    actions: int
    connectors: int
    references: int
    conditions: int
    words: int
    tools: int


def complexity(prompt: str, tools: Mapping[str, Tool]) -> tuple[float, Features]:
    """The score of a task, and the features it comes from.

    Every action beyond the first counts 1, a connector ½, a reference to another result 1, a
    condition 2, twenty words 1, and each ten tools to choose from ½.
    """
    words = _WORD.findall(prompt.lower())
    features = Features(
        actions=sum(word in _ACTIONS for word in words),
        connectors=sum(word in _CONNECTORS for word in words) + prompt.count(";"),
        references=sum(word in _REFERENCES for word in words),
        conditions=sum(word in _CONDITIONS for word in words),
        words=len(words),
        tools=len(tools),
    )
    score = (
        max(0, features["actions"] - 1)
        + 0.5 * features["connectors"]
        + features["references"]
        + 2 * features["conditions"]
        + features["words"] // 20
        + 0.5 * (features["tools"] // 10)
    )
    return score, features
