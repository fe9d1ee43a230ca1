"""Circuit breakers: a model that fails is left alone for a while."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from typing_extensions import TypedDict

from nodes.planning.model import ModelFailure, ModelState

logger = logging.getLogger("runwright.models")


class ModelHealth(TypedDict):
    """How a model does; from `until` (epoch, s) on, one call is let through to see."""

    state: ModelState
    until: float | None
    error_class: str | None


@dataclass
class _Pause:
    """A time from an epoch second on in which nobody asks."""

    since: float = 0.0
    seconds: float = 0.0

    @property
    def until(self) -> float:
        return self.since + self.seconds

    def lasts(self, now: float) -> bool:
        # A clock that was set back must not prolong it.
        return self.since <= now < self.until


@dataclass
class _Circuit:
    """`failed` holds the runs that failed in a row; `held` is the wait that a provider asked for,
    after which nothing is wrong.
    """

    state: ModelState = "ok"
    failed: set[object] = field(default_factory=set)
    pause: _Pause = field(default_factory=_Pause)
    held: _Pause | None = None
    error_class: str | None = None

    def is_left_alone(self, now: float) -> bool:
        paused = self.state != "ok" and self.pause.lasts(now)
        return paused or (self.held is not None and self.held.lasts(now))


class CircuitBreaker:
    """One circuit a model, in memory, for one event loop.

    A circuit opens after transient failures of `threshold` runs in a row, for `pause` seconds
    (longer where the provider asked for more). It opens at once when the model is misconfigured,
    and when it is given up after a timeout. Then one call goes through as a trial, and the next
    after another `pause` if that call is never heard of again. A model that is given up since its
    provider asked for a wait is left alone for as long as that, and for no more. `clock` tells the
    epoch in seconds. What is opened and closed is logged.
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
            circuit.pause = _Pause(self._clock(), self._pause)
        elif circuit.held is not None:
            circuit.held = None
            _log_closed(model)
        return True

    def holds_back(self, model: str) -> bool:
        """Whether the model is being left alone now."""
        return self._circuit(model).is_left_alone(self._clock())

    def misconfigured(self, model: str) -> bool:
        """Whether the model's last failure cannot pass by itself."""
        return self._circuit(model).state == "misconfigured"

    def succeeded(self, model: str) -> None:
        """An answer came: the circuit is closed."""
        circuit = self._circuit(model)
        if circuit.state != "ok" or circuit.held is not None:
            _log_closed(model)
        self._circuits[model] = _Circuit()

    def failed(
        self, model: str, failure: ModelFailure, *, given_up: bool, run_id: str | None = None
    ) -> None:
        """No answer came. A request that was itself the fault shows that the model works.

        `given_up`: the caller does not try it again. After a timeout, or where the provider
        asked for a wait, every further call would only keep its caller waiting. Of the failures of
        one `run_id` the first counts; without one each does.
        """
        if not failure.transient and not failure.misconfigured:
            self.succeeded(model)
            return
        circuit, now = self._circuit(model), self._clock()
        was_left_alone = circuit.is_left_alone(now)
        circuit.error_class = failure.error_class
        circuit.failed.add(object() if run_id is None else run_id)
        wait = failure.retry_after or 0.0
        hung = failure.error_class == "timeout" and given_up
        if failure.misconfigured:
            circuit.state = "misconfigured"
        elif circuit.state != "ok" or len(circuit.failed) >= self._threshold or hung:
            circuit.state = "open"
        if circuit.state != "ok":
            circuit.failed.clear()
            circuit.pause = _Pause(now, max(self._pause, wait))
        elif wait and given_up:
            circuit.held = _Pause(now, wait)
        if circuit.is_left_alone(now) and not was_left_alone:
            _log_opened(model, self.state()[model], now)

    def state(self) -> dict[str, ModelHealth]:
        """Every model's health, for people."""
        now = self._clock()
        return {model: _health(circuit, now) for model, circuit in self._circuits.items()}

    def _circuit(self, model: str) -> _Circuit:
        return self._circuits.setdefault(model, _Circuit())


def _health(circuit: _Circuit, now: float) -> ModelHealth:
    state, until = circuit.state, None
    if state != "ok":
        until = circuit.pause.until
    elif circuit.held is not None and circuit.held.lasts(now):
        state, until = "open", circuit.held.until
    return ModelHealth(state=state, until=until, error_class=circuit.error_class)


def _log_opened(model: str, health: ModelHealth, now: float) -> None:
    logger.warning(
        "model left alone",
        extra={
            "model": model,
            "state": health["state"],
            "error": health["error_class"],
            "seconds": round((health["until"] or now) - now, 3),
        },
    )


def _log_closed(model: str) -> None:
    logger.info("model asked again", extra={"model": model})
