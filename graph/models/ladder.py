"""The models that the settings name, ready to be asked."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from graph.models.daily_budget import Price
from graph.models.recorded import NO_MODELS
from graph.settings import InvalidSettings, ModelSettings, Settings
from graph.storage.storage import Storage
from nodes.planning.model import ModelFailure, ModelLadder

if TYPE_CHECKING:
    from graph.models.client import LiteLlmModel

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
    from graph.models.failures import missing_keys

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
