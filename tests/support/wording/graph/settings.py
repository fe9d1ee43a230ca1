"""What is wrong with a setting, a key or its name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from api.middleware.access import check_exposure
from graph.settings import InvalidSettings, read_settings
from graph.settings.configured import InvalidKey, new_key, parse_keys
from tests.support.wording.messages import masked, refusal

#: Values that no variable may have, by what is wrong with them.
VALUES: Mapping[str, tuple[str, str]] = {
    "port.word": ("PORT", "http"),
    "port.large": ("PORT", "65536"),
    "port.empty": ("PORT", ""),
    "host.empty": ("HOST", ""),
    "allowed-hosts.url": ("ALLOWED_HOSTS", "one.example,https://two.example/"),
    "allowed-hosts.port": ("ALLOWED_HOSTS", "one.example:8000"),
    "cors-origins": ("CORS_ORIGINS", "one.example,two.example"),
    "step-timeout.zero": ("STEP_TIMEOUT", "0"),
    "step-timeout.nan": ("STEP_TIMEOUT", "nan"),
    "step-timeout.infinite": ("STEP_TIMEOUT", "inf"),
    "max-attempts.zero": ("MAX_ATTEMPTS", "0"),
    "max-attempts.fraction": ("MAX_ATTEMPTS", "2.5"),
    "backoff.negative": ("BACKOFF", "-1"),
    "max-output.small": ("MAX_OUTPUT", "10"),
    "log": ("LOG", "xml"),
    "log-level": ("LOG_LEVEL", "loud"),
}

_OTHERS: Mapping[str, tuple[str, str]] = {
    "models.json": ("MODELS", "openai/gpt-5-mini"),
    "models.field": ("MODELS", '[{"model": "openai/x", "api_key": "sk-1"}]'),
    "models.params.reserved": ("MODELS", '[{"model": "openai/x", "params": {"stream": true}}]'),
    "models.params.secret": ("MODELS", '[{"model": "openai/x", "params": {"a": {"api_key": 1}}}]'),
    "models.params.type": ("MODELS", '[{"model": "openai/x", "params": "low"}]'),
    "models.provider": ("MODELS", '["gpt-5"]'),
    "model-complex.provider": ("MODEL_COMPLEX", "gpt-5"),
    "model-prices.json": ("MODEL_PRICES", "openai/gpt-5-mini"),
    "api-key": ("API_KEY", "rw_a\nb"),
    "daily-budget-usd": ("DAILY_BUDGET_USD", "-1"),
    "daily-budget-tokens": ("DAILY_BUDGET_TOKENS", "1.5"),
}


def messages() -> dict[str, str]:
    """Variables first, then options, then keys."""
    told = {key: _told(name, value) for key, (name, value) in (VALUES | _OTHERS).items()}
    told["api-keys"] = masked(_told("API_KEYS", f"bob:{'0' * 64},x"), place=2)
    told["models.twice"] = _refused(models=["openai/a", "openai/b", "openai/a"])
    told["option"] = _refused(port=70_000)
    told["unknown"] = masked(_refused(prot=1), name="prot")
    told["keys.twice"] = refusal(InvalidKey, parse_keys, [f"a:{'0' * 64}", f"b:{'0' * 64}"])
    told["key.name"] = masked(refusal(InvalidKey, new_key, "two words"), name="'two words'")
    told["exposed"] = masked(
        refusal(InvalidSettings, check_exposure, read_settings(host="192.0.2.1")), host="192.0.2.1"
    )
    return told


def _refused(**overrides: Any) -> str:
    return refusal(InvalidSettings, read_settings, **overrides)


def _told(name: str, value: str) -> str:
    with _variable(f"RUNWRIGHT_{name}", value):
        return _refused()


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, value)
        yield
