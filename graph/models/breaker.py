"""Circuit breakers: a model that fails is left alone for a while."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from typing_extensions import TypedDict

from nodes.planning.model import ModelFailure, ModelState


class ModelHealth(TypedDict):
    """How a model does; from `until` (epoch, s) on, one call is let through to see."""

    state: ModelState
    until: float | None
    error_class: str | None


@dataclass
class _Circuit:
    state: ModelState = "ok"
    failures: int = 0
    since: float = 0.0
    pause: float = 0.0
    error_class: str | None = None

    def leave_alone(self, state: ModelState, since: float, pause: float) -> None:
        self.state, self.since, self.pause = state, since, pause


class CircuitBreaker:
    """One circuit a model, in memory, for one event loop.

    A circuit opens after `threshold` transient failures in a row, for `pause` seconds (longer where
    the provider asked for more). It opens at once when the model is misconfigured, and when it is
    given up for keeping its callers waiting. Then one call goes through as a trial, and the next
    after another `pause` if that call is never heard of again. `clock` tells the epoch in seconds.
    """

    def __init__(
        self,
        models: Iterable[str],
        *,
        threshold: int,
        pause: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._circuits = {model: _Circuit() for model in models}
        self._threshold = threshold
        self._pause = pause
        self._clock = clock

    def allows(self, model: str) -> bool:
        """Whether the model may be called now; a trial is given to the one who asks first."""
        if self.holds_back(model):
            return False
        circuit = self._circuit(model)
        if circuit.state != "ok":
            circuit.leave_alone(circuit.state, self._clock(), self._pause)
        return True

    def holds_back(self, model: str) -> bool:
        """Whether the model is being left alone now."""
        circuit = self._circuit(model)
        # A clock that was set back must not keep the circuit open.
        within = circuit.since <= self._clock() < circuit.since + circuit.pause
        return circuit.state != "ok" and within

    def misconfigured(self, model: str) -> bool:
        """Whether the model's last failure cannot pass by itself."""
        return self._circuit(model).state == "misconfigured"

    def succeeded(self, model: str) -> None:
        """An answer came: the circuit is closed."""
        self._circuits[model] = _Circuit()

    def failed(self, model: str, failure: ModelFailure, *, given_up: bool) -> None:
        """No answer came. A request that was itself the fault shows that the model works.

        `given_up`: the caller does not try it again. After a timeout, or where the provider
        asked for a wait, every further call would only keep its caller waiting.
        """
        if not failure.transient and not failure.misconfigured:
            self.succeeded(model)
            return
        circuit = self._circuit(model)
        circuit.error_class = failure.error_class
        circuit.failures += 1
        pause = max(self._pause, failure.retry_after or 0.0)
        slow = failure.error_class == "timeout" or bool(failure.retry_after)
        if failure.misconfigured:
            circuit.leave_alone("misconfigured", self._clock(), pause)
        elif circuit.state != "ok" or circuit.failures >= self._threshold or (given_up and slow):
            circuit.leave_alone("open", self._clock(), pause)

    def state(self) -> dict[str, ModelHealth]:
        """Every model's health, for people."""
        return {model: _health(circuit) for model, circuit in self._circuits.items()}

    def _circuit(self, model: str) -> _Circuit:
        return self._circuits.setdefault(model, _Circuit())


def _health(circuit: _Circuit) -> ModelHealth:
    until = None if circuit.state == "ok" else circuit.since + circuit.pause
    return ModelHealth(state=circuit.state, until=until, error_class=circuit.error_class)
