"""Where runs are kept: checkpointer, to-do store and run index, as every backend gives them."""

from collections.abc import Callable
from dataclasses import dataclass

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore

from graph.index import RunIndex
from graph.removal import Remove
from graph.spending import Spending


class StorageError(Exception):
    """The database cannot be used; the message is one line that says what to do."""


def _nothing_to_expect(thread_id: str) -> None:
    """For a backend that looks up a new thread at no cost."""


@dataclass(frozen=True)
class Storage:
    """One opened backend. `reader` answers reads without queueing behind the writer.

    `errors` are what the backend raises when it cannot be reached or written just now.
    `expect_new` tells it that a thread has no checkpoint yet, so that it need not look for one.
    """

    backend: str
    saver: BaseCheckpointSaver[str]
    reader: BaseCheckpointSaver[str]
    store: BaseStore
    index: RunIndex
    spending: Spending
    remove: Remove
    errors: tuple[type[Exception], ...]
    expect_new: Callable[[str], None] = _nothing_to_expect
