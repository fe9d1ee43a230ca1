"""What the planner needs of a language model of any provider, and which tasks need a large one."""

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from typing_extensions import TypedDict

from graph.state import AnswerPolicy, RunState
from nodes.contract.steps import bounded, storable
from nodes.patterns.grammar.phrases import word_set
from tools.toolbox import Tool

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*|\d+")

#: What people do with tools; each occurrence is taken for one action.
_ACTIONS = word_set(
    "add put create make write note remember remind list show read tell see check complete mark"
    " finish delete remove drop take clear update change rename replace calculate compute sum"
    " multiply divide subtract convert find search send fetch get compare sort count plan"
)
_CONNECTORS = word_set("then afterwards after before next finally also once first second third")
_REFERENCES = word_set("it its that this those them result results total answer each every")
_CONDITIONS = word_set("if unless otherwise else until while whether depending except when")

#: A score from here on is complex, unless configured otherwise.
THRESHOLD = 5.0


class Features(TypedDict):
    """What the score is made of; words are counted in twenties."""

    actions: int
    connectors: int
    references: int
    conditions: int
    words: int
    tools: int


def complexity(prompt: str, tools: Mapping[str, Tool]) -> tuple[float, Features]:
    """The score of a task, and the features it comes from.

    Every action beyond the first counts 1, a connector ½, a reference to another result 1, a
    condition 2, twenty words 1, and each ten tools to choose from ½.
    """
    words = _WORD.findall(prompt.lower())
    features = Features(
        actions=sum(word in _ACTIONS for word in words),
        connectors=sum(word in _CONNECTORS for word in words) + prompt.count(";"),
        references=sum(word in _REFERENCES for word in words),
        conditions=sum(word in _CONDITIONS for word in words),
        words=len(words),
        tools=len(tools),
    )
    score = (
        max(0, features["actions"] - 1)
        + 0.5 * features["connectors"]
        + features["references"]
        + 2 * features["conditions"]
        + features["words"] // 20
        + 0.5 * (features["tools"] // 10)
    )
    return score, features


#: One message to a model: `role` and `content`.
Message = Mapping[str, str]


#: The error class of a call whose time was over before its client was loaded: it says nothing of
#: the model.
NOT_READY = "client_not_ready"


#: The most tokens that one side of a call can have: no model reads more.
MOST_TOKENS = 10_000_000

#: The most that one call can cost, in USD: a thousand times the dearest of today.
MOST_USD = 10_000.0


def is_count(count: object) -> bool:
    """Whether what a provider says can be a number of tokens."""
    if isinstance(count, bool) or not isinstance(count, int | float):
        return False
    return 0 <= count <= MOST_TOKENS and count == int(count)


@dataclass(frozen=True)
class Completion:
    """A model's answer as it came; tokens and price are None where the provider tells none.

    What cannot be counts as not told. `refused`: the provider said so, with a refusal or a content
    filter. `cached_tokens` are those of the input that the
    provider had in a cache. `usd` is never 0 for "not known".
    """

    text: str
    finish_reason: str | None
    refused: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None
    cached_tokens: int | None = None

    def __post_init__(self) -> None:
        counts = (self.input_tokens, self.output_tokens, self.cached_tokens)
        if not all(is_count(count) for count in counts if count is not None):
            # The price is of these tokens.
            for name in ("input_tokens", "output_tokens", "cached_tokens", "usd"):
                object.__setattr__(self, name, None)
        if isinstance(usd := self.usd, int | float) and not 0 <= usd <= MOST_USD:
            object.__setattr__(self, "usd", None)


@dataclass(frozen=True)
class Cost:
    """The most that one call can cost; `usd` is None when the model's price is not known."""

    tokens: int
    usd: float | None


class ModelFailure(Exception):
    """A call that brought no answer.

    `error_class` names the fault, without the provider's text, which may quote the prompt.
    `transient`: the same call may succeed later, after `retry_after` seconds where the provider
    said so, at most an hour. Otherwise the model is misconfigured, or cannot take this request.
    `detail`: what else may be told of it, a place for example.
    """

    def __init__(
        self,
        error_class: str,
        *,
        transient: bool,
        retry_after: float | None = None,
        misconfigured: bool = False,
        detail: str | None = None,
    ) -> None:
        super().__init__(error_class)
        self.error_class = error_class
        self.transient = transient
        self.retry_after = None if retry_after is None else bounded(retry_after)
        self.misconfigured = misconfigured
        self.detail = detail

    def alone(self) -> "ModelFailure":
        """The same without what it was raised in, whose text may quote the prompt."""
        return ModelFailure(
            self.error_class,
            transient=self.transient,
            retry_after=self.retry_after,
            misconfigured=self.misconfigured,
            detail=self.detail,
        )


#: Is told the next part of an answer.
Tell = Callable[[str], Awaitable[None]]


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

    async def say(self, messages: Sequence[Message], *, timeout: float, tell: Tell) -> Completion:
        """Exactly one request for an answer in words, of which each part is told as it comes.

        The `Completion` has them all, as they came. Raises `ModelFailure`, also where the answer
        ended before its end.
        """

    def warm(self) -> None:
        """Load what the first call needs; it may take seconds and blocks.

        Raises `ModelFailure` where it cannot be loaded.
        """

    async def max_cost(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None, *, timeout: float
    ) -> Cost:
        """What a call with these messages can cost at most, told within `timeout` seconds.

        Raises `ModelFailure`.
        """


#: Whether a model's outage is over, lasts, or cannot end without a person.
ModelState = Literal["ok", "open", "misconfigured"]


class Breaker(Protocol):
    """Remembers which models fail, so that an outage does not add its seconds to every run."""

    async def allows(self, model: str) -> bool:
        """Whether the model may be called now; of many who ask after a pause, the first may."""

    def holds_back(self, model: str) -> bool:
        """Whether the model is being left alone now."""

    def misconfigured(self, model: str) -> bool:
        """Whether the model's last failure cannot pass by itself."""

    def succeeded(self, model: str) -> None:
        """An answer came."""

    def failed(
        self, model: str, failure: ModelFailure, *, given_up: bool, run_id: str | None = None
    ) -> None:
        """No answer came; `given_up`: the run does not try it again."""

    def state(self) -> Mapping[str, Mapping[str, Any]]:
        """How every model does, for people."""


# Who pays for calls of models: what the planner needs of an owner's daily budget.


@dataclass(frozen=True)
class Call:
    """One call of a model for an owner's run.

    `key` tells it from the other calls of the run. It is the same when the call is made again,
    since its process ended before the answer was stored.
    """

    owner: str
    run_id: str
    key: str
    model: str


def call_of(state: RunState, model: str) -> Call:
    """The next planning call of a run: every one before it has left its entry in the log."""
    return Call(
        owner=state["owner"],
        run_id=state["run_id"],
        key=f"{state['generation']}:{len(state['planning_log'])}",
        model=model,
    )


class BudgetExceeded(Exception):
    """The call is not made; `reason` says why, `passes` whether that ends with the day."""

    def __init__(self, reason: str, *, passes: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passes = passes


class BudgetGuard(Protocol):
    """Pays for calls as long as the owner's budget of the day allows them."""

    async def charge(
        self, call: Call, cost: Cost, ask: Callable[[], Awaitable[Completion]]
    ) -> Completion:
        """What `ask` brings; `cost` is the most it can cost.

        What it cost is stored when this returns. Raises `BudgetExceeded`, what `ask` raises, and
        the storage's errors.
        """


# How many calls of a model there are at once.


class ModelSlots(Protocol):
    """Lets in so many calls of each model at once."""

    def slot(self, model: str, owner: str, *, later: bool) -> AbstractAsyncContextManager[float]:
        """The slot of a call, for as long as the call takes; how long it was waited for, seconds.

        `later`: the run has made a call before.
        """


@dataclass(frozen=True)
class UnlimitedSlots:
    """Lets every call in at once."""

    @asynccontextmanager
    async def slot(self, _model: str, _owner: str, *, later: bool) -> AsyncIterator[float]:
        """Nothing is waited for."""
        yield 0.0


# The configured models, and the order in which a task asks them.


#: Whether the pattern planner may answer where models fail: always, only where every failure may
#: pass by itself, or never.
Fallback = Literal["always", "transient", "never"]


@dataclass(frozen=True)
class ModelLadder:
    """Models in the order of trial; `complex_model` is asked first for a task judged complex.

    `timeout` is the longest time of one call, in seconds; `budget_guard` pays for calls, where an
    owner's day has a budget. A model is shown `output` characters of what a step returned, and
    `context` characters in all. `lacks_key` looks whether a model has no key, before anything is
    loaded for it. `slots` bounds how many calls of a model there are at once.
    `instructions` are what the operator wants of every plan; `shortlist` is how many
    tools a model is told of at most, 0 for all. `answer` says whether one answers at the end.
    """

    models: Mapping[str, Model]
    order: Sequence[str]
    breaker: Breaker
    complex_model: str | None = None
    threshold: float = THRESHOLD
    timeout: float = 20.0
    fallback: Fallback = "always"
    budget_guard: BudgetGuard | None = None
    output: int = 4_000
    context: int = 200_000
    lacks_key: Callable[[str], bool] = lambda _: False
    slots: ModelSlots = field(default_factory=UnlimitedSlots)
    instructions: str = ""
    shortlist: int = 0
    answer: AnswerPolicy = "never"

    def at(self, _state: RunState) -> "ModelLadder":
        """The ladder for the next call of this run: another where it stands for recorded ones."""
        return self

    def queue(self, score: float) -> list[str]:
        """The models to ask for a task of this complexity, one after the other."""
        if self.complex_model is None or score < self.threshold:
            return list(self.order)
        return [self.complex_model, *(name for name in self.order if name != self.complex_model)]


# What a record keeps of a call.


#: Bytes of an answer that are kept, to be read and replayed.
MAX_RAW = 32_000


def shortened_raw(text: str) -> str:
    """An answer as the record keeps it."""
    return storable(text).encode()[:MAX_RAW].decode(errors="ignore")


def digest(asked: Sequence[Message]) -> str:
    """What tells the messages of a call from others, in 16 digits: they are too long to be kept."""
    hashed = hashlib.sha256()
    for message in asked:
        hashed.update(f"{message['role']}\0{message['content']}\0".encode(errors="replace"))
    return hashed.hexdigest()[:16]
