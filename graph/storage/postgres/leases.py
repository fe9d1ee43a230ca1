"""Leases of jobs: how one is taken, what it is looked at by, and that it ends with a crash.

Checkpoints and effects do not wait for the disk. A database that crashes, or is replaced by its
standby, may have lost the last of them under a process that lives and knows of them, and what that
one writes next would build on what is not there. So a lease is of the time since such a loss: a
table that is not logged is empty after one, and after nothing else, and has the mark of that time.
Who has a lease of another one is refused, and the run goes on from what is stored.
"""

from graph.storage.fleet import Lease
from graph.storage.sql.statements import Statement

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


def check(lease: Lease) -> Statement:
    """What fails in a transaction of who has not the lease any more."""
    return "SELECT check_lease(?, ?, ?)", (lease.job, lease.attempts, lease.mark)
