"""Why a value cannot be kept."""

from typing import Any

from nodes.contract.steps import InvalidOutput, plain
from tests.support.wording.messages import masked, refusal


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def messages() -> dict[str, str]:
    """One reason for each kind of value; `<value>` is what differs."""
    return {
        "number": masked(_refused(float("nan")), value="nan"),
        "integer": _refused(2**63),
        "key": masked(_refused({97: "x"}), value=97),
        "plain": masked(_refused({1, 2}), value="Object of type set is not JSON serializable"),
        "surrogate": _refused("half \ud83d"),
        "deep": _refused(_nested(101)),
        "large": masked(_refused("x" * 1000), value="1002"),
        "large.input": _refused("ab", max_bytes=3, what="input"),
    }


def _refused(value: Any, **options: Any) -> str:
    return refusal(InvalidOutput, plain, value, **{"max_bytes": 1000, **options})
