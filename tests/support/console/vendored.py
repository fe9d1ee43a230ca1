"""`make vendor`: the modules of others that the page loads, fetched with npm and checked.

npm compares what it downloads with the sums of its registry, which are kept here as `integrity`. Of
each package the named files are copied, imports by name made relative and references to source maps
left out; its licence comes along. `vendor.json` has the SHA-256 of each file: a test compares these
with the files, without a network.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.checkout import ROOT

FOLDER = ROOT / "api/console/static/vendor"

#: What is fetched: of which package and version, which file becomes which.
WANTED = {
    "preact": ("11.2.0", {"dist/preact.mjs": "preact.mjs", "hooks/dist/hooks.mjs": "hooks.mjs"}),
    "htm": ("3.1.1", {"dist/htm.mjs": "htm.mjs"}),
}

#: A browser knows no names of packages, and a map of them would be a script in the page.
IMPORTS = {"preact": "./preact.mjs"}

SUMS = FOLDER / "vendor.json"


def sum_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch() -> None:
    """Replace all of the folder's files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    packages = []
    with tempfile.TemporaryDirectory() as place:
        names = [f"{name}@{version}" for name, (version, _) in WANTED.items()]
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run([*npm, "--prefix", place, *names], check=True)
        # npm has compared these with what it downloaded.
        lock = json.loads(Path(place, "package-lock.json").read_text())["packages"]
        for name, (version, files) in WANTED.items():
            folder = Path(place, "node_modules", name)
            packages.append(_copied(folder, name, version, files, lock[f"node_modules/{name}"]))
    SUMS.write_text(json.dumps(packages, indent=2) + "\n")
    for package in packages:
        sys.stdout.write(f"{package['name']} {package['version']}, {package['licence']}\n")
        for name, digest in package["sha256"].items():
            sys.stdout.write(f"  {digest}  {name}\n")


def _copied(
    folder: Path, name: str, version: str, files: dict[str, str], locked: dict[str, Any]
) -> dict[str, Any]:
    for source, target in files.items():
        text = re.sub(
            r"\bfrom\s*\"(\w+)\"",
            lambda found: f'from"{IMPORTS[found[1]]}"',
            (folder / source).read_text(),
        )
        # The maps are not shipped; a browser's tools would ask for them.
        text = re.sub(r"\n//# sourceMappingURL=.*", "", text)
        (FOLDER / target).write_text(text)
    licence = f"{name}.LICENSE"
    (FOLDER / licence).write_text((folder / "LICENSE").read_text())
    return {
        "name": name,
        "version": version,
        "licence": json.loads((folder / "package.json").read_text())["license"],
        "integrity": locked["integrity"],
        "sha256": {one: sum_of(FOLDER / one) for one in (*files.values(), licence)},
    }


if __name__ == "__main__":
    fetch()
