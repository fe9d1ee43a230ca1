"""What travels through the graph: plain JSON-like records, nothing else.

Whoever reads the state imports from here; which records there are, the files beside this one tell.
"""

from graph.state.approval import Approval, Approve, Asks, PlannedTool
from graph.state.continuation import Ending, ForkedFrom, Retry
from graph.state.limits import DEFAULT_LIMITS, Budget, Limits
from graph.state.log import Attempt, AttemptError, Mark, PlanningCall, ended_at, extend
from graph.state.outcome import ErrorType, Result, RunError, Status, Unparsed, run_error
from graph.state.plan import Plan, PlannedBy, Span, Step
from graph.state.planning import Planning, Usage
from graph.state.run import STATE_VERSION, RunInput, RunState, new_run

__all__ = [
    "DEFAULT_LIMITS",
    "STATE_VERSION",
    "Approval",
    "Approve",
    "Asks",
    "Attempt",
    "AttemptError",
    "Budget",
    "Ending",
    "ErrorType",
    "ForkedFrom",
    "Limits",
    "Mark",
    "Plan",
    "PlannedBy",
    "PlannedTool",
    "Planning",
    "PlanningCall",
    "Result",
    "Retry",
    "RunError",
    "RunInput",
    "RunState",
    "Span",
    "Status",
    "Step",
    "Unparsed",
    "Usage",
    "ended_at",
    "extend",
    "new_run",
    "run_error",
]
