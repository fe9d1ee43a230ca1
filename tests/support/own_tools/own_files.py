"""A user's own files in a working folder of their own, whose modules are forgotten afterwards."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def own_files(files: Mapping[str, str]) -> Iterator[Path]:
    """The working folder with these files, by their paths in it."""
    path, modules = sys.path[:], set(sys.modules)
    with TemporaryDirectory() as name, chdir(name):
        folder = Path(name).resolve()
        for place, code in files.items():
            file = folder / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(code)
        importlib.invalidate_caches()
        try:
            yield folder
        finally:
            sys.path[:] = path
            for module in set(sys.modules) - modules:
                if str(getattr(sys.modules[module], "__file__", "")).startswith(name):
                    del sys.modules[module]
