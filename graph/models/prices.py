"""What calls of a model cost, and what they need."""

import os
from dataclasses import dataclass
from typing import Any

_MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """USD per million tokens; `cached` where what is read from a cache has a price of its own."""

    input: float
    output: float
    cached: float | None = None

    def of(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """The price of one call, USD; `cached_tokens` are those of its input."""
        cached = self.input if self.cached is None else self.cached
        read = (input_tokens - cached_tokens) * self.input + cached_tokens * cached
        return (read + output_tokens * self.output) / _MILLION


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


#: Where the key of a provider is looked for, in any of them. Of the others only LiteLLM knows.
_KEYS = {
    "deepseek": ("DEEPSEEK_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY", "PALM_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "mistral": ("MISTRAL_API_KEY", "MISTRAL_AZURE_API_KEY"),
    "openai": ("OPENAI_API_KEY",),
}


def missing_keys(name: str, api_base: str | None, api_key_env: str | None) -> tuple[str, ...]:
    """The variables of which one has to hold a model's key, where none does; loads nothing."""
    if api_key_env is not None:
        needed: tuple[str, ...] = (api_key_env,)
    else:
        needed = () if api_base is not None else _usual_keys(name.partition("/")[0])
    return () if any(os.environ.get(variable) for variable in needed) else needed


def _usual_keys(provider: str) -> tuple[str, ...]:
    if provider != "anthropic":
        return _KEYS.get(provider, ())
    # It knows other credentials as well, in variables with its name.
    others = [name for name in os.environ if name.startswith("ANTHROPIC_") and os.environ[name]]
    return () if others else ("ANTHROPIC_API_KEY",)


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
