"""What travels through the graph: plain JSON-like records, nothing else.

Readers of the state import from here; which records there are, the files beside this one tell.

Others use `channels.DETAILS`, `row`, `status` and `wording`.
"""

from graph.state.channels import Channels, logged, split, whole
from graph.state.doubts import (
    Question,
    in_doubt,
    is_said_done,
    learned_of,
    outputs,
    question_of,
)
from graph.state.log import (
    Attempt,
    AttemptError,
    Ending,
    ForkedFrom,
    Learned,
    Mark,
    Marked,
    PlanningCall,
    ResolvedAs,
    Retry,
    attempts,
    ended_at,
    extend,
    marks,
)
from graph.state.plan import (
    Approval,
    Approve,
    Plan,
    PlannedBy,
    PlannedTool,
    Planning,
    RequiredApproval,
    Span,
    Step,
    Usage,
)
from graph.state.run import (
    DEFAULT_LIMITS,
    STATE_VERSION,
    Budget,
    Limits,
    RunInput,
    RunState,
    new_run,
)
from graph.state.status import ErrorType, Result, RunError, Status, Unparsed, run_error

__all__ = [
    "DEFAULT_LIMITS",
    "STATE_VERSION",
    "Approval",
    "Approve",
    "Attempt",
    "AttemptError",
    "Budget",
    "Channels",
    "Ending",
    "ErrorType",
    "ForkedFrom",
    "Learned",
    "Limits",
    "Mark",
    "Marked",
    "Plan",
    "PlannedBy",
    "PlannedTool",
    "Planning",
    "PlanningCall",
    "Question",
    "RequiredApproval",
    "ResolvedAs",
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
    "attempts",
    "ended_at",
    "extend",
    "in_doubt",
    "is_said_done",
    "learned_of",
    "logged",
    "marks",
    "new_run",
    "outputs",
    "question_of",
    "run_error",
    "split",
    "whole",
]
