"""What keeps a model from answering: a key that is missing, and what its client raises.

An exception means for planning: try again, go on, or ask a person. Which variables are missing can
be told of a model without asking it.
"""

import os
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from nodes.planning.model import ModelFailure

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
