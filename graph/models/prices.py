"""What calls of a model cost."""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

_MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """USD per million tokens."""

    input: float
    output: float

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """The price of one call, USD."""
        return (input_tokens * self.input + output_tokens * self.output) / _MILLION


def price_in_map(litellm: Any, name: str) -> Price | None:
    """The price in LiteLLM's own map, which is loaded with it; None where it has none."""
    # Not `get_model_info`: for an Ollama model it asks the server, and says that it costs nothing.
    provider, _, bare = name.partition("/")
    entry = litellm.model_cost.get(name) or litellm.model_cost.get(bare) or {}
    # The same name may be another provider's, at another price.
    if bare and entry.get("litellm_provider") != provider:
        return None
    try:
        per_token = entry["input_cost_per_token"], entry["output_cost_per_token"]
    except KeyError:
        return None
    return Price(per_token[0] * _MILLION, per_token[1] * _MILLION)


# What can be told of a model without asking it.


#: Providers whose models are whatever their server has.
LOCAL = frozenset({"ollama", "ollama_chat"})


@dataclass(frozen=True)
class ModelFacts:
    """`known`: the client's map of models has it, None where no map could. `alike`: a name that is
    nearly the same. `missing`: environment variables that it needs and that are not set.
    """

    provider_known: bool
    known: bool | None
    alike: str | None
    missing: tuple[str, ...]


def facts_of(
    litellm: Any, name: str, *, api_base: str | None, api_key_env: str | None
) -> ModelFacts:
    """Look a model up in LiteLLM's own tables; opens no connection."""
    provider, _, bare = name.partition("/")
    names = {
        listed.removeprefix(f"{provider}/")
        for listed, entry in litellm.model_cost.items()
        if entry.get("litellm_provider") == provider
    }
    looked_up = names and api_base is None and provider not in LOCAL
    alike = get_close_matches(bare, names, n=1) if looked_up else []
    return ModelFacts(
        provider_known=provider
        in {str(getattr(one, "value", one)) for one in litellm.provider_list},
        known=bare in names if looked_up else None,
        alike=alike[0] if alike else None,
        missing=_missing(litellm, name, api_base, api_key_env),
    )


def _missing(
    litellm: Any, name: str, api_base: str | None, api_key_env: str | None
) -> tuple[str, ...]:
    if api_key_env is not None:
        return () if os.environ.get(api_key_env) else (api_key_env,)
    if api_base is not None or name.partition("/")[0] in LOCAL:
        return ()
    usual = f"{name.partition('/')[0].upper()}_API_KEY"
    if os.environ.get(usual) == "":  # there, but no key
        return (usual,)
    return tuple(litellm.validate_environment(model=name)["missing_keys"])
