"""What calls of a model cost, and what they need."""

import os
from dataclasses import dataclass
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


def missing_variables(
    litellm: Any, name: str, api_base: str | None, api_key_env: str | None
) -> tuple[str, ...]:
    """Environment variables that a model needs and that are not set; opens no connection."""
    if api_key_env is not None:
        return () if os.environ.get(api_key_env) else (api_key_env,)
    if api_base is not None or name.partition("/")[0] in LOCAL:
        return ()
    usual = f"{name.partition('/')[0].upper()}_API_KEY"
    if os.environ.get(usual) == "":  # there, but no key
        return (usual,)
    return tuple(litellm.validate_environment(model=name)["missing_keys"])
