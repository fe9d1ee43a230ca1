"""Removing settled runs, so that nothing of them is left or all of it."""

import json
import time
from collections.abc import Sequence

from graph.state.row import RunArtifacts
from graph.state.status import SETTLED
from graph.storage.sql.audit import REMOVED
from graph.storage.sql.statements import JsonLists, Statement, Writer, listed

#: Every table that has rows of runs besides `runs`, and the column that names the run.
TABLES = {"checkpoints": "thread_id", "writes": "thread_id"}


class SqlDeletion:
    """Removes runs through the process's one writer; the room that becomes free is used again."""

    def __init__(self, writer: Writer, lists: JsonLists) -> None:
        self._writer = writer
        # Those that are still settled when it comes to it: a run may have been told to go on
        # meanwhile, and have come to another end, of which its receipts are not known.
        self._settled = f"""
            SELECT run_id FROM ({lists.pairs}) AS artifact JOIN runs
            ON run_id = artifact.id AND runs.generation = artifact.generation
            WHERE status IN ({listed(SETTLED)})
        """  # noqa: S608 - constants only
        # Receipts of these step keys.
        self._receipts = (
            f"DELETE FROM store WHERE prefix IN ({lists.values}) AND key IN ({lists.values})"  # noqa: S608 - constants only
        )
        # Holds where a thread has no other runs than these, and all of them are settled.
        self._whole = f"""
            (SELECT count(*) FROM runs WHERE thread_id = ?)
            = (SELECT count(*) FROM ({self._settled}) AS ended)
        """  # noqa: S608 - constants only

    async def __call__(
        self, runs: Sequence[RunArtifacts], thread_id: str | None = None, *, by: str = "server"
    ) -> int:
        """Remove these runs, those of them that are settled; how many that were.

        With a thread all of them, or none unless that has no others.
        """
        ids, noted = _named(*runs), (time.time(), by)
        if thread_id is not None:
            return await self._remove_thread(thread_id, runs, ids, noted)
        return await self._writer.write(
            (f"{REMOVED} ({self._settled})", (*noted, ids)),
            *(self._receipts_of(run) for run in runs if run.step_keys),
            *(
                (f"DELETE FROM {table} WHERE {column} IN ({self._settled})", (ids,))  # noqa: S608 - constants only
                for table, column in TABLES.items()
            ),
            (f"DELETE FROM runs WHERE run_id IN ({self._settled})", (ids,)),  # noqa: S608 - constants only
        )

    async def _remove_thread(
        self, thread_id: str, runs: Sequence[RunArtifacts], ids: str, noted: tuple[float, str]
    ) -> int:
        # Each condition is looked at once, before its statement removes anything; the runs that it
        # counts are the last to go.
        keys = json.dumps([key for run in runs for key in run.step_keys])
        prefixes = json.dumps(sorted({".".join(one) for run in runs for one in run.receipts}))
        whole = (thread_id, ids)
        return await self._writer.write(
            (f"{REMOVED} ({self._settled}) AND {self._whole}", (*noted, ids, *whole)),
            (f"{self._receipts} AND {self._whole}", (prefixes, keys, *whole)),
            *(
                (
                    f"DELETE FROM {table} WHERE {column} IN ({self._settled}) AND {self._whole}",  # noqa: S608 - constants only
                    (ids, *whole),
                )
                for table, column in (TABLES | {"runs": "run_id"}).items()
            ),
            durable=True,
        )

    def _receipts_of(self, run: RunArtifacts) -> Statement:
        keys = json.dumps(run.step_keys)
        prefixes = json.dumps([".".join(one) for one in run.receipts])
        return f"{self._receipts} AND EXISTS ({self._settled})", (prefixes, keys, _named(run))


def _named(*runs: RunArtifacts) -> str:
    return json.dumps([[run.run_id, run.generation] for run in runs])
