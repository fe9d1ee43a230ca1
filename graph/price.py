"""What calls of a model cost."""

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
