"""Where the files of the tests go: `python -m tests.support.databases.place` prints the folder.

That is memory, where there is room for them: a test that stores something waits longer for syncs of
the disk than for anything else, and what it stores need not outlive a power cut.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

#: A file system in memory, as Linux has it.
MEMORY = Path("/dev/shm")

#: What all of them may take, in bytes; a container's has 64 MB.
ROOM = 2 * 2**30


def place(memory: Path = MEMORY) -> Path:
    """`memory`, where it has the room and programs can be started from it, else as usual."""
    if not os.access(memory, os.W_OK | os.X_OK) or shutil.disk_usage(memory).free < ROOM:
        return Path(tempfile.gettempdir())
    if os.statvfs(memory).f_flag & os.ST_NOEXEC:
        return Path(tempfile.gettempdir())
    return memory


if __name__ == "__main__":
    sys.stdout.write(f"{place()}\n")
