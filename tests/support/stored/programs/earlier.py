"""An earlier program of this minor version, as it was, to run beside the present one.

It is kept as a file, since a checkout in CI has no history. `python -m
tests.support.stored.programs.earlier COMMIT` stores another one, which is due where the tables or
what a run has stored are no longer those of a minor version, and where its Python packages no
longer run it.
"""

import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.checkout import ROOT

#: Its packages, from the day before jobs were told to one worker each.
STORED = Path(__file__).parent / "earlier.tar.xz"

PACKAGES = ("graph", "nodes", "api", "tools")


def earlier_program(folder: Path) -> Sequence[str]:
    """Unpack it there; the command that starts it, with the tools of the present tests."""
    with tarfile.open(STORED) as archive:
        archive.extractall(folder, filter="data")
    # The folder that it starts in comes first where packages are looked for.
    return "env", "-C", str(folder), f"PYTHONPATH={ROOT}", sys.executable, "-m", "api"


def store(commit: str) -> None:
    """Store that of a commit of this checkout."""
    archive = ["git", "-C", str(ROOT), "archive", commit, *PACKAGES]
    tar = subprocess.run(archive, check=True, stdout=subprocess.PIPE)
    packed = subprocess.run(["xz", "-9e"], check=True, input=tar.stdout, stdout=subprocess.PIPE)
    STORED.write_bytes(packed.stdout)


if __name__ == "__main__":
    store(sys.argv[1])
