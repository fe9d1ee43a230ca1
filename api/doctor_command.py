"""`runwright doctor`: what would keep a server from working, and how to mend it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version

from api.counting import counted
from api.doctor.examination import examine
from api.doctor.finding import Finding
from api.terminal_text import line


async def examined(*, call_models: bool, as_json: bool) -> tuple[str, bool]:
    """What was found, as text or JSON, and whether nothing fails."""
    findings = await examine(call_models=call_models)
    sound = all(finding.status != "fails" for finding in findings)
    return (_json(findings, sound=sound) if as_json else _text(findings)), sound


def _json(findings: Sequence[Finding], *, sound: bool) -> str:
    checks = [asdict(finding) for finding in findings]
    return json.dumps({"version": version("runwright"), "ok": sound, "checks": checks}, indent=2)


def _text(findings: Sequence[Finding]) -> str:
    lines = [_told(finding) for finding in findings]
    counts = Counter(finding.status for finding in findings)
    lines.append(f"{counts['fails']} fail, {counted(counts['warning'], 'warning')}")
    return "\n".join(lines)


def _told(finding: Finding) -> str:
    mend = "" if finding.mend is None else f"; {finding.mend}"
    return line(f"{finding.status:<8} {finding.check}: {finding.message}{mend}")
