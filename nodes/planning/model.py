"""What the planner needs of a language model, whoever provides it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

#: One message to a model: `role` and `content`.
Message = Mapping[str, str]


#: The error class of a call whose time was over before its client was loaded: it says nothing of
#: the model.
NOT_READY = "client_not_ready"


@dataclass(frozen=True)
class Completion:
    """A model's answer as it came; tokens and price are None where the provider tells none.

    `refused`: the provider said so, with a refusal or a content filter. `usd` is never 0 for
    "not known".
    """

    text: str
    finish_reason: str | None
    refused: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None


@dataclass(frozen=True)
class Cost:
    """The most that one call can cost; `usd` is None when the model's price is not known."""

    tokens: int
    usd: float | None


class ModelFailure(Exception):
    """A call that brought no answer.

    `error_class` names the fault, without the provider's text, which may quote the prompt.
    `transient`: the same call may succeed later, after `retry_after` seconds where the provider
    said so. Otherwise the model is misconfigured, or cannot take this request.
    """

    def __init__(
        self,
        error_class: str,
        *,
        transient: bool,
        retry_after: float | None = None,
        misconfigured: bool = False,
    ) -> None:
        super().__init__(error_class)
        self.error_class = error_class
        self.transient = transient
        self.retry_after = retry_after
        self.misconfigured = misconfigured


class Model(Protocol):
    """One configured model."""

    @property
    def name(self) -> str:
        """As configured, with its provider: `openai/gpt-5-mini`."""

    async def complete(
        self, messages: Sequence[Message], schema: Mapping[str, Any], *, timeout: float
    ) -> Completion:
        """Exactly one request for an answer that fits a JSON schema, within `timeout` seconds.

        Raises `ModelFailure`.
        """

    def warm(self) -> None:
        """Load what the first call needs; it may take seconds and blocks.

        Raises `ModelFailure` where it cannot be loaded.
        """

    async def worst_case(
        self, messages: Sequence[Message], schema: Mapping[str, Any], *, timeout: float
    ) -> Cost:
        """What a call with these messages can cost at most, told within `timeout` seconds.

        Raises `ModelFailure`.
        """


#: Whether a model's outage is over, lasts, or cannot end without a person.
ModelState = Literal["ok", "open", "misconfigured"]


class Breaker(Protocol):
    """Remembers which models fail, so that an outage does not add its seconds to every run."""

    def allows(self, model: str) -> bool:
        """Whether the model may be called now; of many who ask after a pause, the first may."""

    def holds_back(self, model: str) -> bool:
        """Whether the model is being left alone now."""

    def misconfigured(self, model: str) -> bool:
        """Whether the model's last failure cannot pass by itself."""

    def succeeded(self, model: str) -> None:
        """An answer came."""

    def failed(self, model: str, failure: ModelFailure, *, given_up: bool) -> None:
        """No answer came; `given_up`: whoever asked does not try it again."""

    def state(self) -> Mapping[str, Mapping[str, Any]]:
        """How every model does, for people."""
