"""How much is tried: few examples and cases in `make test`, all of them in `make test-rest`.

The latter runs the tests of properties once more, with `TEST_EXAMPLES=all`.
"""

import os
from typing import Any

import pytest

#: The part of the examples that `make test` takes.
_FEW = 8


def examples(number: int) -> int:
    """`number` where all are tried, else an eighth of it."""
    return number if os.environ.get("TEST_EXAMPLES") == "all" else number // _FEW


def slow(*cases: Any) -> list[Any]:
    """Cases of a parameter that `make test` leaves out: each takes long, and differs little."""
    return [pytest.param(case, marks=pytest.mark.slow) for case in cases]
