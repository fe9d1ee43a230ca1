"""Where the `runwright` command and `python -m api` begin."""

import gc
import sys

#: The packages of this program, under names that somebody else's may have as well.
PACKAGES = ("api", "graph", "nodes", "tools")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line (default: this process's); the exit code."""
    try:
        # Imported here, without collections: they find nothing in it, and each of them would take
        # a quarter of a second by its end. What is loaded by then stays, and is in none of those
        # to come.
        gc.disable()
        from api.cli.command import run_command

        gc.freeze()
        gc.enable()
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
