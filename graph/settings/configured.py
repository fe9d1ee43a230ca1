"""What single settings hold: keys, a model with its place and price, and where is posted.

A key says who may use a server, and whose a run is.
"""

import json
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
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

#: Whose the runs of a server without keys are.
DEFAULT_OWNER = "default"

#: What every key begins with, so that people and scanners of secrets recognise one.
PREFIX = "rw_"

_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


#: What begins as the keys of this server or of a model's provider do.
_KEY = re.compile(
    r"(?<![A-Za-z0-9_])(rw_|sk-|gsk_|xai-|AIza|hf_|ghp_|github_pat_)[A-Za-z0-9_.-]{8,}"
)

#: User and password of a URL, also without its scheme; a password may have an @ of its own.
_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)\S*@|[^\s/=,'\":@]+:[^\s/]\S*@")

_PARAMETER = re.compile(r"(?i)([?&][\w.-]*(?:key|pass\w*|pwd|secret|token)=)[^\s&'\"]+")


class InvalidKey(ValueError):
    """What is no key of the list; the message never quotes it, since it may be the key itself."""


@dataclass(frozen=True)
class Key:
    """What a server keeps of a key: its owner's name and its hash."""

    name: str
    digest: bytes

    def __str__(self) -> str:
        return f"{self.name}:{self.digest.hex()}"


def digest_of(key: str) -> bytes:
    """The hash by which a key is known.

    Plain SHA-256 is right for 32 random bytes: slow and salted hashes are for what can be guessed,
    and would cost every call what they cost a guesser.
    """
    return sha256(key.encode()).digest()


def new_key(name: str) -> tuple[str, Key]:
    """A new key for `name`, and what the server keeps of it. Raises `InvalidKey`."""
    _check_key_name(name)
    key = PREFIX + secrets.token_urlsafe(32)
    return key, Key(name, digest_of(key))


def parse_keys(listed: Collection[str]) -> tuple[Key, ...]:
    """The keys that are listed as `name:hash`; a name may have several. Raises `InvalidKey`."""
    keys = tuple(_parse(place, entry) for place, entry in enumerate(listed, start=1))
    if len({key.digest for key in keys}) < len(keys):
        raise InvalidKey("lists one hash twice; a key has one owner")
    return keys


def _parse(place: int, entry: str) -> Key:
    name, _, digest = entry.partition(":")
    if not _KEY_NAME.fullmatch(name) or not _DIGEST.fullmatch(digest):
        raise InvalidKey(
            f"has no name:hash as entry {place}; `runwright key new NAME` makes a key and its entry"
        )
    return Key(name, bytes.fromhex(digest))


def _check_key_name(name: str) -> None:
    if not _KEY_NAME.fullmatch(name):
        raise InvalidKey(
            f"{name[:70]!r} cannot be a name: it is 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-',"
            " and begins with a letter or a digit"
        )


def without_secrets(text: str) -> str:
    """The text without what looks like a key, and without passwords and users of URLs."""
    text = _KEY.sub(r"\1…", text)
    text = _USER.sub(lambda found: f"{found['scheme'] or ''}…@", text)
    return _PARAMETER.sub(r"\1…", text)


class KeyRing:
    """The keys that a server takes; false while there are none and everybody is `DEFAULT_OWNER`."""

    def __init__(self, keys: Collection[Key] = ()) -> None:
        self._keys = tuple(keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def owner(self, given: str) -> str | None:
        """Whose key was given, None where it is nobody's; it takes as long for any of them."""
        digest = digest_of(given)
        owner: str | None = None
        for key in self._keys:  # all of them, also after the right one
            if compare_digest(key.digest, digest):
                owner = key.name
        return owner


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


# As it is written in a variable.


def given_keys(value: Any) -> Any:
    """Keys as they are written in a variable."""
    if not isinstance(value, str):
        return value
    if not (entries := [part.strip() for part in value.split(",") if part.strip()]):
        # Empty where a template was not filled in: that would serve without keys, in silence.
        raise PydanticCustomError(
            "no_key", "Input should have a key as `runwright key new` prints; unset it for none"
        )
    try:
        return parse_keys(entries)
    except InvalidKey as error:
        raise PydanticCustomError("key", "{what}", {"what": str(error)}) from None


def given_key(value: Any) -> Any:
    """A key as it is written in a variable; None for nothing."""
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[!-~]*", value.strip()):
        raise PydanticCustomError("key", "Input should be a key as `runwright key new` prints")
    return value.strip() or None


def check_models(models: tuple[ModelSettings, ...]) -> tuple[ModelSettings, ...]:
    """Each of them is named once."""
    times = Counter(configured.model for configured in models)
    if twice := [name for name, count in times.items() if count > 1]:
        raise PydanticCustomError(
            "model_named_twice",
            "Input should name each model once, whatever its api_base; named twice: {twice}",
            {"twice": ", ".join(twice)},
        )
    return models


class InvalidSettings(Exception):
    """A setting that cannot be used; each line has its name, its value and what is allowed.

    `fields` are those that the lines are about.
    """

    def __init__(self, lines: str, fields: Iterable[str] = ()) -> None:
        super().__init__(lines)
        self.fields = tuple(fields)
