"""The checkout that is tested, and what git would have of it after a commit."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


#: The folders of the product's packages.
PACKAGES = ("graph", "nodes", "tools", "api", "examples")


def copy_compiled(folder: Path) -> None:
    """Put what Python has compiled into a copy, which else would do so at its first start."""
    for package in PACKAGES:
        for cache in (ROOT / package).rglob("__pycache__"):
            half_written = shutil.ignore_patterns("*.pyc.*")
            shutil.copytree(cache, folder / cache.relative_to(ROOT), ignore=half_written)


def packed_checkout() -> bytes:
    """A tar archive of the files that are tracked, or new and not ignored."""
    files = "git ls-files --cached --others --exclude-standard -z"
    tar = f"{files} | tar --create --null --files-from=-"
    return subprocess.run(["bash", "-c", tar], cwd=ROOT, capture_output=True, check=True).stdout
