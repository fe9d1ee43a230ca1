"""Who did what on SQLite: the table and the triggers that fill it, a step of the versions."""

from graph.storage.sql.changes import ANSWER, FIRST_ENTRY

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
