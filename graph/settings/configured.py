"""What single settings hold: a model with its place and price, names, and where is posted."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[\w-]+/.+", name):
        raise PydanticCustomError(
            "model_name", "Input should be provider/name, as openai/gpt-5-mini"
        )
    return name


#: A model with its provider.
ModelName = Annotated[str, AfterValidator(_check_name)]


#: What a call is made of, or is bounded by other settings: no parameter may be called so.
RESERVED = frozenset(
    {
        *("model", "messages", "tools", "tool_choice", "functions", "function_call"),
        *("response_format", "n", "max_tokens", "max_completion_tokens", "mock_response"),
        *("stream", "stream_options", "timeout", "request_timeout", "max_retries", "num_retries"),
        *("api_base", "api_key", "base_url", "custom_llm_provider"),
        *("cache", "caching", "fallbacks"),
    }
)

#: Largest parameters of one model, in bytes of JSON.
LARGEST_PARAMS = 8_000

#: Names whose values nobody is to read; `max_thinking_tokens` is none of them.
_SECRET = re.compile(
    r"(?:^|[_-])(?:keys?|secrets?|passwords?|passwd|authorization|credentials?|cookie"
    r"|(?:access|auth|api|bearer|id|session)[_-]?token)$",
    re.IGNORECASE,
)


def _names(value: Any) -> Iterator[str]:
    """Every name within a value."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield name
            yield from _names(part)
    elif isinstance(value, list):
        for part in value:
            yield from _names(part)


class ModelSettings(BaseModel):
    """One model; the key is read from the provider's own variable, or from `api_key_env`.

    `params` go to it with every call, as `{"reasoning_effort": "low"}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelName
    api_base: str | None = None
    api_key_env: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @field_validator("params")
    @classmethod
    def _check_params(cls, params: dict[str, Any]) -> dict[str, Any]:
        if ours := sorted(params.keys() & RESERVED):
            raise PydanticCustomError(
                "reserved_param",
                "params should not hold {names}, which Runwright sets itself",
                {"names": ", ".join(ours)},
            )
        if secret := sorted({name for name in _names(params) if _SECRET.search(name)}):
            raise PydanticCustomError(
                "secret_param",
                "params should hold no secret, as {names} would be; api_key_env names the variable"
                " of a key",
                {"names": ", ".join(secret)},
            )
        if len(json.dumps(params)) > LARGEST_PARAMS:
            raise PydanticCustomError(
                "large_params", "params should have at most {most} bytes", {"most": LARGEST_PARAMS}
            )
        return params


class ModelPrice(BaseModel):
    """What a million tokens cost, in USD; `cached` are those read from a provider's cache."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(None, ge=0)


# Names in lists.


_HOST = re.compile(r"\*|\[[0-9a-fA-F:.]+\]|[^\s,:/?#@*\[\]]+")
_ORIGIN = re.compile(r"https?://[^\s/?#@*,]+")


def check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Names that a Host header may have, without a port."""
    if not all(map(_HOST.fullmatch, hosts)):
        raise PydanticCustomError(
            "host", "Input should be names without scheme or port, as agent.example"
        )
    return hosts


def check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """Sites as browsers name them, in small letters."""
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise PydanticCustomError(
                "origin",
                "Input should name origins as https://one.example or http://localhost:3000",
            )
    return tuple(origin.lower() for origin in origins)


# Where what happened to runs is posted.


#: What is posted.
HookEvent = Literal["run.waiting", "run.completed", "run.failed", "run.cancelled"]

EVENTS: tuple[HookEvent, ...] = ("run.waiting", "run.completed", "run.failed", "run.cancelled")


def is_address(url: str) -> bool:
    """Whether it can be posted to: no name or password is in it."""
    try:
        parts = urlsplit(url)
        port = parts.port  # raises where it is none
        (parts.hostname or "").encode("idna")  # raises where no such name can be looked up
    except ValueError:
        return False
    written = url.isprintable() and " " not in url and "@" not in parts.netloc
    return written and parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0


def _check_url(url: str) -> str:
    if not is_address(url):
        raise PydanticCustomError(
            "url", "Input should be an address as https://host/path, without name or password"
        )
    return url


class WebhookSettings(BaseModel):
    """One endpoint; requests to it are signed with the secret in the variable `secret_env`.

    `allow_private`: whether it may be on this machine or in a private network.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, AfterValidator(_check_url)]
    events: tuple[HookEvent, ...] = Field(EVENTS, min_length=1)
    secret_env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    allow_private: bool = False


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return (
        parts.scheme,
        parts.hostname or "",
        parts.port or (443 if parts.scheme == "https" else 80),
    )


def site_of(url: str) -> str:
    """What may be shown of an address: its path and query may hold a secret."""
    scheme, host, _ = origin_of(url)
    port = urlsplit(url).port
    return f"{scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
