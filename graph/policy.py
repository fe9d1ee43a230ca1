"""How runs are executed that say nothing about it themselves."""

from dataclasses import dataclass

from graph.state import Approve, Limits
from nodes.approving.asking import EXPIRES


@dataclass(frozen=True)
class RunPolicy:
    """The limits of every run, whether its plan is asked about, and for how many seconds."""

    limits: Limits
    approve: Approve = "never"
    approval_expires: float = EXPIRES
