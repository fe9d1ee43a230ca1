"""What a run may take, and what it may spend."""

from typing import Literal

from typing_extensions import TypedDict


class Limits(TypedDict):
    """The limits in force for one run; times in seconds, sizes in bytes."""

    step_timeout: float
    max_attempts: int
    backoff: float
    max_prompt: int
    max_steps: int
    max_output: int


class Budget(TypedDict):
    """What one run may spend on planning by models; null where nothing is said.

    `seconds` count from the start of its execution. `on_exceeded`: plan in the way that costs
    nothing, or fail.
    """

    usd: float | None
    tokens: int | None
    seconds: float | None
    steps: int | None
    on_exceeded: Literal["pattern", "fail"]


#: What holds where nobody says otherwise (Studio, notebooks).
DEFAULT_LIMITS = Limits(
    step_timeout=30.0,
    max_attempts=3,
    backoff=0.5,
    max_prompt=20_000,
    max_steps=100,
    max_output=256 * 1024,
)
