"""The configured models, and the order in which a task asks them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nodes.planning.complexity import THRESHOLD
from nodes.planning.model import Breaker, Model
from nodes.planning.purse import Purse

#: Whether the pattern planner may answer where models fail: always, only where every failure may
#: pass by itself, or never.
Fallback = Literal["always", "transient", "never"]


@dataclass(frozen=True)
class Roster:
    """Models in the order of trial; `complex_model` is asked first for a task judged complex.

    `timeout` is the longest time of one call, in seconds; `purse` pays for calls, where an owner's
    day has a budget.
    """

    models: Mapping[str, Model]
    order: Sequence[str]
    breaker: Breaker
    complex_model: str | None = None
    threshold: float = THRESHOLD
    timeout: float = 20.0
    fallback: Fallback = "always"
    purse: Purse | None = None

    def queue(self, score: float) -> list[str]:
        """The models to ask for a task of this complexity, one after the other."""
        if self.complex_model is None or score < self.threshold:
            return list(self.order)
        return [self.complex_model, *(name for name in self.order if name != self.complex_model)]
