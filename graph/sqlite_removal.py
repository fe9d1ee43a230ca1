"""Removing settled runs from a SQLite file, so that nothing of them is left or all of it."""

import json
from collections.abc import Sequence

from graph.removal import Remains
from graph.sqlite_writer import SqliteWriter, Statement

#: Every table that has rows of runs besides `runs`, and the column that names the run.
TABLES = {"checkpoints": "thread_id", "writes": "thread_id"}

#: Those that are still settled when it comes to it: a run may have been told to go on meanwhile,
#: and have come to another end, of which its receipts are not known.
_SETTLED = (
    "SELECT run_id FROM json_each(?) AS told CROSS JOIN runs"
    " ON run_id = json_extract(told.value, '$[0]')"
    " AND generation = json_extract(told.value, '$[1]')"
    " WHERE status IN ('completed', 'failed', 'cancelled')"
)


class SqliteRemoval:
    """Removes runs through the file's one writer; the pages that become free are used again."""

    def __init__(self, writer: SqliteWriter) -> None:
        self._writer = writer

    async def __call__(self, runs: Sequence[Remains]) -> int:
        """Remove these runs, those of them that are settled; how many that were."""
        ids = _named(*runs)
        return await self._writer.write(
            *(_receipts(run) for run in runs if run.step_keys),
            *(
                (f"DELETE FROM {table} WHERE {column} IN ({_SETTLED})", (ids,))  # noqa: S608 - constants only
                for table, column in TABLES.items()
            ),
            (f"DELETE FROM runs WHERE run_id IN ({_SETTLED})", (ids,)),  # noqa: S608 - constants only
        )


def _receipts(run: Remains) -> Statement:
    statement = (
        "DELETE FROM store WHERE prefix = ? AND key IN (SELECT value FROM json_each(?))"  # noqa: S608 - constants only
        f" AND EXISTS ({_SETTLED})"
    )
    keys = json.dumps(run.step_keys)
    return statement, (".".join(run.receipts), keys, _named(run))


def _named(*runs: Remains) -> str:
    return json.dumps([[run.run_id, run.generation] for run in runs])
