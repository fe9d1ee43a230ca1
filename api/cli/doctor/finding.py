"""What an examination found."""

from dataclasses import dataclass
from typing import Literal

#: `fails` keeps a server from starting or a model from planning; `skipped` was not looked at.
Verdict = Literal["ok", "warning", "fails", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, and for what is not right how to mend it."""

    check: str
    status: Verdict
    message: str
    mend: str | None = None


def ok(check: str, message: str) -> Finding:
    """It is as it should be."""
    return Finding(check, "ok", message)


def skipped(check: str, why: str) -> Finding:
    """It does not apply here, or cannot be looked at before something else is mended."""
    return Finding(check, "skipped", why)


def warning(check: str, message: str, mend: str) -> Finding:
    """It works, but perhaps not as it is meant to."""
    return Finding(check, "warning", message, mend)


def fails(check: str, message: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(check, "fails", message, mend)
