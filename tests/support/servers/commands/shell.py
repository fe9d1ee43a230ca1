"""`runwright` for shells, forked: `python -m tests.support.servers.commands.shell ARGUMENTS`.

It starts in a twentieth of the time, with the streams, folder and environment that the shell gives
it. `shell_word` is what to write in a script.
"""

import os
import shlex
import sys
from pathlib import Path

from tests.support.servers.forks.forked import Forked, fork_server


def forking() -> list[str]:
    """The command, for what starts a program by its name, in the project's folder."""
    fork_server()  # here, not by a command whose streams may be closed
    return [sys.executable, "-S", "-m", "tests.support.servers.commands.shell"]


def shell_word() -> str:
    """The command, for a shell whose folder is the project's."""
    return shlex.join(forking())


def main() -> int:
    """What the program exits with; as shells have it, a signal's number and 128."""
    started = Forked(sys.argv[1:], cwd=Path.cwd(), env=os.environ)
    code = started.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
