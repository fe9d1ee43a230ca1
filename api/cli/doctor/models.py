"""The models: names and keys, and only where it is asked for a call of each."""

import asyncio
import time
from collections.abc import AsyncIterator

from api.cli.doctor.finding import Finding, fails, ok, warning
from graph.models.client import LiteLlmModel, close_clients, is_installed
from graph.models.ladder import CLIENT_MISSING, HOW_TO_INSTALL, make_ladder
from graph.models.prices import ModelFacts
from graph.settings import Settings
from nodes.planning.model import ModelFailure

CHECK = "models"

#: As short as a question with an answer of a given form can be.
MESSAGES = [{"role": "user", "content": 'Answer with {"ok": true}.'}]
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}

MENDS = {
    "bad_request": "see what it refuses, as RUNWRIGHT_TEMPERATURE or RUNWRIGHT_MODEL_MAX_TOKENS",
    "client_unavailable": "install Runwright anew; its client LiteLLM cannot be imported",
    "forbidden": "let its account use the model, or name another in RUNWRIGHT_MODELS",
    "no_api_key": "set the key of its provider",
    "not_found": "correct its name in RUNWRIGHT_MODELS, or its api_base",
    "quota_exhausted": "see to the account at its provider",
    "timeout": "raise RUNWRIGHT_MODEL_TIMEOUT, or see why it is slow",
    "unauthorized": "set the right key; the provider refuses this one",
    "unreachable": "start it, or correct its api_base and the network's way to it",
}
OTHERWISE = "docs/multi_provider_llm.md tells what is done then; try it again later"


async def check_models(settings: Settings, *, call: bool) -> AsyncIterator[Finding]:
    """Look every model up; `call` asks each for a few words, which costs a few tokens."""
    if settings.models and not is_installed():
        yield fails(CHECK, CLIENT_MISSING, HOW_TO_INSTALL)
        return
    ladder = make_ladder(settings)
    if ladder is None:
        yield _without_models(settings)
        return
    variables = {one.model: one.api_key_env for one in settings.models}
    try:
        for name, model in ladder.models.items():
            assert isinstance(model, LiteLlmModel)
            try:
                finding = _looked_up(name, model.facts(), variables.get(name))
                if call and finding.status != "fails":
                    finding = await _called(model, settings.model_timeout)
            except ModelFailure as failure:
                mend = MENDS.get(failure.error_class, OTHERWISE)
                finding = fails(CHECK, f"{name}: {failure.error_class}", mend)
            yield finding
    finally:
        await close_clients()
    for name in settings.model_prices.keys() - ladder.models.keys():
        mend = "name it as in RUNWRIGHT_MODELS, with its provider"
        yield warning(
            CHECK, f"RUNWRIGHT_MODEL_PRICES has a price of {name}, which is not asked", mend
        )


def _without_models(settings: Settings) -> Finding:
    if settings.model_complex is not None:
        message = "RUNWRIGHT_MODEL_COMPLEX is set, but without RUNWRIGHT_MODELS no model is asked"
        return warning(CHECK, message, "set RUNWRIGHT_MODELS, too")
    return ok(CHECK, "none is configured; the pattern planner plans")


def _looked_up(name: str, facts: ModelFacts, variable: str | None) -> Finding:
    provider = name.partition("/")[0]
    if not facts.provider_known:
        mend = "correct it; an endpoint of your own that speaks OpenAI's protocol is openai/NAME"
        return fails(CHECK, f"{name}: {provider} is no provider that the client knows", mend)
    if facts.missing:
        which = ", ".join(facts.missing)
        mend = f"set {which}" + ("" if variable else ", or name the variable in api_key_env")
        if all(one.endswith("KEY") for one in facts.missing) or variable:
            return fails(CHECK, f"{name}: no key; {which} is not set", mend)
        return warning(
            CHECK, f"{name}: {which} is not set", f"{mend}, unless it is found elsewhere"
        )
    if provider == "ollama":
        mend = f"write {name.replace('ollama', 'ollama_chat', 1)}"
        return warning(CHECK, f"{name}: Ollama is asked for plans as ollama_chat", mend)
    if facts.known is False:
        mend = (
            f"did you mean {provider}/{facts.alike}?" if facts.alike else "see whether it is right"
        )
        return warning(CHECK, f"{name}: the client does not know the name, nor its price", mend)
    return ok(CHECK, f"{name}: its key is there; it was not asked (--call-models does)")


async def _called(model: LiteLlmModel, timeout: float) -> Finding:
    """Raises `ModelFailure`."""
    await asyncio.to_thread(model.warm)  # loading it is no part of the call's time
    began = time.monotonic()
    answer = await model.complete(MESSAGES, SCHEMA, timeout=timeout)
    tokens = (
        None if answer.input_tokens is None else answer.input_tokens + (answer.output_tokens or 0)
    )
    spent = "an unknown number of" if tokens is None else tokens
    return ok(CHECK, f"{model.name}: answered in {time.monotonic() - began:.1f} s, {spent} tokens")
