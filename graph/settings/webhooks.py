"""Where what happened to runs is posted, as an operator configures it."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

#: What is posted.
HookEvent = Literal["run.waiting", "run.completed", "run.failed", "run.cancelled"]

EVENTS: tuple[HookEvent, ...] = ("run.waiting", "run.completed", "run.failed", "run.cancelled")


def is_address(url: str) -> bool:
    """Whether it can be posted to: no name or password is in it."""
    try:
        parts = urlsplit(url)
        port = parts.port  # raises where it is none
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
