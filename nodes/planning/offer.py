"""What a run's models are offered: the tools that they may plan with, told in one fixed text."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from graph.state import RunState
from nodes.contract.plan_check import run_tools
from nodes.planning.prompt import instructions, of_caller, of_operator
from nodes.planning.schema import AnswerForm, answer_form
from tools.registry import Tool

#: So many offers are kept, for the next run that has the same tools.
MOST_KEPT = 64


@dataclass(frozen=True)
class Offer:
    """The tools of an answer, its form, and the text about them, the same for every request."""

    tools: Mapping[str, Tool]
    form: AnswerForm
    fixed: str

    def told(self, state: RunState) -> str:
        """The fixed text, and after it what the caller of a run wants of its plan."""
        choice = state.get("choice")
        return self.fixed + of_caller(choice["instructions"] if choice else None)


@dataclass(frozen=True)
class Offers:
    """The offers of a server; `operator` is what whoever runs it wants of every plan."""

    tools: Mapping[str, Tool]
    operator: str = ""
    _made: dict[tuple[str, ...], Offer] = field(default_factory=dict, repr=False)

    def of(self, state: RunState) -> Offer:
        """What the models of this run are offered."""
        return self._with(run_tools(state, self.tools))

    def _with(self, tools: Mapping[str, Tool]) -> Offer:
        names = tuple(tools)
        if names not in self._made:
            if len(self._made) >= MOST_KEPT:
                self._made.pop(next(iter(self._made)))
            form = answer_form(tools)
            fixed = instructions(tools, form) + of_operator(self.operator)
            self._made[names] = Offer(tools, form, fixed)
        return self._made[names]
