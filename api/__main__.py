"""Where the `runwright` command and `python -m api` begin."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: The packages of this program, under names that somebody else's may have as well.
PACKAGES = ("api", "graph", "nodes", "tools")

#: What others import where they find it, do without where they do not, and use for nothing that is
#: called here: 5 MB. HTTPX has a command line in colours. LangSmith's client, which LangChain
#: loads, prefers HTTPX's next version to the one that is there, and names a type of OpenTelemetry's
#: SDK, which is loaded where traces are exported.
DISPENSABLE = ("httpx._main", "httpx2", "opentelemetry.sdk")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line (default: this process's); the exit code."""
    try:
        # Imported here, where nothing else is collected than what has just been left over: a whole
        # collection finds nothing more, and takes a quarter of a second by the end. What is loaded
        # by then stays, and is in none of those to come.
        usual = gc.get_threshold()
        gc.set_threshold(5_000, 1_000, 1_000)
        with _without(*DISPENSABLE):
            from api.cli.command import run_command

        gc.freeze()
        gc.set_threshold(*usual)
        return run_command(arguments)
    except KeyboardInterrupt:  # in the second that loading takes, too
        return 130
    except ImportError:
        if (package := _hidden()) is None:
            raise
        sys.stderr.write(
            f"runwright: {package!r} is a package of Runwright, but Python finds another one first;"
            " rename that, or take its folder out of PYTHONPATH\n"
        )
        return 2


@contextmanager
def _without(*modules: str) -> Iterator[None]:
    """Where modules are not to be found, as importlib documents it, but those there already."""
    hidden = [module for module in modules if module not in sys.modules]
    sys.modules |= dict.fromkeys(hidden)  # type: ignore[arg-type]  # what says that they are not
    try:
        yield
    finally:
        for module in hidden:
            del sys.modules[module]


def _hidden() -> str | None:
    """The package of ours instead of which somebody's own was loaded."""
    from pathlib import Path

    ours = Path(__file__).resolve().parents[1]
    for package in PACKAGES:
        spec = getattr(sys.modules.get(package), "__spec__", None)
        places = [*(spec.submodule_search_locations or ()), spec.origin or ""] if spec else []
        found = [Path(place).resolve() for place in places if place]
        if not all(ours in place.parents for place in found):
            return package
    return None


if __name__ == "__main__":
    sys.exit(main())
