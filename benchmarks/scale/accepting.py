"""How many jobs a second Postgres takes, as they are and with Procrastinate's own news.

All transactions of a database that tell news wait for one another until each is on the disk,
however many servers there are: they would bound how many runs a second a fleet accepts.
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

#: What Procrastinate has, and our tables have not.
_NEWS = """
    CREATE TRIGGER news AFTER INSERT ON runwright.procrastinate_jobs FOR EACH ROW
    EXECUTE FUNCTION runwright.procrastinate_notify_queue_job_inserted_v1()
"""


def accepting(database: Database, clients: int = 16, seconds: int = 8) -> dict[str, float]:
    """Of so many connections, each of which waits for the disk."""
    database.empty()
    stored = _per_second(database, clients, seconds)
    database.execute(_NEWS)
    try:
        told = _per_second(database, clients, seconds)
    finally:
        database.execute("DROP TRIGGER news ON runwright.procrastinate_jobs")
    return {"jobs stored, 1/s": stored, "the same with news, 1/s": told}


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
