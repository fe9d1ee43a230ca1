"""Models that answer from a script and remember what they were asked."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodes.planning.model import Completion, Cost, Message, ModelFailure, Tell

#: What a scripted model does at one call: answer, or raise.
Turn = Completion | Exception


class Killed(Exception):
    """The process is gone while a model is being asked: nothing of the call is stored."""


#: The schema of a call for an answer in words: none.
SAID: Mapping[str, Any] = {}

WORDS = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True)
class Broken(Completion):
    """An answer whose stream breaks after its text."""

    failure: ModelFailure = field(
        default_factory=lambda: ModelFailure("unreachable", transient=True)
    )


@dataclass(frozen=True)
class Asked:
    """One call."""

    messages: Sequence[Message]
    schema: Mapping[str, Any]
    timeout: float


@dataclass
class ScriptedModel:
    """Answers its calls one after the other; a call that is not in the script fails the test."""

    name: str
    script: list[Turn]
    cost: Cost = field(default_factory=lambda: Cost(tokens=100, usd=0.01))
    calls: list[Asked] = field(default_factory=list)

    async def complete(
        self, messages: Sequence[Message], schema: Mapping[str, Any], *, timeout: float
    ) -> Completion:
        self.calls.append(Asked(messages, schema, timeout))
        assert self.script, f"{self.name} is asked once more than it was to be"
        turn = self.script.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn

    async def say(self, messages: Sequence[Message], *, timeout: float, tell: Tell) -> Completion:
        """The next of the script, told word by word; one that is `Broken` then fails."""
        completion = await self.complete(messages, SAID, timeout=timeout)
        for word in WORDS.findall(completion.text):
            await tell(word)
        if isinstance(completion, Broken):
            raise completion.failure
        return completion

    def warm(self) -> None:
        """There is nothing to load."""

    async def max_cost(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None, *, timeout: float
    ) -> Cost:
        return self.cost


def answer(text: str, *, usd: float | None = 0.001, tokens: int | None = 10) -> Completion:
    """A whole answer of twice `tokens` tokens, as a provider tells it."""
    return Completion(text, "stop", input_tokens=tokens, output_tokens=tokens, usd=usd)


def plan_of(*steps: tuple[str, Mapping[str, Any]], usd: float | None = 0.001) -> Completion:
    """A whole answer with these tools and inputs."""
    given = [{"reasoning": "as asked", "tool": tool, "input": value} for tool, value in steps]
    return answer(json.dumps({"steps": given}), usd=usd)


def calculation(expression: str = "2 + 2", *, usd: float | None = 0.001) -> Completion:
    """A whole answer with one step that any check passes."""
    return plan_of(("calculator", {"expression": expression}), usd=usd)


def outage(error_class: str = "server_error", *, retry_after: float | None = None) -> ModelFailure:
    """A failure that may pass by itself."""
    return ModelFailure(error_class, transient=True, retry_after=retry_after)


def misconfigured(error_class: str = "unauthorized") -> ModelFailure:
    """A failure that only a person can end."""
    return ModelFailure(error_class, transient=False, misconfigured=True)
