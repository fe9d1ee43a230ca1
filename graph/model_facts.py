"""What can be told of a model without asking it."""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

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
