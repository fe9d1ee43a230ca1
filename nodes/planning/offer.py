"""What a run's models are offered: the tools that they may plan with, told in one fixed text."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from graph.state import RunState
from nodes.contract.plan_check import run_tools
from nodes.planning.prompt import instructions, of_caller, of_operator, of_others
from nodes.planning.reading import wanted
from nodes.planning.schema import AnswerForm, answer_form
from nodes.planning.shortlist import ToolIndex
from tools.registry import Tool

#: So many tools are told beside the others for words that a model has asked with.
MOST_FITTING = 5

#: So many texts are kept, for the next run that is told of the same tools.
MOST_KEPT = 64


@dataclass(frozen=True)
class Rendered:
    """The form of an answer over some tools, and the text about them."""

    form: AnswerForm
    fixed: str


@dataclass(frozen=True)
class Offer:
    """What a run may plan with.

    A plan is held to `tools`; of those the model is told in `text`, and answers in `form`. Where
    these are fewer, `shortlist` has their names.
    """

    tools: Mapping[str, Tool]
    form: AnswerForm
    text: str
    shortlist: list[str] | None


@dataclass(frozen=True)
class Offers:
    """The offers of a server.

    `operator` is what its operator wants of every plan; of more tools than `most` a model is
    told only those that fit the request best, 0 for all.
    """

    tools: Mapping[str, Tool]
    operator: str = ""
    most: int = 0
    _kept: dict[tuple[str, ...], Rendered] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.most < len(self.tools):
            self._about(self.tools)  # takes milliseconds a tool: better now than in the first run

    def of(self, state: RunState, answers: Sequence[str] = ()) -> Offer:
        """What the models of this run are offered.

        Also the tools that are named in what they have answered, and a few that fit the words best
        with which they have asked for others.
        """
        allowed = run_tools(state, self.tools)
        names = self._shortlist(_words(state), allowed, answers)
        shown = allowed if names is None else {name: allowed[name] for name in names}
        offered, choice = self._about(shown), state.get("choice")
        others = of_others([name for name in allowed if name not in shown])
        text = offered.fixed + others + of_caller(choice["instructions"] if choice else None)
        return Offer(allowed, offered.form, text, names)

    def _shortlist(
        self, words: str, allowed: Collection[str], answers: Sequence[str]
    ) -> list[str] | None:
        if not 0 < self.most < len(allowed):
            return None
        best = self._index.best(words, allowed, self.most)
        named = {*best, *self._index.named_in("\n".join(answers), allowed)}
        for asked in filter(None, map(wanted, answers)):
            named |= {*self._index.fitting(asked, allowed, MOST_FITTING)}
        return [name for name in self.tools if name in named]

    @cached_property
    def _index(self) -> ToolIndex:
        return ToolIndex(self.tools)

    def _about(self, tools: Mapping[str, Tool]) -> Rendered:
        names = tuple(tools)
        if names not in self._kept:
            if len(self._kept) >= MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            form = answer_form(tools)
            fixed = instructions(tools, form) + of_operator(self.operator)
            self._kept[names] = Rendered(form, fixed)
        return self._kept[names]


def _words(state: RunState) -> str:
    """The words by which tools are found: also those of the prompt before, which "it" is about."""
    conversation = state.get("conversation")
    before = conversation["turns"][-1:] if conversation else []
    return "\n".join([state["prompt"], *(turn["prompt"] for turn in before)])
