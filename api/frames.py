"""Events as they are sent: each is encoded once, however many watch the run."""

from weakref import WeakKeyDictionary

from api.run_events import present_event
from api.sse import message
from graph.record.events import Event
from graph.runs.watch import Feed

#: Events are put together up to about this size, in bytes: more would be kept for a slow reader.
BATCH = 256 * 1024


class Frames:
    """What the watchers of a feed are sent, kept as long as the feed."""

    def __init__(self) -> None:
        self._frames: WeakKeyDictionary[Feed, dict[int, bytes]] = WeakKeyDictionary()

    def after(self, feed: Feed, number: int) -> tuple[bytes, int]:
        """The next events after this one in one piece, and the number of the last one in it."""
        frames = self._frames.setdefault(feed, {})
        due: list[bytes] = []
        size = 0
        for event in feed.events[number:]:
            frame = frames.get(event["id"]) or frames.setdefault(event["id"], _frame(event))
            due.append(frame)
            size += len(frame)
            if size >= BATCH:
                break
        return b"".join(due), number + len(due)


def _frame(event: Event) -> bytes:
    return message(event["type"], present_event(event), number=event["id"])
