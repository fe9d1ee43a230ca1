"""Planning by models: how far it is, and what it has cost."""

from typing import Any, NotRequired

from typing_extensions import TypedDict


class Planning(TypedDict):
    """Where planning by models stands between two calls; null before and after.

    `prompt` is what it is about: another one on the thread is a new run. `queue` holds the models
    still to be asked, the current one first. `reasons` are what was wrong with its last `answer`,
    which it may repair once; `retried` says that a passing failure of it was tried again.
    `not_before` is the earliest time of the next call, in epoch seconds. `waited`: seconds that the
    run was told to wait for its models so far; entries of earlier versions lack the key.
    """

    prompt: str
    queue: list[str]
    answer: str
    reasons: list[str]
    retried: bool
    not_before: float | None
    waited: NotRequired[float]


class Usage(TypedDict):
    """What the planning cost; what is not known is null, never 0 instead."""

    calls: int
    input_tokens: int | None
    output_tokens: int | None
    usd: float | None
    by_model: dict[str, Any]
