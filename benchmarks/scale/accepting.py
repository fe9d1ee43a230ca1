"""How many jobs a second Postgres takes, with the news that are told in the same transaction.

All transactions of a database that tell news wait for one another until each is on the disk,
however many servers there are: that bounds how many runs a second a fleet accepts.
"""

import re
import subprocess
import tempfile
from pathlib import Path

from benchmarks.scale.database import Database

#: What stores a job, as a server does with the run that it is of.
_SCRIPT = """
INSERT INTO runwright.procrastinate_jobs
    (queue_name, priority, task_name, lock, queueing_lock, args)
    VALUES ('runs', 0, 'run', gen_random_uuid()::text, gen_random_uuid()::text, '{"new": true}');
"""

_TRIGGERS = "ALTER TABLE runwright.procrastinate_jobs {} TRIGGER USER"


def accepting(database: Database, clients: int = 16, seconds: int = 8) -> dict[str, float]:
    """Of so many connections, each of which waits for the disk."""
    database.empty()
    told = _per_second(database, clients, seconds)
    database.execute(_TRIGGERS.format("DISABLE"))
    try:
        untold = _per_second(database, clients, seconds)
    finally:
        database.execute(_TRIGGERS.format("ENABLE"))
    return {"jobs stored with news, 1/s": told, "the same without news, 1/s": untold}


def _per_second(database: Database, clients: int, seconds: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.sql"
        script.write_text(_SCRIPT.replace("\n", " ").strip() + "\n")
        done = subprocess.run(
            [
                *(database.programs / "pgbench", "--no-vacuum", f"--file={script}"),
                *(f"--client={clients}", "--jobs=2", f"--time={seconds}", database.url),
            ],
            capture_output=True,
            text=True,
            check=True,
            env={"PGOPTIONS": "-c search_path=runwright"},
        )
    [found] = re.findall(r"tps = ([\d.]+) \(without", done.stdout)
    return float(found)
