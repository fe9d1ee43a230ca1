"""`runwright approve` and `reject`: a decision about a plan that waits, told to its server."""

from typing import Literal

from api.run_source import NotDecided
from api.server_run import open_client, post_decision
from api.watch_command import check_kept, checked_url
from graph.settings import Settings
from graph.storage.open import sqlite_path
from graph.storage.sqlite.open import FileOwned, own

Act = Literal["approve", "reject"]

#: What has become of the run, in words.
_TOLD = {
    "approve": "approved; `runwright watch {run_id}` shows how it goes on",
    "reject": "rejected; nothing more is done",
}


async def decide(
    settings: Settings, run_id: str, act: Act, *, reason: str | None, url: str | None
) -> str:
    """Approve or reject the plan of a run; what has become of it, in one line.

    Without `url` at the server that has the configured database. Raises `NotDecided`, and
    `NotWatched` where no run can be.
    """
    server = checked_url(url) if url is not None else _serving(settings.database_url, run_id)
    body = {} if reason is None else {"reason": reason}
    async with open_client(server, settings.api_key) as client:
        await post_decision(client, run_id, act, body)
    return f"run {run_id} is {_TOLD[act].format(run_id=run_id)}"


def _serving(database_url: str, run_id: str) -> str:
    """The address of the server that has the database. Raises `NotDecided` where there is none."""
    check_kept(database_url)
    try:
        with own(sqlite_path(database_url), url=None):
            start = "start one with `runwright serve`"
            raise NotDecided(f"no server is there to execute run {run_id}; {start}, then try again")
    except FileOwned as owned:
        if owned.owner is None or owned.owner.url is None:
            raise NotDecided(
                f"{owned}, which answers nobody; try again when it has ended"
            ) from None
        return owned.owner.url
