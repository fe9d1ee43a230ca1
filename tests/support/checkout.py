"""The checkout that is tested, and what git would have of it after a commit."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def packed_checkout() -> bytes:
    """A tar archive of the files that are tracked, or new and not ignored."""
    files = "git ls-files --cached --others --exclude-standard -z"
    tar = f"{files} | tar --create --null --files-from=-"
    return subprocess.run(["bash", "-c", tar], cwd=ROOT, capture_output=True, check=True).stdout
