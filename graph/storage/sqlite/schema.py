"""The versions of the tables beside LangGraph's own, and how each comes from the one before.

Triggers write down who did what, and what is to be posted.
"""

from graph.state.status import SETTLED, SETTLED_OR_WAITING, UNSETTLED
from graph.storage.sql.bookkeeping import ANSWER, FIRST_ENTRY
from graph.storage.sql.statements import NUMBERS, listed
from graph.storage.sqlite.maintenance import SEARCH_TABLES, SORT_INDEXES, TEXT_TABLES

_DECIDED = ANSWER.format("json_extract({0}decision, '$.what')")

_RETRIED, _ANSWERED = (
    f"json_extract({{0}}{column}, '$.at'), {{0}}owner, {{0}}run_id, {{1}},"
    f" json_extract({{0}}{column}, '$.by')"
    for column in ("retry", "decision")
)


def _noting(name: str, event: str, when: str, values: str) -> str:
    return f"""
    CREATE TRIGGER audit_{name} AFTER {event} ON runs WHEN {when} BEGIN
        INSERT INTO audit (at, owner, run_id, kind, actor) SELECT {values};
    END
    """


#: Who did what, beyond the run; what is known of runs that there are is the first of it.
AUDIT_TABLES = (
    "ALTER TABLE runs ADD COLUMN posted_by TEXT",
    "ALTER TABLE runs ADD COLUMN traceparent TEXT",
    """
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        owner TEXT NOT NULL,
        run_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        actor TEXT NOT NULL
    )
    """,
    f"""
    INSERT INTO audit (at, owner, run_id, kind, actor) SELECT * FROM (
        SELECT created_at AS at, owner, run_id, {FIRST_ENTRY.format("")}, owner FROM runs
        UNION ALL SELECT cancel_at, owner, run_id, 'cancel', coalesce(cancel_by, 'server')
        FROM runs WHERE cancel_at IS NOT NULL
        UNION ALL SELECT {_RETRIED.format("", "'retry'")} FROM runs WHERE retry IS NOT NULL
        UNION ALL SELECT {_ANSWERED.format("", _DECIDED.format(""))}
        FROM runs WHERE decision IS NOT NULL
    ) ORDER BY at
    """,  # noqa: S608 - constants only
    "CREATE INDEX audit_of_owner ON audit (owner, number)",
    "CREATE INDEX audit_of_run ON audit (run_id)",
    "CREATE INDEX audit_of_removed ON audit (at) WHERE kind = 'delete'",
    _noting(
        "posted",
        "INSERT",
        "TRUE",
        f"new.created_at, new.owner, new.run_id, {FIRST_ENTRY.format('new.')},"
        " coalesce(new.posted_by, new.owner)",
    ),
    _noting(
        "cancelled",
        "UPDATE OF cancel_at",
        "old.cancel_at IS NULL AND new.cancel_at IS NOT NULL",
        "new.cancel_at, new.owner, new.run_id, 'cancel', coalesce(new.cancel_by, 'server')",
    ),
    _noting(
        "retried",
        "UPDATE OF retry",
        "new.retry IS NOT NULL AND new.generation > old.generation",
        _RETRIED.format("new.", "'retry'"),
    ),
    _noting(
        "decided",
        "UPDATE OF decision",
        "new.decision IS NOT NULL AND new.decision IS NOT old.decision",
        _ANSWERED.format("new.", _DECIDED.format("new.")),
    ),
)


#: Marks a SQLite file as ours ("RUNW"), where `file` and `PRAGMA application_id` show it.
APPLICATION_ID = 0x52554E57

#: A run that is removed takes its key along.
KEY_TABLES = (
    """
    CREATE TABLE request_keys (
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        run_id TEXT NOT NULL,
        created_at REAL NOT NULL,
        UNIQUE (owner, name)
    )
    """,
    "CREATE INDEX request_keys_by_age ON request_keys (created_at)",
    "CREATE INDEX request_keys_by_run ON request_keys (run_id)",
    """
    CREATE TRIGGER request_keys_removed AFTER DELETE ON runs BEGIN
        DELETE FROM request_keys WHERE run_id = old.run_id;
    END
    """,
)


#: A run that is removed leaves the sums as they are. `usd` is null where a price is not known, and
#: stays so whatever is added.
SPENDING_TABLES = (
    """
    CREATE TABLE spending (
        day TEXT NOT NULL,
        owner TEXT NOT NULL,
        usd REAL,
        tokens INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        PRIMARY KEY (day, owner)
    ) WITHOUT ROWID
    """,
    # The key of the planning call that was counted last.
    "ALTER TABLE runs ADD COLUMN counted TEXT",
)

#: What calls under way may cost. What is left of it when the file is opened, belongs to calls whose
#: process was killed: nobody knows what they have cost.
HELD_TABLES = (
    """
    CREATE TABLE spending_held (
        run TEXT NOT NULL,
        call TEXT NOT NULL,
        day TEXT NOT NULL,
        owner TEXT NOT NULL,
        usd REAL,
        tokens INTEGER NOT NULL,
        PRIMARY KEY (run, call)
    ) WITHOUT ROWID
    """,
)


#: What a run asks about a step in doubt, and what was learned of it since.
DOUBT_COLUMNS = (
    "ALTER TABLE runs ADD COLUMN question INTEGER",
    "ALTER TABLE runs ADD COLUMN learned TEXT",
)


_BYTES_ASKED = "length(CAST(new.prompt AS BLOB)) + length(CAST(coalesce(new.seed, '') AS BLOB))"

#: A new run gets its number, and its request is counted.
_NUMBERED = f"""
    CREATE TRIGGER runs_numbered AFTER INSERT ON runs BEGIN
        INSERT INTO owners (owner, last, runs) VALUES (new.owner, 1, 1)
        ON CONFLICT (owner) DO UPDATE SET last = last + 1, runs = runs + 1;
        UPDATE runs SET bytes = {{bytes}}, number = (
            SELECT ordinal * {NUMBERS} + last FROM owners WHERE owner = new.owner
        )
        WHERE run_id = new.run_id;
        INSERT INTO runs_text (rowid, prompt)
        SELECT number, searchable(prompt) FROM runs WHERE run_id = new.run_id;
    END
"""  # noqa: S608 - constants only

#: What each owner keeps, summed up by triggers. `last` is the number of the latest run within those
#: of its owner, and is given once. `bytes` of a run are those of its request until they are counted
#: anew, which is done where it stops; null where that was never done.
OWNER_TABLES = (
    """
    CREATE TABLE owners (
        ordinal INTEGER PRIMARY KEY,
        owner TEXT NOT NULL UNIQUE,
        last INTEGER NOT NULL,
        runs INTEGER NOT NULL,
        bytes INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    INSERT INTO owners (owner, last, runs)
    SELECT owner, count(*), count(*) FROM runs GROUP BY owner ORDER BY min(number)
    """,
    "ALTER TABLE runs ADD COLUMN bytes INTEGER",
    "DROP INDEX runs_number",
    f"""
    UPDATE runs SET number = renumbered.number FROM (
        SELECT run_id, ordinal * {NUMBERS}
            + row_number() OVER (PARTITION BY runs.owner ORDER BY number) AS number
        FROM runs JOIN owners ON owners.owner = runs.owner
    ) AS renumbered
    WHERE runs.run_id = renumbered.run_id
    """,  # noqa: S608 - constants only
    "CREATE UNIQUE INDEX runs_number ON runs (number)",
    "INSERT INTO runs_text (runs_text) VALUES ('delete-all')",
    """
    INSERT INTO runs_text (rowid, prompt)
    SELECT number, searchable(prompt) FROM runs ORDER BY number
    """,
    "DROP TRIGGER runs_numbered",
    _NUMBERED.format(bytes=_BYTES_ASKED),
    """
    CREATE TRIGGER runs_counted AFTER UPDATE OF bytes ON runs BEGIN
        UPDATE owners SET bytes = bytes + new.bytes - coalesce(old.bytes, 0)
        WHERE owner = new.owner;
    END
    """,
    """
    CREATE TRIGGER runs_left AFTER DELETE ON runs BEGIN
        UPDATE owners SET runs = runs - 1, bytes = bytes - coalesce(old.bytes, 0)
        WHERE owner = old.owner;
    END
    """,
)

#: What runs were given beside their prompts; the index of all filters covers what is sought.
CHOICE_COLUMNS = (
    "ALTER TABLE runs ADD COLUMN choice TEXT",
    "ALTER TABLE runs ADD COLUMN metadata TEXT",
    "DROP INDEX runs_facts",
    """
    CREATE INDEX runs_facts ON runs (
        owner, status, number, created_at, planner, model, tools, usd, retries, taken_up, duration,
        metadata
    )
    """,
    "DROP TRIGGER runs_numbered",
    _NUMBERED.format(
        bytes=f"{_BYTES_ASKED} + length(CAST(coalesce(new.choice, '') AS BLOB))"
        " + length(CAST(coalesce(new.metadata, '') AS BLOB))"
    ),
)

#: How many rounds a plan was made in, among what is sought; one that earlier programs made has one.
ROUND_COLUMNS = (
    "ALTER TABLE runs ADD COLUMN rounds INTEGER NOT NULL DEFAULT 0",
    "UPDATE runs SET rounds = 1 WHERE planner IS NOT NULL",
    "DROP INDEX runs_facts",
    """
    CREATE INDEX runs_facts ON runs (
        owner, status, number, created_at, planner, model, tools, usd, retries, taken_up, duration,
        metadata, rounds
    )
    """,
)

#: Which conversation a run belongs to: an earlier run is one of its own. A thread has a row only
#: where it has a name or metadata; it goes with the last of its runs.
THREAD_TABLES = (
    "ALTER TABLE runs ADD COLUMN thread_id TEXT",
    "UPDATE runs SET thread_id = run_id",
    "CREATE INDEX runs_in_thread ON runs (thread_id, number)",
    "DROP INDEX runs_unsettled",
    f"""
    CREATE INDEX runs_unsettled ON runs (thread_id, number, status)
    WHERE status IN ({listed(UNSETTLED)})
    """,
    """
    CREATE TABLE threads (
        thread_id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        name TEXT,
        metadata TEXT,
        created_at REAL NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE UNIQUE INDEX threads_by_name ON threads (owner, name) WHERE name IS NOT NULL",
    """
    CREATE TRIGGER threads_left AFTER DELETE ON runs
    WHEN NOT EXISTS (SELECT 1 FROM runs WHERE thread_id = old.thread_id) BEGIN
        DELETE FROM threads WHERE thread_id = old.thread_id;
    END
    """,
)

#: Who is told of changes, and what is to be posted to them; it goes with its run.
OUTBOX_TABLES = (
    "ALTER TABLE runs ADD COLUMN webhook TEXT",
    "CREATE TABLE webhooks (endpoint TEXT PRIMARY KEY, statuses TEXT NOT NULL)",
    """
    CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        run_id TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        status TEXT NOT NULL,
        at REAL NOT NULL,
        due REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        failure TEXT,
        given_up INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX outbox_of_run ON outbox (run_id, endpoint, number)",
    "CREATE INDEX outbox_due ON outbox (due) WHERE NOT given_up",
    f"""
    CREATE TRIGGER outbox_filled AFTER UPDATE OF status ON runs
    WHEN new.status IS NOT old.status AND new.status IN ({listed(SETTLED_OR_WAITING)}) BEGIN
        INSERT INTO outbox (run_id, endpoint, status, at, due)
        SELECT new.run_id, endpoint, new.status, moment, moment
        FROM (SELECT (julianday('now') - 2440587.5) * 86400.0 AS moment) CROSS JOIN (
            SELECT endpoint FROM webhooks, json_each(statuses) WHERE value = new.status
            UNION SELECT new.webhook WHERE new.webhook IS NOT NULL
        );
    END
    """,  # noqa: S608 - constants only
    """
    CREATE TRIGGER outbox_left AFTER DELETE ON runs BEGIN
        DELETE FROM outbox WHERE run_id = old.run_id;
    END
    """,
)

#: Steps from each version of the tables to the next; the version is SQLite's `user_version`.
MIGRATIONS = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        """
        CREATE TABLE runs (
            run_id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            prompt TEXT NOT NULL,
            limits TEXT NOT NULL,
            created_at REAL NOT NULL,
            status TEXT NOT NULL,
            started_at REAL,
            completed_at REAL,
            starts INTEGER NOT NULL,
            checkpoint_id TEXT
        )
        """,
        f"""
        CREATE INDEX runs_unsettled ON runs (status)
        WHERE status IN ({listed(UNSETTLED)})
        """,
    ),
    (
        "ALTER TABLE runs ADD COLUMN budget TEXT",
        # Written to find out whether anything can be written.
        "CREATE TABLE probe (id INTEGER PRIMARY KEY, at REAL NOT NULL)",
        "INSERT INTO probe VALUES (1, 0)",
    ),
    (
        "ALTER TABLE runs ADD COLUMN cancel_at REAL",
        "ALTER TABLE runs ADD COLUMN cancel_by TEXT",
    ),
    (
        f"""
        CREATE INDEX runs_settled ON runs (completed_at, run_id)
        WHERE status IN ({listed(SETTLED)})
        """,
    ),
    (
        "ALTER TABLE runs ADD COLUMN approve TEXT NOT NULL DEFAULT 'never'",
        "ALTER TABLE runs ADD COLUMN expires_at REAL",
        "ALTER TABLE runs ADD COLUMN decision TEXT",
        "CREATE INDEX runs_waiting ON runs (expires_at) WHERE status = 'waiting'",
    ),
    (
        "ALTER TABLE runs ADD COLUMN generation INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE runs ADD COLUMN retry TEXT",
        "ALTER TABLE runs ADD COLUMN forked_from TEXT",
        "ALTER TABLE runs ADD COLUMN seed TEXT",
        "CREATE INDEX runs_forks ON runs (forked_from) WHERE forked_from IS NOT NULL",
    ),
    KEY_TABLES,
    SEARCH_TABLES,
    SPENDING_TABLES,
    SORT_INDEXES,
    HELD_TABLES,
    DOUBT_COLUMNS,
    TEXT_TABLES,
    OWNER_TABLES,
    # Checkpoints of five channels, which earlier programs would read as empty; of those that they
    # wrote, none is touched.
    (),
    CHOICE_COLUMNS,
    # Plans of several rounds, which earlier programs would go on with as if they were one; a plan
    # that they made reads as one round.
    ROUND_COLUMNS,
    THREAD_TABLES,
    OUTBOX_TABLES,
    AUDIT_TABLES,
    # Checkpoints that have of a run only what differs from another one, which earlier programs
    # would read as the whole of it; of those that they wrote, none is touched.
    (),
)

#: The version that this program writes; a database with a higher one is not opened.
VERSION = len(MIGRATIONS)
