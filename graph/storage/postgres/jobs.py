"""Jobs of runs in Procrastinate's tables, taken and given back by its rules and its functions.

Its own worker is not used, and its functions that end a job are not: the worker stops itself when
one connection fails, waits for its jobs then without a sign of life, and ends a job also where
another one has it by now. Here each statement says at which attempt it had the job.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from graph.state.row import RunRow
from graph.state.status import SETTLED, UNSETTLED
from graph.storage.fleet import (
    AnswerPart,
    Finished,
    FleetLoad,
    HeldRun,
    Lease,
    QueuedRun,
    StoredRun,
)
from graph.storage.postgres.connection import PostgresReader
from graph.storage.postgres.ownership import APPLICATION, FOLLOWERS, JOB_COLUMNS, ORDERS, RUNS
from graph.storage.postgres.writer import LEASE_LOST
from graph.storage.sql.index import COLUMNS as ROW
from graph.storage.sql.index import row_of
from graph.storage.sql.statements import Statement, listed

#: On which channel it is told that there is a job.
QUEUED = "runwright_queued"

#: How Postgres names what `note_written` raises: of a class that is none of its own.
OUTDATED = "RUNOD"

#: The advisory lock of who looks for jobs that nobody does.
SWEEP = 4

#: Of a run that is about to begin (`begin_run`) its row does not tell yet, but its job does: a
#: thread is at the run that has begun and not ended, else at the earliest that has not begun.
#: Procrastinate's own NOTIFY would be in the transaction that accepts a run: see `notices`.
LEASE_TABLES = f"""
    DROP TRIGGER procrastinate_jobs_notify_queue_job_inserted_v1 ON procrastinate_jobs;
    CREATE FUNCTION check_lease(mine bigint, at integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        PERFORM 1 FROM procrastinate_jobs
        WHERE id = mine AND status = 'doing' AND attempts = at FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the run was taken over' USING ERRCODE = '{LEASE_LOST}';
        END IF;
    END $$;
    CREATE FUNCTION begin_run(mine bigint, at integer, thread text) RETURNS boolean
    LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended(thread, 0));
        UPDATE procrastinate_jobs SET args = args || '{{"begun": true}}'
        WHERE id = mine AND attempts = at AND status = 'doing' AND lock = (
            SELECT run_id FROM runs WHERE thread_id = thread AND status IN ({listed(UNSETTLED)})
            ORDER BY status = 'pending', number LIMIT 1
        ) AND NOT EXISTS (
            SELECT 1 FROM runs JOIN procrastinate_jobs AS other ON other.lock = run_id
            WHERE thread_id = thread AND other.id <> mine AND other.status = 'doing'
            AND other.args->'begun' IS NOT NULL
        );
        RETURN FOUND;
    END $$;
    CREATE TABLE store_versions (prefix text COLLATE "C" PRIMARY KEY, version bigint NOT NULL);
    CREATE FUNCTION note_written(place text, seen bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO store_versions AS one VALUES (place, 1) ON CONFLICT (prefix)
            DO UPDATE SET version = one.version + 1 WHERE seen IS NULL OR one.version = seen;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'changed since it was read' USING ERRCODE = '{OUTDATED}';
        END IF;
    END $$;
    CREATE UNLOGGED TABLE answer_parts (
        run_id text COLLATE "C" NOT NULL,
        number bigint NOT NULL,
        text text NOT NULL,
        start integer NOT NULL,
        PRIMARY KEY (run_id, number)
    );
    CREATE FUNCTION end_answer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM answer_parts WHERE run_id = NEW.run_id;
        RETURN NULL;
    END $$;
    CREATE TRIGGER answers_ended AFTER UPDATE OF status ON runs FOR EACH ROW
        WHEN (NEW.completed_at IS NOT NULL) EXECUTE FUNCTION end_answer()
"""  # noqa: S608 - constants only


def job_tables() -> str:
    """Procrastinate's own tables, of the one version that is pinned."""
    return files("procrastinate").joinpath("sql", "schema.sql").read_text()


def queueing(row: RunRow) -> Statement:
    """What gives a run that was written just before its first job, and returns its place."""
    return _QUEUE, (row.run_id,)


def job_ordering(run_id: str) -> Statement:
    """What gives a run a job before those that wait, or moves the one that it has."""
    return _ORDER, (run_id,)


_MAY_BE_TAKEN = "status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now())"

#: Of two jobs of one run only one is done at a time (`lock`) and one waits (`queueing_lock`).
_QUEUE = f"""
    INSERT INTO {JOB_COLUMNS} SELECT '{RUNS}', 0, 'run', run_id, run_id, '{{"new": true}}' FROM runs
    WHERE run_id = ? ON CONFLICT DO NOTHING RETURNING 1 + (
        SELECT count(*) FROM procrastinate_jobs AS other
        WHERE other.id < procrastinate_jobs.id AND {_MAY_BE_TAKEN}
    )
"""  # noqa: S608 - constants only

_ORDER = f"""
    INSERT INTO {JOB_COLUMNS} SELECT '{ORDERS}', 1, 'run', run_id, run_id, '{{}}' FROM runs
    WHERE run_id = ?
    ON CONFLICT (queueing_lock) WHERE status = 'todo'
    DO UPDATE SET queue_name = '{ORDERS}', priority = 1, scheduled_at = NULL
"""  # noqa: S608 - constants only

_TAKE = f"""
    SELECT job, attempt, since, run, fresh, waited, coalesce(begins, FALSE),
        {", ".join(f"(stored).{name}" for name in ROW.split(", "))}
    FROM take_run(?::varchar[], ?) WHERE job IS NOT NULL
"""  # noqa: S608 - constants only

_FINISH = "SELECT gone, more FROM finish_run(?, ?, ?, ?)"

#: Where another job of the run waits, that one stays instead, and knows of the attempts.
_GIVE_BACK = """
    WITH gone AS (
        SELECT one.id, one.lock, twin.id AS twin, one.attempts FROM procrastinate_jobs AS one
        LEFT JOIN procrastinate_jobs AS twin
        ON twin.queueing_lock = one.queueing_lock AND twin.status = 'todo'
        WHERE one.status = 'doing' AND {which} FOR UPDATE OF one
    ), noted AS (
        UPDATE runs SET starts = {first}, checkpoint_id = NULL FROM gone
        WHERE {in_order} AND run_id = gone.lock AND completed_at IS NULL
    ), joined AS (
        UPDATE procrastinate_jobs SET attempts = gone.attempts + 1 FROM gone
        WHERE procrastinate_jobs.id = gone.twin
    ), removed AS (
        DELETE FROM procrastinate_jobs USING gone
        WHERE procrastinate_jobs.id = gone.id AND gone.twin IS NOT NULL
    )
    UPDATE procrastinate_jobs SET status = 'todo', attempts = gone.attempts + 1, worker_id = NULL,
        args = {args}, scheduled_at = {at}
    FROM gone WHERE procrastinate_jobs.id = gone.id AND gone.twin IS NULL
    RETURNING pg_notify('{channel}', '')
"""

#: What the run has for its starts that was given back in order: nobody has died of it.
IN_ORDER = -1

_LEFT = {"first": IN_ORDER, "in_order": "FALSE", "args": "args", "at": "NULL", "channel": QUEUED}

_GIVE_BACK_ONE = _GIVE_BACK.format(
    which="one.id = ? AND one.attempts = ?",
    first=IN_ORDER,
    in_order="?",
    args="""CASE WHEN ?::float8 IS NULL THEN args ELSE args - 'begun' || '{"waits": true}' END""",
    at="""CASE WHEN (args->>'hurried')::float8 = ? THEN NULL
        ELSE now() + make_interval(secs => ?) END""",
    channel=QUEUED,
)

_GIVE_BACK_GHOSTS = _GIVE_BACK.format(which="one.worker_id = ? AND one.id = ANY(?)", **_LEFT)

#: A worker that has left in order or was forgotten has no number in its jobs any more.
_GIVE_BACK_STALLED = _GIVE_BACK.format(which="one.worker_id IS NULL", **_LEFT)

_FORGET = """
    DELETE FROM procrastinate_workers WHERE id <> ?
    AND last_heartbeat < now() - make_interval(secs => ?)
    AND pg_try_advisory_xact_lock(?, ?) RETURNING id
"""

_DOING = "SELECT id FROM procrastinate_jobs WHERE worker_id = ? AND status = 'doing'"

_HELD = """
    SELECT job.id, job.attempts, mark, coalesce(run.cancel_at IS NOT NULL, FALSE),
        (job.args->>'hurried')::float8
    FROM since_loss, procrastinate_jobs AS job LEFT JOIN runs AS run ON run.run_id = job.lock
    WHERE job.id = ANY(?) AND job.status = 'doing'
"""

_HURRY = """
    UPDATE procrastinate_jobs SET args = jsonb_set(args, '{hurried}', to_jsonb(?::float8)),
        scheduled_at = CASE WHEN status = 'doing' THEN scheduled_at END
    WHERE lock = ? AND status IN ('todo', 'doing') RETURNING id
"""

#: Runs that another program has written, or the mode of one process, have no jobs.
_AUDIT = f"""
    INSERT INTO {JOB_COLUMNS} SELECT '{RUNS}', 0, 'run', run_id, run_id, '{{}}' FROM runs
    WHERE (status IN ('pending', 'running')
        OR status = 'waiting' AND (decision IS NOT NULL OR cancel_at IS NOT NULL))
    AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs AS job
        WHERE job.queueing_lock = run_id AND job.status IN ('todo', 'doing'))
    AND (status <> 'pending' OR cancel_at IS NOT NULL OR NOT EXISTS (SELECT 1 FROM runs AS other
        WHERE other.thread_id = runs.thread_id AND other.run_id <> runs.run_id
        AND other.status IN ({listed(UNSETTLED)})
        AND (other.status <> 'pending' OR other.number < runs.number)))
    ORDER BY rowid ON CONFLICT DO NOTHING RETURNING id
"""  # noqa: S608 - constants only

_WORKERS = """
    SELECT count(*) FROM procrastinate_workers
    WHERE last_heartbeat >= now() - make_interval(secs => ?)
"""

_POSITION = f"""
    SELECT (SELECT count(*) FROM procrastinate_jobs WHERE id <= job.id AND {_MAY_BE_TAKEN})
    FROM procrastinate_jobs AS job WHERE job.queueing_lock = ? AND job.status = 'todo'
"""  # noqa: S608 - constants only

_WAITING = f"""
    SELECT count(*), count(*) FILTER (WHERE {_MAY_BE_TAKEN}) FROM procrastinate_jobs
    WHERE status = 'todo'
"""  # noqa: S608 - constants only

_HOW_FAR = """
    SELECT run_id, (SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = run_id
        AND checkpoint_ns = ''), generation
    FROM runs WHERE
"""

_STORED = f"{_HOW_FAR} run_id = ANY(?)"

_ENDED_OF_LATE = f"status IN ({listed(SETTLED)}) AND completed_at > extract(epoch FROM now()) - ?"

_LOAD = f"""
    SELECT (SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'),
        (SELECT count(*) FROM runs WHERE {_ENDED_OF_LATE}),
        (SELECT count(*) FROM procrastinate_workers
            WHERE last_heartbeat >= now() - make_interval(secs => ?)),
        EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted
            AND classid = {APPLICATION} AND objid = {FOLLOWERS}
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""  # noqa: S608 - constants only

_CHANGED = f"{_HOW_FAR} status IN ({listed(UNSETTLED)}) UNION ALL {_HOW_FAR} {_ENDED_OF_LATE}"

#: The last words are gathered when their run has ended already; nobody removes them after that.
_SPEAK = """
    INSERT INTO answer_parts
    SELECT run_id, part.* FROM runs, unnest(?::bigint[], ?::text[], ?::int[]) AS part
    WHERE run_id = ? AND completed_at IS NULL
    ON CONFLICT DO NOTHING RETURNING number
"""

_SPOKEN = """
    SELECT number, text, start FROM answer_parts WHERE run_id = ? AND number > ?
    ORDER BY number
"""


class PostgresJobs:
    """Each call is a transaction of its own, on connections that nothing else holds up."""

    def __init__(self, connections: PostgresReader) -> None:
        self._connections = connections

    async def join(self) -> int:
        [(worker,)] = await self._rows("SELECT worker_id FROM procrastinate_register_worker_v1()")
        return int(worker)

    async def leave(self, worker: int) -> None:
        await self._rows("SELECT procrastinate_unregister_worker_v1(?)", worker)

    async def heartbeat(self, worker: int) -> bool:
        sql = "UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = ? RETURNING 1"
        return bool(await self._rows(sql, worker))

    async def take(self, worker: int, *, orders_only: bool) -> QueuedRun | None:
        queues = [ORDERS] if orders_only else [ORDERS, RUNS]
        for job, attempts, mark, run_id, new, waited, begins, *row in await self._rows(
            _TAKE, queues, worker
        ):
            stored = None if row[0] is None else row_of(row)
            return QueuedRun(run_id, Lease(job, attempts, mark), new, waited, begins, stored)
        return None

    async def finish(
        self, lease: Lease, thread_id: str, *, only_if_ended: bool = False
    ) -> Finished:
        values = lease.job, lease.attempts, thread_id, only_if_ended
        [(gone, more)] = await self._rows(_FINISH, *values)
        return Finished(gone, bool(more))

    async def give_back(
        self, lease: Lease, *, pause: float = 0.0, due: float | None = None, failed: bool = False
    ) -> None:
        place = lease.job, lease.attempts
        await self._rows(_GIVE_BACK_ONE, *place, not failed, due, due, pause)

    async def held(self, leases: Sequence[Lease]) -> Sequence[HeldRun]:
        rows = await self._rows(_HELD, [one.job for one in leases])
        return [HeldRun(Lease(*row[:3]), *row[3:]) for row in rows]

    async def doing(self, worker: int) -> Sequence[int]:
        return [job for (job,) in await self._rows(_DOING, worker)]

    async def sweep(
        self, worker: int, left: Sequence[int], *, silent: float, steady: bool
    ) -> tuple[int, int]:
        given = dead = 0
        if left:
            given += len(await self._rows(_GIVE_BACK_GHOSTS, worker, [*left]))
        if steady:
            dead = len(await self._rows(_FORGET, worker, silent, APPLICATION, SWEEP))
            given += len(await self._rows(_GIVE_BACK_STALLED))
        return given, dead

    async def audit(self) -> int:
        return len(await self._rows(_AUDIT))

    async def hurry(self, run_id: str, due: float) -> bool:
        return bool(await self._rows(_HURRY, due, run_id))

    async def position(self, run_id: str) -> int | None:
        return next((int(place) for (place,) in await self._rows(_POSITION, run_id)), None)

    async def workers(self, silent: float) -> int:
        [(count,)] = await self._rows(_WORKERS, silent)
        return int(count)

    async def waiting(self, *, due: bool = False) -> int:
        [counts] = await self._rows(_WAITING)
        return int(counts[due])

    async def load(self, seconds: float, silent: float) -> FleetLoad:
        [counts] = await self._rows(_LOAD, seconds, silent)
        return FleetLoad(*counts)

    async def changed(self, seconds: float) -> Mapping[str, StoredRun]:
        rows = await self._rows(_CHANGED, seconds)
        return {run_id: StoredRun(latest, generation) for run_id, latest, generation in rows}

    async def stored(self, run_ids: Sequence[str]) -> Mapping[str, StoredRun]:
        rows = await self._rows(_STORED, [*run_ids])
        return {run_id: StoredRun(latest, generation) for run_id, latest, generation in rows}

    async def speak(self, run_id: str, parts: Sequence[AnswerPart]) -> None:
        columns = ("number", "text", "offset")
        values = ([getattr(part, name) for part in parts] for name in columns)
        await self._rows(_SPEAK, *values, run_id)

    async def spoken(self, run_id: str, after: int) -> Sequence[AnswerPart]:
        return [AnswerPart(*row) for row in await self._rows(_SPOKEN, run_id, after)]

    async def aclose(self) -> None:
        await self._connections.aclose()

    async def _rows(self, sql: str, *values: Any) -> Sequence[Any]:
        return await self._connections.execute_fetchall(sql, values)
