"""What LangGraph's protocol lets a client ask for, and this server does not do."""

from collections.abc import Sequence

from fastapi import Request

from api.errors.kinds import Cause, FieldError, Kind


class Unprocessable(Exception):
    """A request of the protocol that cannot be carried out as it is; `errors` say which part."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error['field']}: {error['message']}" for error in errors))
        self.errors = list(errors)


def unprocessable(field: str, message: str) -> Unprocessable:
    """The fault of one field."""
    return Unprocessable([FieldError(field=field, message=message)])


class Unsupported(Exception):
    """An area of the protocol that this server does not have."""


class AssistantNotFound(Exception):
    """There is one assistant, and this is neither its id nor its name."""


class ThreadExists(Exception):
    """A thread cannot be opened under an id that is taken."""


class ThreadBusy(Exception):
    """The thread is at the run `run_id`, and the new one was to be refused then."""

    def __init__(self, run_id: str, status: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id
        self.status = status


class NothingAsked(Exception):
    """An answer came for a question that the thread does not ask."""


def _text(error: Exception, _: Request) -> str:
    return str(error)


PROTOCOL: dict[Cause, Kind] = {
    Unprocessable: Kind(
        422, "unprocessable", "The request cannot be carried out", _text, errors=lambda e: e.errors
    ),
    Unsupported: Kind(
        501,
        "unsupported",
        "This server does not do that",
        lambda e, _: f"{e}; the flags of /lg/info say what there is.",
    ),
    AssistantNotFound: Kind(
        404,
        "assistant-not-found",
        "There is no such assistant",
        lambda e, _: (
            f"No assistant has the id {str(e)[:100]!r}. The one that there is, is named "
            "runwright; POST /lg/assistants/search tells its id."
        ),
    ),
    ThreadExists: Kind(
        409,
        "thread-exists",
        "The id of the thread is taken",
        lambda e, _: (
            f"{e} is taken. Give another id, or none; with if_exists do_nothing, a thread "
            "of your own is answered as it is."
        ),
    ),
    ThreadBusy: Kind(
        409,
        "thread-busy",
        "A run of the thread has not ended",
        lambda e, _: (
            f"Run {e.run_id} of the thread is {e.status}, and multitask_strategy is "
            "reject; enqueue lets the new one wait."
        ),
    ),
    NothingAsked: Kind(
        409,
        "nothing-asked",
        "The thread asks nothing that this answers",
        _text,
    ),
}
