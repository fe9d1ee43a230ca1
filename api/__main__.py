"""Where the `runwright` command and `python -m api` begin."""

import gc
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run the command line (default: this process's); the exit code."""
    try:
        # Imported here, without collections: they find nothing in it and take a tenth of the start.
        gc.disable()
        from api.cli.command import run_command

        gc.enable()
        return run_command(arguments)
    except KeyboardInterrupt:  # in the second that loading takes, too
        return 130


if __name__ == "__main__":
    sys.exit(main())
