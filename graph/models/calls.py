"""What comes of calls of models: what they cost, and why there is no answer.

The daily budget is what they may cost each owner; a day is between two midnights, UTC. What a
client raises means for planning: try again, go on, or ask a person. Which keys are missing can be
told of a model without asking it.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from graph.storage.storage import Spending, Spent
from nodes.planning.model import BudgetExceeded, Call, Completion, Cost, ModelFailure

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


DAY = 86_400


@dataclass(frozen=True)
class DailyLimit:
    """The most that an owner may spend in a day; None is no limit."""

    usd: float | None = None
    tokens: int | None = None

    def __bool__(self) -> bool:
        return self.usd is not None or self.tokens is not None


@dataclass(frozen=True)
class Account:
    """How an owner's budget stands; `spent` is None where nothing is counted, without a limit.

    `renewed_at`: when the next day begins, in epoch seconds.
    """

    limit: DailyLimit
    spent: Spent | None
    renewed_at: float


class DailyBudget:
    """Pays for calls while their worst case fits into what is left of the owner's day.

    The worst case of a call under way is set aside, in the storage, so that calls at once of all
    processes exceed nothing together, and what a killed process was asking for is counted: it may
    be charged.
    """

    def __init__(
        self, limit: DailyLimit, spending: Spending, clock: Callable[[], float] = time.time
    ) -> None:
        self._limit = limit
        self._spending = spending
        self._clock = clock

    async def account(self, owner: str) -> Account:
        """How an owner's budget stands now. Raises the storage's errors."""
        now = self._clock()
        return Account(self._limit, await self._spending.of(owner, _day(now)), renewal(now))

    async def charge(
        self, call: Call, cost: Cost, ask: Callable[[], Awaitable[Completion]]
    ) -> Completion:
        """What `ask` brings; see `BudgetGuard`. An answer counts for the day on which it was asked
        for.

        What is not told of an answer, and all of a call that was cut off after it was sent, counts
        as its worst case, also where it was the process that was killed. A call that failed
        otherwise costs nothing.
        """
        now = self._clock()
        day = _day(now)
        try:
            await self._set_aside(call, day, cost, now)
        except asyncio.CancelledError:  # nothing was asked, but it may be set aside by now
            with suppress(Exception):
                await self._spending.release(call)
            raise
        try:
            completion = await ask()
        except ModelFailure as failure:
            if failure.error_class == "timeout":  # it was sent
                await self._spending.add(call, day, cost)
            else:
                await self._spending.release(call)
            raise
        except BaseException:
            with suppress(Exception):  # who is told to stop, stops, also where the storage fails
                await self._spending.add(call, day, cost)
            raise
        await self._spending.add(call, day, _price(completion, cost))
        return completion

    async def _set_aside(self, call: Call, day: str, cost: Cost, now: float) -> None:
        limit = self._limit
        while not await self._spending.hold(call, day, cost, usd=limit.usd, tokens=limit.tokens):
            spent = await self._spending.of(call.owner, day)
            held = await self._spending.held(call.owner, day)
            if refusal := self._refusal(spent, held, call, cost, now):
                raise refusal
            # Another call has ended since, and has left room.

    def _refusal(
        self, spent: Spent, held: Spent, call: Call, cost: Cost, now: float
    ) -> BudgetExceeded | None:
        """Why there is no room for a call, beside those under way."""
        if self._limit.usd is not None and cost.usd is None:
            reason = f"is in USD, and the price of {call.model} is not known"
            return BudgetExceeded(
                f"the daily budget {reason} (RUNWRIGHT_MODEL_PRICES)", passes=False
            )
        why = self._over_price(spent, held, call, cost) or self._over_tokens(
            spent, held, call, cost
        )
        if why is None:
            return None
        until = datetime.fromtimestamp(renewal(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        reason = f"the daily budget of this owner is used up: {why}; it is renewed at {until}"
        return BudgetExceeded(reason, passes=True)

    def _over_price(self, spent: Spent, held: Spent, call: Call, cost: Cost) -> str | None:
        limit = self._limit.usd
        if limit is None:
            return None
        if spent.usd is None:
            return "a call of today had no known price, so a budget in USD cannot be kept"
        left = limit - spent.usd
        asked = held.usd or 0.0
        if (cost.usd or 0.0) <= left - asked:
            return None
        needed = f"a call of {call.model} may cost {cost.usd:.6f} USD, {max(0.0, left):.6f} of"
        return f"{needed} {limit:g} are left{_of_which(f'{asked:.6f}' if held.calls else '')}"

    def _over_tokens(self, spent: Spent, held: Spent, call: Call, cost: Cost) -> str | None:
        limit = self._limit.tokens
        if limit is None:
            return None
        left = limit - spent.tokens
        if cost.tokens <= left - held.tokens:
            return None
        needed = f"a call of {call.model} may take {cost.tokens} tokens, {max(0, left)} of {limit}"
        return f"{needed} are left{_of_which(f'{held.tokens}' if held.calls else '')}"


def _of_which(held: str) -> str:
    return f", {held} set aside for calls under way" if held else ""


def _price(completion: Completion, worst: Cost) -> Cost:
    """What an answer cost, as far as it was told."""
    needed = completion.input_tokens, completion.output_tokens
    tokens = worst.tokens if None in needed else sum(needed)  # type: ignore[arg-type]  # all are known
    return Cost(tokens=tokens, usd=worst.usd if completion.usd is None else completion.usd)


def renewal(now: float) -> float:
    """When the day after that of an epoch second begins, UTC."""
    return (now // DAY + 1) * DAY


def _day(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()


# Why there is no answer.


#: Error classes that only a person can end: a key, an account, a name, a setting.
_MISCONFIGURED = {
    401: "unauthorized",
    402: "quota_exhausted",
    403: "forbidden",
    404: "not_found",
}
_TRANSIENT = {
    408: "timeout",
    409: "conflict",
    425: "too_early",
    429: "rate_limited",
    504: "timeout",
    529: "overloaded",
}
# OpenAI says it with a code in a 429, Anthropic only with a sentence in a 400.
_QUOTA_WORDS = ("insufficient_quota", "credit balance is too low")

# A header's word of so many characters may be a key; a longer place is none that people name.
_SHORTEST_KEY = 8
_LONGEST_PLACE = 200

_CONTEXT_WORDS = ("context length", "context window", "prompt is too long")


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


def failure_of(error: Exception) -> ModelFailure:
    """The failure that an exception of the client stands for.

    One that is a failure already, or was caused by one, stays it. The client's own classes name the
    same fault differently by provider and turn what it cannot name into a 500, so the HTTP answer
    at the root of the exception decides where there is one.
    """
    causes = list(_causes(error))
    if own := next((cause for cause in causes if isinstance(cause, ModelFailure)), None):
        return own.alone()
    answer = next((one for one in map(_answer, causes) if one is not None), None)
    status = answer.status_code if answer else getattr(error, "status_code", None)
    names = {base.__name__ for cause in causes for base in type(cause).__mro__}
    text = " ".join(f"{cause} {getattr(cause, 'body', '')}" for cause in causes).lower()
    if answer is not None and leads_elsewhere(answer):
        return redirected(answer)
    if status in (400, 402, 403, 429) and any(words in text for words in _QUOTA_WORDS):
        return ModelFailure("quota_exhausted", transient=False, misconfigured=True)
    if status == 401 and answer is None:
        return ModelFailure("no_api_key", transient=False, misconfigured=True)
    if status in _MISCONFIGURED:
        return ModelFailure(_MISCONFIGURED[status], transient=False, misconfigured=True)
    if status in _TRANSIENT:
        return ModelFailure(
            _TRANSIENT[status], transient=True, retry_after=_retry_after(answer, error)
        )
    if isinstance(status, int) and 400 <= status < 500:
        return _rejected(status, names, text, sent=answer is not None)
    if answer is not None:
        return ModelFailure("server_error", transient=True, retry_after=_retry_after(answer, error))
    return _no_answer(causes, names)


def _rejected(status: int, names: set[str], text: str, *, sent: bool) -> ModelFailure:
    """A 4xx about the request itself; a larger model may take what this one does not."""
    if "ContentPolicyViolationError" in names:
        return ModelFailure("content_policy", transient=False)
    too_long = any(words in text for words in _CONTEXT_WORDS)
    if status == 413 or "ContextWindowExceededError" in names or too_long:
        return ModelFailure("context_too_long", transient=False)
    # The client refused to send it, so no request can be made as this model is configured.
    return ModelFailure("bad_request", transient=False, misconfigured=not sent)


def _no_answer(causes: list[BaseException], names: set[str]) -> ModelFailure:
    import httpx
    import openai

    if any(type(cause) is openai.OpenAIError for cause in causes):
        return ModelFailure("no_api_key", transient=False, misconfigured=True)
    if names & {"TimeoutException", "APITimeoutError"}:
        return ModelFailure("timeout", transient=True)
    if any(isinstance(cause, httpx.TransportError) for cause in causes):
        return ModelFailure("unreachable", transient=True)
    return ModelFailure("malformed_answer", transient=True)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _answer(cause: BaseException) -> Any:
    """The HTTP answer that `cause` is about, if it is about one."""
    import httpx

    return cause.response if isinstance(cause, httpx.HTTPStatusError) else None


def leads_elsewhere(answer: Any) -> bool:
    """Whether an HTTP answer is no answer, but says where there would be one."""
    return bool(300 <= answer.status_code < 400)


def redirected(answer: Any) -> ModelFailure:
    """The failure that such an answer is: a person has to say whether that place is meant."""
    detail = _redirection(answer)
    return ModelFailure("redirected", transient=False, misconfigured=True, detail=detail)


def _redirection(answer: Any) -> str:
    """Where an answer leads, as far as it may be told: of its address only scheme, host and port.

    The rest may quote what was sent, and so may the host's name.
    """
    import httpx

    said = f"HTTP {answer.status_code}, which no call of a model follows"
    try:
        target = answer.url.join(answer.headers["location"])
        place = str(httpx.URL(scheme=target.scheme, host=target.host, port=target.port))
    except (KeyError, ValueError, httpx.InvalidURL):
        return said
    headers = [value for name, value in answer.request.headers.items() if name != "host"]
    sent = [word for value in headers for word in value.lower().split()]
    secret = any(len(word) >= _SHORTEST_KEY and word in place.lower() for word in sent)
    if secret or len(place) > _LONGEST_PLACE:
        return f"{said}, to a place that is not told"
    return f"{said}, to {place}"


def _retry_after(answer: Any, error: Exception) -> float | None:
    """The provider's wish in seconds: a number or a date; `ModelFailure` bounds it."""
    headers: Mapping[str, str] = (
        answer.headers if answer else getattr(error, "litellm_response_headers", None) or {}
    )
    wish = headers.get("retry-after")
    if wish is None:
        return None
    try:
        return float(wish)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(wish).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
