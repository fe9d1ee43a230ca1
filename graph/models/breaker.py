"""Circuit breakers: a model that fails is left alone for a while."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from typing_extensions import TypedDict

from graph.storage.fleet import Circuits, OpenCircuit
from nodes.planning.model import ModelFailure, ModelState

logger = logging.getLogger("runwright.models")

#: How often it is looked for what other processes have opened or closed, in seconds.
LOOK = 1.0


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
    """One circuit a model, in memory, for one process that is alone.

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

    async def allows(self, model: str) -> bool:
        """Whether the model may be called now; a trial is given to the one who asks first."""
        if self.holds_back(model):
            return False
        circuit = self._circuit(model)
        if circuit.state != "ok":
            return await self._takes_trial(model)
        if circuit.held is not None:
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
            self._changed(model)
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
        if circuit.is_left_alone(now):
            self._changed(model)
        if circuit.is_left_alone(now) and not was_left_alone:
            _log_opened(model, self.state()[model], now)

    def state(self) -> dict[str, ModelHealth]:
        """Every model's health, for people."""
        now = self._clock()
        return {model: _health(circuit, now) for model, circuit in self._circuits.items()}

    def _circuit(self, model: str) -> _Circuit:
        return self._circuits.setdefault(model, _Circuit())

    async def _takes_trial(self, model: str) -> bool:
        self._circuit(model).pause = _Pause(self._clock(), self._pause)
        return True

    def _changed(self, model: str) -> None:
        """A circuit was opened, or closed."""


class SharedBreaker(CircuitBreaker):
    """The breaker of one process of many: what one of them opens or closes is so in all of them.

    Each counts by itself what fails in a row: of many calls at once those that were answered
    elsewhere would not be seen in time. What is misconfigured is so in one process: another one may
    have the key that this one lacks. `errors` are what `circuits` raise; meanwhile the process goes
    by what it knows.
    """

    def __init__(
        self,
        models: Iterable[str],
        circuits: Circuits,
        errors: tuple[type[Exception], ...],
        *,
        threshold: int,
        pause: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(models, threshold=threshold, pause=pause, clock=clock)
        self._shared = circuits
        self._errors = errors
        self._due: set[str] = set()  # those that were changed here, which the others do not know
        self._wake = asyncio.Event()
        self._exchanging = asyncio.Lock()

    @asynccontextmanager
    async def sharing(self) -> AsyncIterator[None]:
        """Tell the others, and look each second what they have told, while the context lasts."""
        task = asyncio.create_task(self._share())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def exchange(self) -> None:
        """Tell what was changed here, then read what the others have changed."""
        async with self._exchanging:
            for model in [*self._due]:
                self._due.discard(model)
                try:
                    await self._tell(model)
                except BaseException:
                    self._due.add(model)
                    raise
            shared = {one.model: one for one in await self._shared.read()}
            for model in self._circuits.keys() - self._due:
                self._take_over(model, shared.get(model))

    async def _share(self) -> None:
        while True:
            self._wake.clear()
            with suppress(*self._errors):
                await self.exchange()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._wake.wait()

    async def _tell(self, model: str) -> None:
        circuit, now = self._circuit(model), self._clock()
        if circuit.state == "misconfigured":
            return
        if circuit.state == "ok" and circuit.held is None:
            await self._shared.close(model)
            return
        held = circuit.held if circuit.state == "ok" else None
        left = (held or circuit.pause).until - now
        opened = OpenCircuit(model, held is not None, left, circuit.error_class)
        await self._shared.open(opened)

    def _take_over(self, model: str, shared: OpenCircuit | None) -> None:
        circuit, now = self._circuit(model), self._clock()
        if circuit.state == "misconfigured":
            return
        was_left_alone = circuit.is_left_alone(now)
        if shared is None:
            if circuit.state != "ok" or circuit.held is not None:
                self._circuits[model] = _Circuit()
                _log_closed(model)
            return
        pause = _Pause(now, shared.seconds)
        if shared.held:
            circuit.state, circuit.held = "ok", pause
        else:
            circuit.state, circuit.pause = "open", pause
            circuit.failed.clear()
        circuit.error_class = shared.error_class
        if circuit.is_left_alone(now) and not was_left_alone:
            _log_opened(model, self.state()[model], now)

    async def _takes_trial(self, model: str) -> bool:
        if not self.misconfigured(model):
            with suppress(*self._errors):
                await self.exchange()
                if self._circuit(model).state != "ok" and not self.holds_back(model):
                    if await self._shared.take_trial(model, self._pause):
                        return await super()._takes_trial(model)
                    await self.exchange()  # another process was first, or has had an answer
                return self._circuit(model).state == "ok" and not self.holds_back(model)
        return await super()._takes_trial(model)

    def _changed(self, model: str) -> None:
        self._due.add(model)
        self._wake.set()


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
