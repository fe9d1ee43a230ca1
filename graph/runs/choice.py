"""What a run may be given beside its prompt: a model, instructions, tools, and names of its own."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graph.settings.configured import is_address, origin_of
from graph.state import Choice, Limits
from nodes.answers.structured import schema_fault
from nodes.contract.json_data import UNSTORABLE
from tools.registry import Tool
from tools.toolbox import absence, to_come

#: Longest instructions of one run, in characters.
LONGEST_INSTRUCTIONS = 4_000

#: Longest address of a webhook, in characters.
LONGEST_WEBHOOK = 2_000

#: Most pairs of metadata, the longest value in characters, and what keys look like.
MOST_PAIRS, LONGEST_VALUE = 16, 200
METADATA_KEY = r"^[A-Za-z0-9_.-]{1,64}$"

_KEY = re.compile(METADATA_KEY)


class ChoiceRejected(Exception):
    """Something that no run of this server can be given; `reasons` say what would be right."""

    def __init__(self, field: str, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.field = field
        self.reasons = list(reasons)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What the caller gives; what is left out (None, empty) is as for all runs of the server.

    `model` is asked alone, `instructions` are told to it, `tools` are those that plans may use.
    `answer` says whether a model answers in words at the end, and `result_schema`, a JSON Schema,
    in which shape it does so as well.
    `webhook` is where its end is posted, beside the places that are told of all runs. `metadata` is
    for the caller, to find the run by.
    """

    model: str | None = None
    instructions: str | None = None
    tools: Sequence[str] | None = None
    answer: bool | None = None
    result_schema: Mapping[str, Any] | None = None
    webhook: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def choice(self, models: Collection[str], tools: Mapping[str, Tool]) -> Choice | None:
        """What it is to be planned with, None for nothing; `models` and `tools` are those there.

        Tools of a server that is being connected may be named: the run waits for them.
        Raises `ChoiceRejected`.
        """
        if self.model is not None:
            _check_known("model", [self.model], models)
        self._check_answer(models)
        if self.instructions is not None:
            _check_text("instructions", self.instructions, LONGEST_INSTRUCTIONS)
        if self.tools is not None:
            if isinstance(self.tools, str) or not self.tools:
                raise ChoiceRejected("tools", [f"name at least one; {_there_are('tool', tools)}"])
            _check_tools(self.tools, tools)
        allowed = None if self.tools is None else list(dict.fromkeys(self.tools))
        choice = Choice(model=self.model, instructions=self.instructions or None, tools=allowed)
        if self.answer is not None:
            choice["answer"] = self.answer
        if self.result_schema is not None:
            choice["result_schema"] = dict(self.result_schema)
        return choice if any(value is not None for value in choice.values()) else None

    def _check_answer(self, models: Collection[str]) -> None:
        """Raises `ChoiceRejected` for an answer that nobody could give."""
        if self.answer is not None and not isinstance(self.answer, bool):
            raise ChoiceRejected("answer", ["it should be true or false"])
        if self.answer and not models:
            raise ChoiceRejected("answer", [f"{_NOBODY} that could answer in words"])
        if self.result_schema is None:
            return
        if not models:
            raise ChoiceRejected("result_schema", [f"{_NOBODY} that could answer in a shape"])
        if self.answer is False:
            reason = "there is no answer to have this shape: leave `answer` out, or say true"
            raise ChoiceRejected("result_schema", [reason])
        if fault := schema_fault(self.result_schema):
            raise ChoiceRejected("result_schema", [fault])

    def checked_webhook(self, known: Collection[str]) -> str | None:
        """Where its end is posted: only at hosts that are `known` for that.

        Raises `ChoiceRejected`.
        """
        if self.webhook is None:
            return None
        _check_text("webhook", self.webhook, LONGEST_WEBHOOK)
        origins = {origin_of(url) for url in known}
        if not is_address(self.webhook) or origin_of(self.webhook) not in origins:
            hosts = ", ".join(sorted({f"{kind}://{host}:{port}" for kind, host, port in origins}))
            there = f"it should be at {hosts}" if hosts else "none is configured"
            raise ChoiceRejected("webhook", [f"{there} (RUNWRIGHT_WEBHOOKS)"])
        return self.webhook

    def checked_metadata(self) -> dict[str, str] | None:
        """The pairs, in the order of their keys; None without any. Raises `ChoiceRejected`."""
        if len(self.metadata) > MOST_PAIRS:
            raise ChoiceRejected(
                "metadata", [f"there are {len(self.metadata)} pairs; at most {MOST_PAIRS} are kept"]
            )
        for key, value in self.metadata.items():
            if not isinstance(key, str) or not _KEY.fullmatch(key):
                raise ChoiceRejected(
                    "metadata",
                    [f"the key {key!r} should be 1 to 64 letters, digits, dots, - and _"[:200]],
                )
            _check_text("metadata", value, LONGEST_VALUE, of=f"the value of {key}")
        return dict(sorted(self.metadata.items())) or None


#: Why an answer that is asked for is refused.
_NOBODY = "no model is configured (RUNWRIGHT_MODELS)"

#: Nothing: as for all runs.
NO_OPTIONS = RunOptions()


def _check_tools(given: Sequence[Any], tools: Mapping[str, Tool]) -> None:
    away = {name: why for name in given if isinstance(name, str) and (why := absence(tools, name))}
    if away and not to_come(tools):
        raise ChoiceRejected(
            "tools", [f"there is no tool {name[:100]!r} now; {why}" for name, why in away.items()]
        )
    _check_known("tool", [name for name in given if name not in away], tools)


def _check_known(kind: str, given: Iterable[Any], known: Collection[str]) -> None:
    unknown = [repr(name)[:100] for name in given if name not in known]
    if unknown:
        plural = "tools" if kind == "tool" else kind
        reason = f"there is no {kind} {', '.join(unknown)}; {_there_are(kind, known)}"
        raise ChoiceRejected(plural, [reason])


def _there_are(kind: str, known: Collection[str]) -> str:
    return f"there are {', '.join(known)}" if known else f"no {kind} is configured"


def _check_text(field: str, given: Any, longest: int, *, of: str = "") -> None:
    """Raises `ChoiceRejected` for what is no text, too long, or cannot be stored."""
    what = of or "they"
    if not isinstance(given, str):
        raise ChoiceRejected(field, [f"{what} should be text, not {type(given).__name__}"])
    if len(given) > longest:
        has = "has" if of else "have"
        reason = f"{what} {has} {len(given)} characters; at most {longest} are allowed"
        raise ChoiceRejected(field, [reason])
    if UNSTORABLE.search(given):
        have = "holds" if of else "hold"
        reason = f"{what} {have} a character that no text can have (NUL or half a surrogate pair)"
        raise ChoiceRejected(field, [reason])


def lowered(limits: Limits, *, max_rounds: int | None, mend: int | None) -> Limits:
    """The limits with those that a run asks for, where they are lower."""
    lowered: Limits = {**limits}
    if max_rounds is not None:
        lowered["max_rounds"] = min(max_rounds, limits.get("max_rounds", 1))
    if mend is not None:
        lowered["mend"] = min(mend, limits.get("mend", 0))
    return lowered
