"""Reads the tables of a fleet afterwards: who did what, and whether anything was done twice."""

from collections.abc import Iterator

from tests.support.databases.postgres import PostgresServer

#: Runs that more than one checkpoint follows the same one of, or that began more than once.
_FORKED = """
    SELECT thread_id, coalesce(parent_checkpoint_id, 'none') FROM runwright.checkpoints
    GROUP BY 1, 2 HAVING count(*) > 1
"""

_LOST_PARENT = """
    SELECT thread_id, checkpoint_id FROM runwright.checkpoints AS one
    WHERE parent_checkpoint_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM runwright.checkpoints AS parent WHERE parent.thread_id = one.thread_id
        AND parent.checkpoint_id = one.parent_checkpoint_id)
"""

_NO_RUN = """
    SELECT thread_id FROM runwright.checkpoints
    WHERE thread_id NOT IN (SELECT run_id FROM runwright.runs)
"""

#: What is stored once has one time; written again it has two.
_TWICE = """
    SELECT prefix, key FROM runwright.store
    WHERE prefix LIKE 'laid%' AND updated_at - created_at > interval '1 ms'
"""

_UNSETTLED = """
    SELECT run_id, status FROM runwright.runs
    WHERE status NOT IN ('completed', 'failed', 'cancelled')
"""

_JOBS = "SELECT lock, status::text FROM runwright.procrastinate_jobs"


def breaches(postgres: PostgresServer) -> Iterator[str]:
    """What should not be, one line each."""
    for what, sql in (
        ("forked", _FORKED),
        ("parent lost", _LOST_PARENT),
        ("no run", _NO_RUN),
        ("effect twice", _TWICE),
        ("not settled", _UNSETTLED),
    ):
        for row in postgres.execute(sql):
            yield f"{what}: {row}"


def jobs_left(postgres: PostgresServer) -> list[tuple[str, str]]:
    """The jobs that are not done."""
    return [(str(run_id), str(status)) for run_id, status in postgres.execute(_JOBS)]


def effects(postgres: PostgresServer) -> list[str]:
    """The words of what was laid down, sorted."""
    rows = postgres.execute(
        "SELECT value::json->>'words' FROM runwright.store WHERE prefix LIKE 'laid%'"
    )
    return sorted(str(words) for (words,) in rows)
