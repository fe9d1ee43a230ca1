"""Leases of jobs: how one is taken and ended, and that it ends with a crash.

Checkpoints and effects do not wait for the disk. A database that crashes, or is replaced by its
standby, may have lost the last of them under a process that lives and knows of them, and what that
one writes next would build on what is not there. So a lease is of the time since such a loss: a
table that is not logged is empty after one, and after nothing else, and has the mark of that time.
Who has a lease of another one is refused, and the run goes on from what is stored.
"""

from graph.state.status import UNSETTLED
from graph.storage.fleet import Lease, SoleLease
from graph.storage.postgres.connection import SCHEMA
from graph.storage.sql.statements import Statement, listed

#: Where jobs are, and what stores one.
COLUMNS = "procrastinate_jobs (queue_name, priority, task_name, lock, queueing_lock, args)"

#: The queues: runs in the order of acceptance, and orders, which are carried out before.
RUNS, ORDERS = "runs", "orders"

#: How Postgres names what `check_lease` raises: of a class that is none of its own.
LEASE_LOST = "RUNLL"

#: `check_lease` with two arguments is that of earlier programs.
MARK_TABLES = f"""
    CREATE UNLOGGED TABLE since_loss (
        id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
        mark text NOT NULL DEFAULT gen_random_uuid()::text
    );
    CREATE FUNCTION current_mark() RETURNS text LANGUAGE plpgsql AS $$ DECLARE current text; BEGIN
        SELECT mark INTO current FROM since_loss;
        IF NOT FOUND THEN
            INSERT INTO since_loss DEFAULT VALUES ON CONFLICT DO NOTHING;
            SELECT mark INTO current FROM since_loss;
        END IF;
        RETURN current;
    END $$;
    CREATE FUNCTION check_lease(mine bigint, at integer, since text) RETURNS void
    LANGUAGE plpgsql AS $$ BEGIN
        PERFORM 1 FROM procrastinate_jobs, since_loss
        WHERE procrastinate_jobs.id = mine AND status = 'doing' AND attempts = at AND mark = since
        FOR SHARE OF procrastinate_jobs;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the run was taken over' USING ERRCODE = '{LEASE_LOST}';
        END IF;
    END $$
"""  # noqa: S608 - constants only

#: How a worker takes a job, in one transaction. The row of the run is read when its job is taken,
#: so that what was ordered before is in it.
TAKE_FUNCTION = """
    CREATE FUNCTION take_run(
        queues varchar[], worker bigint, OUT job bigint, OUT attempt integer, OUT since text,
        OUT run text, OUT fresh boolean, OUT waited boolean, OUT begins boolean, OUT stored runs
    ) LANGUAGE plpgsql AS $$ DECLARE taken procrastinate_jobs; BEGIN
        taken := procrastinate_fetch_job_v2(queues, worker);
        IF taken.id IS NULL THEN
            RETURN;
        END IF;
        job := taken.id; attempt := taken.attempts; since := current_mark();
        run := taken.queueing_lock; fresh := attempt = 0 AND taken.args->'new' IS NOT NULL;
        waited := taken.args->'waits' IS NOT NULL AND taken.args->'begun' IS NULL;
        SELECT * INTO stored FROM runs WHERE run_id = run;
        IF stored.status IN ('pending', 'running') AND stored.cancel_at IS NULL THEN
            begins := begin_run(job, attempt, stored.thread_id);
        END IF;
    END $$
"""

#: And how it ends one. The run that the thread is at next has no job where it found another one
#: before it; of two that end jobs of a thread the second sees what the first has left. `more` says
#: that there is a job of which nothing is told. One that is just being taken is seen as it was: to
#: wait for it would be to wait for each other. The job's run is looked up before its status: a join
#: of the two goes through all that have lately been unsettled.
FINISH_FUNCTION = f"""
    CREATE OR REPLACE FUNCTION finish_run(
        mine bigint, at integer, thread text, only_if_ended boolean, OUT gone boolean,
        OUT more boolean
    ) LANGUAGE plpgsql AS $$ DECLARE run text; BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended(thread, 0));
        gone := NOT only_if_ended;
        IF NOT gone THEN
            SELECT lock INTO run FROM procrastinate_jobs WHERE id = mine;
            gone := NOT coalesce(
                (SELECT status IN ('pending', 'running') FROM runs WHERE run_id = run), FALSE
            );
        END IF;
        IF NOT gone THEN
            RETURN;
        END IF;
        DELETE FROM procrastinate_jobs WHERE id = mine AND attempts = at AND status = 'doing'
            RETURNING lock INTO run;
        INSERT INTO {COLUMNS} SELECT '{RUNS}', 0, 'run', run_id, run_id, '{{}}' FROM (
            SELECT run_id, status FROM runs
            WHERE thread_id = thread AND status IN ({listed(UNSETTLED)})
            ORDER BY status = 'pending', number LIMIT 1
        ) AS head WHERE status = 'pending' AND NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs AS job
            WHERE job.lock = run_id AND job.status IN ('todo', 'doing')
        ) ON CONFLICT DO NOTHING;
        more := FOUND OR EXISTS (
            SELECT 1 FROM procrastinate_jobs AS job WHERE job.lock = run AND job.status = 'todo'
        );
    END $$
"""  # noqa: S608 - constants only


#: Where nobody else takes runs nothing is to be looked at but the mark; no job is the 0th.
_CHECK_MARK = f"""
    CASE WHEN NOT EXISTS (SELECT 1 FROM {SCHEMA}.since_loss WHERE mark = ?)
    THEN {SCHEMA}.check_lease(0, -1, '') END
"""  # noqa: S608 - constants only


def check(lease: Lease | SoleLease) -> Statement:
    """The expression that fails in a transaction of who has not the lease any more."""
    if isinstance(lease, SoleLease):
        return _CHECK_MARK, (lease.mark,)
    return f"{SCHEMA}.check_lease(?, ?, ?)", (lease.job, lease.attempts, lease.mark)
