"""How many examples a property is tried with: few in `make test`, all in `make test-rest`.

The latter runs the tests of properties once more, with `TEST_EXAMPLES=all`.
"""

import os

#: The part of the examples that `make test` takes.
_FEW = 4


def examples(number: int) -> int:
    """`number` where all are tried, else a quarter of it."""
    return number if os.environ.get("TEST_EXAMPLES") == "all" else number // _FEW
