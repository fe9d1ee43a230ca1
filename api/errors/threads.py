"""What is answered about a thread that is not there, or cannot be as was asked."""

from collections.abc import Mapping

from api.errors.kinds import Cause, FieldError, Kind
from graph.commands.deletion import ThreadNotSettled
from graph.runs.threads import ThreadNotFound
from graph.storage.threads import NameTaken

THREADS: Mapping[Cause, Kind] = {
    ThreadNotFound: Kind(
        404,
        "thread-not-found",
        "There is no such thread",
        lambda e, _: (
            f"No thread has the id {e.thread_id[:100]!r}. A thread has the id of its first run; "
            "GET /threads lists those that there are."
        ),
    ),
    NameTaken: Kind(
        409,
        "thread-name-taken",
        "Another thread has this name",
        lambda e, _: f"Another of your threads is named {e.name!r}; choose another name.",
        errors=lambda e: [FieldError(field="name", message="is that of another thread")],
    ),
    ThreadNotSettled: Kind(
        409,
        "thread-not-settled",
        "A run of the thread has not ended",
        lambda e, _: (
            f"Run {e.run_id} of the thread is {e.status}, so that nothing of it was removed; wait "
            f"for its end, or cancel it with POST /runs/{e.run_id}/cancel."
        ),
    ),
}
