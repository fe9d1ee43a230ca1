"""The models of a run, ready to be asked: those that the settings name, or those of a record.

Models of a run that was recorded answer as they did: none is asked or waited for. Their ladder is
another at each call, since each has left its entry in the run's log of planning: the answer, the
failure, or why the model was passed by.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graph.models.calls import Price, missing_keys
from graph.record.diff import planned_steps
from graph.settings import InvalidSettings, ModelSettings, Settings
from graph.state import PlanningCall, RunState
from graph.state.rounds import round_of, rounds_of
from graph.storage.storage import Storage
from nodes.planning.model import (
    MAX_RAW,
    BudgetExceeded,
    Call,
    Completion,
    Cost,
    Message,
    ModelFailure,
    ModelLadder,
    Tell,
)

if TYPE_CHECKING:  # loaded where there are models, or a run is replayed
    from nodes.answers.writer import Say

#: Stands for models where nothing is known of those that were to be asked.
UNKNOWN = "a model that the record does not name"

#: Longest time of a call in seconds, more than any record tells of: none is waited for.
_FOR_EVER = 1e9


@dataclass(frozen=True)
class RecordedLadder(ModelLadder):
    """The models that a `recorded` run has asked; everything else is as it is set today."""

    recorded: RunState | None = None

    def at(self, state: RunState) -> ModelLadder:
        """Answers the next call of a run as the recorded one was, where that had such a call."""
        assert self.recorded is not None
        log = self.recorded["planning_log"]
        left = log[len(state["planning_log"]) :]
        entry = left[0] if left and left[0]["planner"] == "llm" else None
        if entry is None or entry["model"] is None:
            return replace(self, models={}, order=[UNKNOWN])
        names = {
            entry["model"]: RecordedModel(entry["model"], entry, _answer(self.recorded, entry))
        }
        known = entry["error_class"] != "not_configured"
        return replace(
            self,
            models=names if known else {},
            order=_asked_next(left),
            breaker=RecordedBreaker(entry, left[1] if len(left) > 1 else None),
            # Less than nothing is left where the record says that no time was.
            timeout=-1.0 if entry["error_class"] == "out_of_time" else _FOR_EVER,
        )


def recorded_ladder(recorded: RunState, policy: ModelLadder) -> RecordedLadder:
    """The ladder of a recorded run, which asks as the `policy` of today says."""
    set_today = ("fallback", "output", "context", "instructions", "shortlist", "answer")
    return RecordedLadder(
        models={},
        order=[],
        breaker=RecordedBreaker(),
        timeout=_FOR_EVER,
        budget_guard=Unpaid(),
        recorded=recorded,
        **{name: getattr(policy, name) for name in set_today},
    )


def _asked_next(left: Sequence[PlanningCall]) -> list[str]:
    """The models that the round was planned by that comes first, in the order of their calls."""
    if left[0]["model"] is not None and left[0].get("purpose") == "answer":
        return [left[0]["model"]]
    names: dict[str, None] = {}
    for entry in left:
        same = round_of(entry) == round_of(left[0]) and entry.get("purpose") != "answer"
        if entry["planner"] != "llm" or entry["model"] is None or not same:
            break
        names[entry["model"]] = None
        if entry["outcome"] in ("planned", "finished"):
            break
    return list(names) or [UNKNOWN]


def _answer(recorded: RunState, entry: PlanningCall) -> str:
    """What the model has answered; of one that is not kept whole, what came of it stands for it."""
    raw = entry.get("raw")
    if raw is not None and len(raw.encode()) < MAX_RAW - 3:  # a character has up to four bytes
        return raw
    if entry.get("purpose") == "answer":
        answer = recorded["result"] and recorded["result"].get("answer")
        return answer["text"] if answer else raw or ""
    rejected = entry.get("rejected_plan")
    if entry["outcome"] == "rejected":
        return _as_answer(rejected["steps"], "done") if rejected else raw or ""
    place = recorded["planning_log"].index(entry)
    for made in rounds_of(recorded):
        if made["calls"][0] <= place < made["calls"][1] and entry["outcome"] == "planned":
            then = made.get("proposed_then", made["then"])
            return _as_answer(planned_steps(recorded, made), then or "done")
    return raw or _as_answer([], "done")


def _as_answer(steps: Sequence[Mapping[str, Any]], then: str) -> str:
    given = [{name: step[name] for name in ("reasoning", "tool", "input")} for step in steps]
    return json.dumps({"steps": given, "then": then, "answer": None}, ensure_ascii=False)


@dataclass(frozen=True)
class RecordedModel:
    """Answers one call as its `entry` says, with this `text`."""

    name: str
    entry: PlanningCall
    text: str

    async def complete(
        self, _messages: Sequence[Message], _schema: Mapping[str, Any], *, timeout: float
    ) -> Completion:
        """The recorded answer. Raises the recorded `ModelFailure`."""
        entry = self.entry
        if entry["outcome"] in ("failed", "skipped") and "raw" not in entry:
            detail = entry["reasons"][0] if entry["reasons"] else None
            raise ModelFailure(
                entry["error_class"] or "unknown", transient=bool(entry["transient"]), detail=detail
            )
        late = entry["error_class"] if entry.get("purpose") == "answer" else None
        return Completion(
            self.text,
            entry.get("finish_reason", late),
            refused=entry["outcome"] == "refused",
            input_tokens=entry["input_tokens"],
            output_tokens=entry["output_tokens"],
            usd=entry["usd"],
            cached_tokens=entry.get("cached_tokens"),
        )

    async def say(self, messages: Sequence[Message], *, timeout: float, tell: Tell) -> Completion:
        """The same, told at once."""
        completion = await self.complete(messages, {}, timeout=timeout)
        await tell(completion.text)
        return completion

    def warm(self) -> None:
        """There is nothing to load."""

    async def max_cost(
        self, _messages: Sequence[Message], _schema: Mapping[str, Any] | None, *, timeout: float
    ) -> Cost:
        """Nothing. Raises `NotAffordable` and `BudgetExceeded` where the record says that."""
        if self.entry["error_class"] == "budget_exceeded":
            from nodes.planning.model_attempt import (
                NotAffordable,  # there by now: it makes this call
            )

            raise NotAffordable("as it was recorded")
        if self.entry["error_class"] == "daily_budget_exceeded":
            raise BudgetExceeded("as it was recorded", passes=bool(self.entry["transient"]))
        return Cost(tokens=0, usd=0.0)


class RecordedBreaker:
    """Lets through what was let through, in the call of `entry`; `following` is what came then."""

    def __init__(
        self, entry: PlanningCall | None = None, following: PlanningCall | None = None
    ) -> None:
        self._entry, self._following = entry, following
        self._called = False

    async def allows(self, _model: str) -> bool:
        """Whether the call was made."""
        self._called = True
        return not self._is_open()

    def holds_back(self, model: str) -> bool:
        """Whether the model was left alone: before the call, or after it failed."""
        if not self._called:
            answer = self._entry is not None and self._entry.get("purpose") == "answer"
            return self._is_open() and not answer
        then = self._following
        same = (
            then is not None and self._entry is not None and round_of(then) == round_of(self._entry)
        )
        return not (same and then is not None and then["model"] == model)

    def misconfigured(self, _model: str) -> bool:
        """Whether it was to be left alone for good."""
        return self._entry is not None and self._entry["transient"] is False

    def succeeded(self, _model: str) -> None:
        """That is known."""

    def failed(
        self, _model: str, _failure: ModelFailure, *, given_up: bool, run_id: str | None = None
    ) -> None:
        """That too."""

    def state(self) -> Mapping[str, Mapping[str, Any]]:
        """Nobody asks."""
        return {}

    def _is_open(self) -> bool:
        return self._entry is not None and self._entry["error_class"] == "circuit_open"


class RecordedAudience:
    """Hears nothing, and stops waiting for an answer where that was recorded."""

    def __init__(self, recorded: RunState) -> None:
        self._log = recorded["planning_log"]

    def waits(self, state: RunState) -> bool:
        """Whether the run was not being cancelled then."""
        left = self._log[len(state["planning_log"]) :]
        return not left or left[0]["error_class"] != "cancelled"

    def speaking(self, state: RunState) -> "AbstractAsyncContextManager[Say]":
        """What tells nobody."""
        from nodes.answers.writer import Nobody  # there by now: it writes this answer

        return Nobody().speaking(state)


#: How models are asked where nobody says so, without any.
NO_MODELS = ModelLadder(models={}, order=[], breaker=RecordedBreaker())


class Unpaid:
    """Lets calls be made that cost nothing."""

    async def charge(
        self, _call: Call, _cost: Cost, ask: Callable[[], Awaitable[Completion]]
    ) -> Completion:
        """What `ask` brings."""
        return await ask()


if TYPE_CHECKING:
    from graph.models.client import LiteLlmModel

# Those that the settings name.


logger = logging.getLogger("runwright.models")

CLIENT_MISSING = "LiteLLM, which asks models, is not installed"
HOW_TO_INSTALL = (
    "`make models` adds it to a checkout, `pip install --no-deps -r constraints-models.txt` to"
    " another environment"
)


def make_ladder(settings: Settings) -> ModelLadder | None:
    """The ladder, or None without models; nothing is loaded or asked yet.

    Raises `InvalidSettings` where the client of models is not installed: what was asked for with a
    model must not be planned without one.
    """
    if not settings.models:
        return None
    # Loaded only where there are models, as all that asks them.
    from graph.models.breaker import CircuitBreaker
    from graph.models.client import is_installed

    if not is_installed():
        raise InvalidSettings(
            f"RUNWRIGHT_MODELS is set, but {CLIENT_MISSING}: {HOW_TO_INSTALL}", ["models"]
        )
    configured = {one.model: one for one in settings.models}
    if settings.model_complex is not None and settings.model_complex not in configured:
        configured[settings.model_complex] = ModelSettings(model=settings.model_complex)
    models = {name: _model(one, settings) for name, one in configured.items()}

    def lacks_key(name: str) -> bool:
        one = configured[name]
        return bool(missing_keys(name, one.api_base, one.api_key_env))

    return replace(
        make_policy(settings),
        models=models,
        order=[one.model for one in settings.models],
        breaker=CircuitBreaker(
            models, threshold=settings.breaker_failures, pause=settings.breaker_seconds
        ),
        complex_model=settings.model_complex,
        lacks_key=lacks_key,
    )


@asynccontextmanager
async def shared(
    ladder: ModelLadder | None, settings: Settings, storage: Storage
) -> AsyncIterator[ModelLadder | None]:
    """The ladder with the breaker of all processes, for as long as the context lasts, where others
    share the storage."""
    if ladder is None or storage.fleet is None:
        yield ladder
        return
    from graph.models.breaker import SharedBreaker  # with models only

    breaker = SharedBreaker(
        ladder.models,
        storage.fleet.circuits,
        storage.errors,
        threshold=settings.breaker_failures,
        pause=settings.breaker_seconds,
    )
    async with breaker.sharing():
        yield replace(ladder, breaker=breaker)


def make_policy(settings: Settings) -> ModelLadder:
    """How models are asked, without any that could be."""
    return replace(
        NO_MODELS,
        threshold=settings.complexity_threshold,
        timeout=settings.model_timeout,
        fallback=settings.fallback,
        output=settings.model_output,
        context=settings.model_context,
        instructions=settings.instructions or "",
        shortlist=settings.shortlist,
        answer=settings.answer,
    )


async def warm(ladder: ModelLadder) -> None:
    """Load what the first call of each model needs, beside the event loop.

    One that cannot be loaded is told to the breaker and keeps no other from it. For one without a
    key nothing is loaded: the first run tells.
    """
    loaded = 0
    for name, model in ladder.models.items():
        if ladder.lacks_key(name):
            logger.warning("model has no key", extra={"model": name})
            continue
        try:
            await asyncio.to_thread(model.warm)
            loaded += 1
        except ModelFailure as failure:
            ladder.breaker.failed(name, failure, given_up=True)
    logger.info("models loaded", extra={"loaded": loaded, "configured": len(ladder.models)})


def _model(configured: ModelSettings, settings: Settings) -> "LiteLlmModel":
    from graph.models.client import LiteLlmModel  # with models only

    price = settings.model_prices.get(configured.model)
    return LiteLlmModel(
        configured.model,
        max_tokens=settings.model_max_tokens,
        temperature=settings.temperature,
        api_base=configured.api_base,
        api_key_env=configured.api_key_env,
        params=configured.params,
        price=None if price is None else Price(price.input, price.output, price.cached),
    )
