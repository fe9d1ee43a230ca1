"""Whether an advisory is known against what is pinned: `make audit`.

It asks PyPI with pip-audit, which has an environment of its own; this file needs nothing else.
Ends with 0 where nothing is known against any pin, with 1 where something is, and with 3 where it
could not ask: then it knows nothing, which is not the same as that nothing is wrong.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]

#: What pins are in: the first has all that runs, with models and without.
FILES = (
    "constraints-dev.txt",
    *(f"tests/{name}_constraints.txt" for name in ("audit", "fuzz", "client", "kube")),
)

#: The pins are complete, so nothing is resolved or installed.
COMMAND = (
    *(sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--require-hashes"),
    *("--progress-spinner", "off", "--format", "json", "--desc", "off"),
)

FOUND, UNKNOWN = 1, 3


def audit(files: Sequence[str] = FILES, command: Sequence[str] = COMMAND) -> tuple[list[str], int]:
    """What is known, in lines, and the exit code."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for file in files:  # each alone: together, no package could stand in two
        asked = subprocess.run(
            [*command, "-r", str(ROOT / file)], capture_output=True, text=True, check=False
        )
        try:
            dependencies = json.loads(asked.stdout)["dependencies"]
        except (ValueError, KeyError):
            [*_, why] = ["", *asked.stderr.strip().splitlines()]
            return [f"nothing is known: {file} could not be looked up ({why})"], UNKNOWN
        found |= {(one["name"], one.get("version", "")): one for one in dependencies}
    return read([*found.values()])


def read(dependencies: Sequence[dict[str, Any]]) -> tuple[list[str], int]:
    """The same of an answer of pip-audit."""
    unknown = [one["name"] for one in dependencies if "skip_reason" in one]
    told = [
        f"{one['name']} {one['version']}: {advisory['id']}, {_mended(advisory['fix_versions'])}"
        for one in dependencies
        for advisory in one.get("vulns", ())
    ]
    known = len(dependencies) - len(unknown)
    told.append(f"{len(told)} advisories against {known} pins")
    if unknown:
        told.append(f"nothing is known of {len(unknown)} pins: {', '.join(unknown)}")
    if len(told) > 1 + bool(unknown):
        return told, FOUND
    return told, UNKNOWN if unknown or not dependencies else 0


def _mended(versions: Sequence[str]) -> str:
    return f"mended in {', '.join(versions)}" if versions else "not mended yet"


if __name__ == "__main__":
    lines, code = audit(command=[*COMMAND, *sys.argv[1:]])
    sys.stdout.write("\n".join([*lines, ""]))
    sys.exit(code)
