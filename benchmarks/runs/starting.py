"""How long a start takes and what it needs, beside the imports that it cannot do without."""

import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.runs.load import measured
from benchmarks.server import HERE, server

IMPORTS = "import langgraph.graph, fastapi, uvicorn, aiosqlite"

#: By when a server has loaded what it loads beside its first answers, in seconds.
AT_REST = 2.0

#: What a process says of itself when it has imported them.
_TELL = "print(open('/proc/self/status').read(), time.process_time())"


def one_round(checkout: Path = HERE) -> dict[str, float]:
    """Seconds until the first 200 and CPU by then, memory afterwards; the same of the imports."""
    began = time.perf_counter()
    code = f"import time\n{IMPORTS}\n{_TELL}"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    imports_mb = int(re.search(r"VmRSS:\s+(\d+)", told.stdout)[1]) / 1024
    imports_cpu = float(told.stdout.split()[-1])
    with server(checkout=checkout) as started:
        cpu, memory = started.cpu_ms() / 1000, started.memory_mb()
        time.sleep(AT_REST)
        at_rest = started.memory_mb()
        return {
            "imports, s": seconds,
            "start to the first 200, s": started.start_seconds,
            "start ÷ imports": started.start_seconds / seconds,
            "imports, CPU s": imports_cpu,
            "start, CPU s": cpu,
            "start ÷ imports, CPU": cpu / imports_cpu,
            "imports, MB": imports_mb,
            "memory at start, MB": memory,
            "memory at start above the imports, MB": memory - imports_mb,
            "memory at rest above the imports, MB": at_rest - imports_mb,
        }


def memory(runs: int, checkout: Path = HERE) -> dict[str, float]:
    """Whether a server grows with the runs that it has done, 16 at a time."""
    with measured(100, checkout=checkout) as started:
        first = started.server.memory_mb()
        started.load(100, 16, "waiting")
        early = started.server.memory_mb()
        # What is read and written stays as small as it was, whoever asks for it.
        one = {"x-api-key": "rw_benchmark-00000000"}
        started.load(runs - 100, 16, "waiting", "what is 2 + 1", owner=one)
        late = started.server.memory_mb()
    return {
        "memory at start, MB": first,
        "memory after 100 runs, MB": early,
        f"memory after {runs} runs, MB": late,
        "growth, MB": late - early,
    }
