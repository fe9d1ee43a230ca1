"""The text of an answer as it comes: what a model thinks aloud is cut before anybody sees it."""

import re

from nodes.contract.json_data import storable

#: The longest answer that is kept and told, in characters; the rest is cut.
LONGEST = 32_000

_CUT = "…"

_TAG = re.compile(r"<(?P<end>/?)(?P<name>think|thinking|thought|reasoning|value)>", re.IGNORECASE)
_NAMES = ("think", "thinking", "thought", "reasoning", "value")
_TAGS = tuple(f"<{end}{name}>" for end in ("", "/") for name in _NAMES)
_LONGEST_TAG = max(map(len, _TAGS))


class SpokenText:
    """Takes an answer part by part, however it is split, and gives back what may be shown of it.

    What stands between `<think>` tags, and others for the same, is thought and left out; what
    stands between `<value>` tags is for programs, and kept as `value`. Spaces at both ends are no
    part of the text.
    """

    def __init__(self) -> None:
        self.text = ""
        self.value: str | None = None
        self._pending = ""
        self._inside: str | None = None  # "thought" or "value"
        self._spaces = ""
        self._whole = False  # as long as it may be

    def feed(self, part: str) -> tuple[str, int]:
        """What may be shown now, and at which character of the text it stands.

        At 0 again where all before was a thought whose beginning was not marked.
        """
        self._pending += storable(part).replace("\0", "")
        before = len(self.text)
        while tag := _TAG.search(self._pending):
            self._take(self._pending[: tag.start()])
            self._pending = self._pending[tag.end() :]
            before = min(before, self._turn(tag["name"].lower(), ended=bool(tag["end"])))
        keep = _beginning(self._pending)
        place = len(self._pending) - keep
        self._take(self._pending[:place])
        self._pending = self._pending[place:]
        return self.text[before:], before

    def end(self) -> tuple[str, int]:
        """The same once nothing follows: what looked like the beginning of a tag was none."""
        before = len(self.text)
        rest, self._pending = self._pending, ""
        self._take(rest)
        return self.text[before:], before

    def _turn(self, name: str, *, ended: bool) -> int:
        """Go into or out of what is not shown; where the text goes on."""
        kind = "value" if name == "value" else "thought"
        if self._inside == kind:
            if ended:
                self._inside = None
        elif self._inside is not None:
            self._take(f"<{'/' if ended else ''}{name}>")
        elif not ended:
            self._inside = kind
            if kind == "value":
                self.value = ""
        elif kind == "thought":
            self.text, self._spaces, self._whole = "", "", False
        return len(self.text)

    def _take(self, part: str) -> None:
        if self._inside == "value":
            self.value = (self.value or "")[: 10 * LONGEST] + part
        if self._inside is not None or self._whole:
            return
        shown = self._spaces + part if self.text else part.lstrip()
        kept = shown.rstrip()
        self._spaces = shown[len(kept) :]
        self.text += kept
        if len(self.text) > LONGEST:
            self.text, self._whole = self.text[:LONGEST] + _CUT, True


def _beginning(text: str) -> int:
    """How many characters at the end may be the beginning of a tag."""
    place = text.rfind("<", max(0, len(text) - _LONGEST_TAG))
    if place < 0:
        return 0
    tail = text[place:].lower()
    return len(tail) if any(tag.startswith(tail) for tag in _TAGS) else 0
