"""What may be kept of a value: plain JSON that a reload gives back unchanged."""

import json
from collections import namedtuple
from datetime import datetime
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.storage.storage import strict_serializer
from nodes.contract.steps import InvalidOutput, plain
from tests.support.wording.messages import wording

LIMIT = 1_000

text = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
plain_values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20
)


@given(plain_values)
def test_plain_data_is_kept_as_it_is(value: Any) -> None:
    kept = plain(value, max_bytes=10**6)

    assert kept == value
    assert json.loads(json.dumps(kept)) == kept


@given(plain_values)
def test_what_is_kept_survives_a_checkpoint(value: Any) -> None:
    serializer = strict_serializer()
    kept = plain(value, max_bytes=10**6)

    assert serializer.loads_typed(serializer.dumps_typed(kept)) == kept


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_the_deepest_value_that_is_kept_survives_a_checkpoint() -> None:
    serializer = strict_serializer()
    state = {"log": [{"output": plain(nested(100), max_bytes=LIMIT)}]}

    assert serializer.loads_typed(serializer.dumps_typed(state)) == state


def test_tuples_become_lists_as_they_would_at_a_reload() -> None:
    pair = namedtuple("pair", "x y")  # what a user's tool may well return

    assert plain({"at": pair(1, (2,))}, max_bytes=LIMIT) == {"at": [1, [2]]}


def test_what_a_tool_does_later_to_its_output_is_not_seen() -> None:
    output = {"items": [1]}
    kept = plain(output, max_bytes=LIMIT)
    output["items"].append(2)

    assert kept == {"items": [1]}


class Colour(Enum):
    RED = 1


def cycle() -> list[Any]:
    value: list[Any] = []
    value.append({"again": value})
    return value


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (float("nan"), "number"),
        ([float("-inf")], "number"),
        ({"n": 2**63}, "integer"),
        (-(2**63) - 1, "integer"),
        (10**5_000, "integer"),
        ({1: "x"}, "key"),
        ([{(1, 2): "x"}], "key"),
        ({None: 1}, "key"),
        ({1, 2}, "plain"),
        (b"bytes", "plain"),
        (datetime(2026, 1, 1), "plain"),  # noqa: DTZ001
        (Colour.RED, "plain"),
        (object, "plain"),
        ("half \ud83d", "surrogate"),
        ({"\udc00": 1}, "surrogate"),
        (cycle(), "deep"),
        (nested(101), "deep"),
        (nested(100_000), "deep"),
        ("x" * LIMIT, "large"),
        ("é" * (LIMIT // 2), "large"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_kept_is_refused_with_the_reason(value: Any, key: str) -> None:
    before, _, after = wording(f"json_data.{key}").partition("<value>")
    with pytest.raises(InvalidOutput) as refused:
        plain(value, max_bytes=LIMIT)

    assert str(refused.value).startswith(before)
    assert str(refused.value).endswith(after)


def test_the_largest_output_fits_exactly() -> None:
    assert plain("x" * (LIMIT - 2), max_bytes=LIMIT)


def test_the_message_names_what_was_refused() -> None:
    with pytest.raises(InvalidOutput, match=r"the input .*4 .*3 "):
        plain("ab", max_bytes=3, what="input")
