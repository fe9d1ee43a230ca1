"""One visit to the node `plan` that asks a model."""

import time
from dataclasses import dataclass, field
from typing import Literal

from graph.state import Plan, Planning, PlanningCall, RunState
from nodes.planning.model import Completion, Model
from nodes.planning.patience import Patience, patience_of
from nodes.planning.roster import Roster


@dataclass(frozen=True)
class Turn:
    """What the visit found, and the log that it goes on writing; it begins as it is made."""

    state: RunState
    planning: Planning
    roster: Roster
    log: list[PlanningCall]
    _began: float = field(default_factory=time.perf_counter)

    @property
    def name(self) -> str:
        """The model whose turn it is; it may be configured no more."""
        return self.planning["queue"][0]

    @property
    def model(self) -> Model:
        """The model itself."""
        return self.roster.models[self.name]

    @property
    def patience(self) -> Patience:
        """How long the run can still wait for models, after what is in the log."""
        return patience_of(self.state, self.planning, self.log, self.roster.timeout)

    @property
    def took(self) -> float:
        """How long the visit has taken so far, in seconds."""
        return time.perf_counter() - self._began

    def note(
        self,
        outcome: Literal["planned", "empty", "refused", "rejected", "failed", "skipped"],
        completion: Completion | None = None,
        *,
        error_class: str | None = None,
        transient: bool | None = None,
        reasons: list[str] | None = None,
        rejected_plan: Plan | None = None,
    ) -> None:
        """Add the entry of this turn's model to the log."""
        took = self.took
        self.log.append(
            PlanningCall(
                planner="llm",
                model=self.name,
                outcome=outcome,
                error_class=error_class,
                transient=transient,
                reasons=reasons or [],
                started_at=time.time() - took,
                duration_ms=round(took * 1000, 3),
                input_tokens=completion.input_tokens if completion else None,
                output_tokens=completion.output_tokens if completion else None,
                usd=completion.usd if completion else None,
                rejected_plan=rejected_plan,
            )
        )
