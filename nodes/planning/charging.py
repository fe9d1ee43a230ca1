"""One call of a model that is made only while it can be paid for."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nodes.planning.budget import exceeded, over_time
from nodes.planning.model import Completion, Cost, Message, ModelFailure, call_of
from nodes.planning.outcomes import ModelAttempt


class NotAffordable(Exception):
    """The run's own budget does not allow the call; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


#: Makes the call, within so many seconds.
Ask = Callable[[float], Awaitable[Completion]]


async def charged(
    attempt: ModelAttempt,
    asked: Sequence[Message],
    schema: Mapping[str, Any] | None,
    ask: Ask,
    *,
    timeout: float,
) -> Completion:
    """The model's answer, paid for; the most that it can cost is known before it is asked.

    Raises `NotAffordable`, `BudgetExceeded` and `ModelFailure`.
    """
    ladder = attempt.ladder
    if ladder.lacks_key(attempt.name):
        raise ModelFailure("no_api_key", transient=False, misconfigured=True)
    cost: Cost | None = None
    if attempt.state.get("budget") or ladder.budget_guard:
        if reason := over_time(attempt.state):
            raise NotAffordable(reason)
        cost = await attempt.model.max_cost(asked, schema, timeout=timeout)
        if reason := exceeded(attempt.state, cost):
            raise NotAffordable(reason)
        timeout = max(0.0, timeout - attempt.took)
    if cost is None or ladder.budget_guard is None:
        return await ask(timeout)
    call = call_of(attempt.state, attempt.name)
    return await ladder.budget_guard.charge(call, cost, lambda: ask(timeout))
