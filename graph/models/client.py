"""Language models of any provider through LiteLLM, which is imported only when one is used."""

import asyncio
import functools
import importlib.util
import json
import logging
import os
import time
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from langgraph.constants import TAG_NOSTREAM

from graph.models.calls import Price, failure_of, missing_variables, price_in_map
from graph.models.connections import StreamFacts, disconnect, expected, hold_clients, paced_call
from nodes.planning.model import NOT_READY, Completion, Cost, Message, ModelFailure, Tell, is_count

logger = logging.getLogger("runwright.models")

_Loaded = TypeVar("_Loaded")

# Tokens are counted with OpenAI's tokenizers; what others make of a text may be more.
_FOREIGN_TOKENIZER = 1.5

# Sent to an endpoint of one's own that was given no key: without it the client would send there
# the key that the environment has for the provider.
_NO_KEY = "none"

_MOST_CONNECTIONS = 100_000

# A cache that is written, a long context and a fast lane cost a few times as much as the price.
_MOST_TIMES_PRICE = 10


class LiteLlmModel:
    """One configured model, `provider/name`; cheap to make, loaded by `warm` or the first call.

    `api_base` is an endpoint other than the provider's. `api_key_env` names the environment
    variable that holds the key; without it the provider's usual one is read, and nothing for an
    `api_base`. `temperature` is sent only where it is given, since some models refuse it, `params`
    with every call. `price` comes before LiteLLM's price map.
    """

    def __init__(
        self,
        name: str,
        *,
        max_tokens: int,
        temperature: float | None = None,
        api_base: str | None = None,
        api_key_env: str | None = None,
        params: Mapping[str, Any] | None = None,
        price: Price | None = None,
    ) -> None:
        self._name = name
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._api_base = api_base
        self._api_key_env = api_key_env
        self._params = dict(params or {})
        self._price = price
        self._own_price = price is not None
        self._client: Any = None

    def __repr__(self) -> str:
        return f"LiteLlmModel({self._name!r})"

    @property
    def name(self) -> str:
        """As configured, with its provider."""
        return self._name

    def warm(self) -> None:
        """Load what the first call needs: seconds of work the first time, so call it in a thread.

        Opens no connection. Raises `ModelFailure` where the client cannot be loaded. Without its
        key nothing is loaded, which is for `complete` to tell.
        """
        if not self._key_missing:
            self._loading(self._load)

    def missing_variables(self) -> tuple[str, ...]:
        """What its environment lacks. Raises `ModelFailure` as `warm` does."""
        library = self._loading(_library)
        return missing_variables(library, self._name, self._api_base, self._api_key_env)

    def _load(self) -> None:
        litellm = _library()
        self._price = self._price or price_in_map(litellm, self._name)
        litellm.token_counter(model=self._name, text="warm")
        if self._provider == "ollama_chat":
            _register_local(litellm, self._name)
        self._client = self._make_client()

    async def complete(
        self, messages: Sequence[Message], schema: Mapping[str, Any], *, timeout: float
    ) -> Completion:
        """Exactly one request for an answer that fits a JSON schema, within `timeout` seconds.

        Raises `ModelFailure`.
        """

        async def ask() -> Any:
            return await self._client.ainvoke(
                [dict(message) for message in messages],
                response_format=_response_format(schema),
            )

        return self._completion(await self._within(timeout, ask))

    async def say(self, messages: Sequence[Message], *, timeout: float, tell: Tell) -> Completion:
        """Exactly one request for an answer in words, of which each part is told as it comes.

        Raises `ModelFailure`.
        """
        facts = StreamFacts()
        seen = expected.set(facts)
        try:
            return await self._within(timeout, lambda: self._streamed(messages, facts, tell))
        finally:
            expected.reset(seen)

    async def _within(self, timeout: float, call: Callable[[], Awaitable[_Loaded]]) -> _Loaded:
        """What a call brings within so many seconds; the first one's go to loading as well.

        Raises `ModelFailure`.
        """
        if self._key_missing:  # nobody waits for a client that cannot be used
            raise ModelFailure("no_api_key", transient=False, misconfigured=True)
        loading = self._client is None
        try:
            # The client's own timeout is per read: an answer that drips in would never meet it.
            if loading:
                began = time.monotonic()
                async with asyncio.timeout(timeout):
                    await asyncio.to_thread(self.warm)
                timeout -= time.monotonic() - began
                loading = False
            async with paced_call(_library(), timeout):
                return await call()
        except TimeoutError:
            failure = ModelFailure(NOT_READY if loading else "timeout", transient=True)
        except Exception as error:  # of no common class: an empty answer is an IndexError
            failure = failure_of(error)
        # Raised here, not in the handler: the context would carry the provider's text along.
        raise failure

    async def _streamed(
        self, messages: Sequence[Message], facts: StreamFacts, tell: Tell
    ) -> Completion:
        """The answer, whose parts are told as they come.

        Not with the client of `complete`: at each part it takes as long again as LiteLLM does.
        """
        text, reason, usage = "", None, None
        answer = await _library().acompletion(
            **{"temperature": self._temperature} if self._temperature is not None else {},
            **self._params,
            model=self._name,
            messages=[dict(message) for message in messages],
            api_base=self._api_base,
            api_key=self._key,
            max_tokens=self._max_tokens,
            max_retries=0,
            stream=True,
            stream_options={"include_usage": True},
            # In what is packed nobody could see whether it is whole.
            extra_headers={"Accept-Encoding": "identity"},
        )
        async with aclosing(answer):
            async for chunk in answer:
                usage = getattr(chunk, "usage", None) or usage
                for choice in chunk.choices[:1]:
                    reason = choice.finish_reason or reason
                    if part := choice.delta.content:
                        text += part
                        await tell(part)
                await asyncio.sleep(0)  # many come at once, and each takes a millisecond
        if facts.is_cut:
            raise ModelFailure("answer_cut", transient=True)
        if not facts.told_usage or usage is None:
            return Completion(text, reason, refused=_is_refused(reason, facts))
        details = getattr(usage, "prompt_tokens_details", None)
        cached = getattr(details, "cached_tokens", None)
        read, written = usage.prompt_tokens, usage.completion_tokens
        if reason == "stop" and written >= self._max_tokens:
            reason = "length"
        return Completion(
            text,
            reason,
            refused=_is_refused(reason, facts),
            input_tokens=read,
            output_tokens=written,
            cached_tokens=cached,
            usd=self._usd(getattr(usage, "cost", None), read, written, cached),
        )

    async def max_cost(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None = None,
        *,
        timeout: float,
    ) -> Cost:
        """What a call with these messages can cost at most, its answer as long as allowed.

        Loads LiteLLM if `warm` has not. Raises `ModelFailure`, also when `timeout` seconds pass.
        """
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.to_thread(self._count, messages, schema)
        except TimeoutError:
            failure = ModelFailure(NOT_READY, transient=True)
        raise failure

    def _count(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> Cost:
        litellm = self._loading(_library)
        self._price = self._price or price_in_map(litellm, self._name)
        count = litellm.token_counter(
            model=self._name, messages=[dict(message) for message in messages]
        )
        if schema is not None:
            count += litellm.token_counter(model=self._name, text=json.dumps(schema))
        if self._provider != "openai" or self._api_base is not None:
            count = int(count * _FOREIGN_TOKENIZER)
        return Cost(
            tokens=count + self._max_tokens,
            usd=None if self._price is None else self._price.of(count, self._max_tokens),
        )

    def _loading(self, load: Callable[[], _Loaded]) -> _Loaded:
        try:
            return load()
        except Exception as error:  # whatever an installation can be broken by
            # The text of any other error may quote the key.
            why = str(error) if isinstance(error, ImportError) else type(error).__name__
        logger.warning("model client cannot be loaded", extra={"model": self._name, "error": why})
        # Raised here, so that the error is not carried along.
        raise ModelFailure("client_unavailable", transient=False, misconfigured=True)

    @property
    def params(self) -> Mapping[str, Any]:
        """What goes with every call; no secret is among it."""
        return self._params

    @property
    def _provider(self) -> str:
        return self._name.partition("/")[0]

    @property
    def _key_missing(self) -> bool:
        return self._api_key_env is not None and not os.environ.get(self._api_key_env)

    @property
    def _key(self) -> str | None:
        """The key that is sent; None where the client is to find the provider's usual one."""
        default = _NO_KEY if self._api_base is not None else None
        return os.environ[self._api_key_env] if self._api_key_env else default

    def _make_client(self) -> Any:
        from langchain_litellm import ChatLiteLLM

        return ChatLiteLLM(
            model=self._name,
            api_base=self._api_base,
            api_key=self._key,
            max_tokens=self._max_tokens,
            temperature=self._temperature,
            # Retries are the graph's: this is one attempt here, and none more in OpenAI's client.
            max_retries=1,
            model_kwargs={**self._params, "max_retries": 0},
            # Who watches the graph's messages would turn the call into a stream, which loses
            # tokens and price, and see the plan as what is said; an answer from a cache would be
            # none of this run's.
            tags=[TAG_NOSTREAM],
            disable_streaming=True,
            cache=False,
        )

    def _completion(self, answer: Any) -> Completion:
        reason = answer.response_metadata.get("finish_reason")
        usage = answer.usage_metadata or {}
        # Neither a prompt nor a plan has no tokens: zero is how the client says that it was told
        # nothing.
        known = _can_be(usage) and bool(usage.get("input_tokens") and usage.get("output_tokens"))
        input_tokens = usage["input_tokens"] if known else None
        output_tokens = usage["output_tokens"] if known else None
        cached_tokens = usage.get("input_token_details", {}).get("cache_read") if known else None
        # An answer cut in a forced tool call, as Claude models that LiteLLM does not know are
        # asked, is reported as complete.
        if reason == "stop" and (output_tokens or 0) >= self._max_tokens:
            reason = "length"
        extra = answer.additional_kwargs.get("provider_specific_fields") or {}
        return Completion(
            text=str(answer.text),
            finish_reason=reason,
            refused=reason == "content_filter" or bool(extra.get("refusal")),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=cached_tokens,
            usd=self._usd(
                answer.response_metadata.get("response_cost"),
                input_tokens,
                output_tokens,
                cached_tokens,
            ),
        )

    def _usd(
        self,
        cost: float | None,
        input_tokens: int | None,
        output_tokens: int | None,
        cached_tokens: int | None,
    ) -> float | None:
        if self._price is None or input_tokens is None or output_tokens is None:
            return None
        if self._own_price:
            return self._price.of(input_tokens, output_tokens, cached_tokens or 0)
        # Some providers tell it themselves.
        most = _MOST_TIMES_PRICE * self._price.of(input_tokens, output_tokens)
        return cost if cost is not None and cost <= most else None


def _is_refused(reason: str | None, facts: StreamFacts) -> bool:
    return reason == "content_filter" or facts.refused


def is_installed() -> bool:
    """Whether the client is there, an extra of its own; it is looked for and not imported."""
    return all(importlib.util.find_spec(name) for name in ("langchain_litellm", "litellm"))


async def close_clients() -> None:
    """Close the connections that calls of this event loop left open; models stay usable."""
    if not _library.cache_info().currsize:
        return
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    await GLOBAL_LOGGING_WORKER.flush()
    await GLOBAL_LOGGING_WORKER.stop()
    litellm = _library()
    await disconnect(litellm)
    await litellm.close_litellm_async_clients()
    litellm.in_memory_llm_clients_cache.flush_cache()


@functools.cache
def _library() -> Any:
    """LiteLLM, kept from the network, from `.env` files and from standard output."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"  # any other mode reads `.env` files
    # How many calls of a model there are at once is for us to say; a call must not wait for a
    # connection while its time runs.
    for name in ("AIOHTTP_CONNECTOR_LIMIT", "AIOHTTP_CONNECTOR_LIMIT_PER_HOST"):
        os.environ.setdefault(name, str(_MOST_CONNECTIONS))
    import langchain_litellm  # noqa: F401  # loaded with it, so that no call has to
    import litellm

    # At the end of each streamed answer, of its own use of pydantic.
    warnings.filterwarnings("ignore", r"Accessing the 'model_\w+' attribute", DeprecationWarning)
    litellm.suppress_debug_info = True
    litellm.disable_streaming_logging = True  # at each part of an answer, for nobody
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        # Its lines may quote prompts; what failed comes as an exception anyway.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    hold_clients(litellm)
    return litellm


def _register_local(litellm: Any, name: str) -> None:
    """Keep the client from asking the Ollama server about a model, which blocks the event loop."""
    # Not `register_model`, which begins with that very question.
    litellm.model_cost.setdefault(name, {"litellm_provider": "ollama_chat", "mode": "chat"})


def _can_be(usage: Mapping[str, Any]) -> bool:
    """Whether no part of what is told, cached or reasoned, is larger than its whole."""
    return all(
        is_count(part) and part <= usage.get(f"{side}_tokens", 0)
        for side in ("input", "output")
        for part in usage.get(f"{side}_token_details", {}).values()
        if part is not None
    )


def _response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    named = {"name": "plan", "strict": True, "schema": dict(schema)}
    return {"type": "json_schema", "json_schema": named}
