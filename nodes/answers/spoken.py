"""The text of an answer as it comes: what a model thinks aloud is cut before anybody sees it."""

import re

from nodes.contract.json_data import storable

#: The longest answer that is kept and told, in characters; the rest is cut.
LONGEST = 32_000

_CUT = "…"

_THOUGHTS = ("think", "thinking", "thought", "reasoning")
_VALUE = "value"


class SpokenText:
    """Takes an answer part by part, however it is split, and gives back what may be shown of it.

    What stands between `<think>` tags, and others for the same, is thought and left out; what
    stands between `<value>` tags is for programs where the answer is to be `shaped`, and kept in
    `values`; else it is text. Spaces at both ends are no part of the text.
    """

    def __init__(self, *, shaped: bool = False) -> None:
        names = (*_THOUGHTS, _VALUE) if shaped else _THOUGHTS
        self._tags = tuple(f"<{end}{name}>" for end in ("", "/") for name in names)
        self._tag = re.compile(rf"<(?P<end>/?)(?P<name>{'|'.join(names)})>", re.IGNORECASE)
        self.text = ""
        self.values: list[str] = []
        self._taken_back = ""
        self._pending = ""
        self._inside: str | None = None  # "thought" or "value"
        self._spaces = ""
        self._whole = False  # as long as it may be

    def add(self, part: str) -> tuple[str, int]:
        """What may be shown now, and at which character of the text it stands.

        At 0 again where all before was a thought whose beginning was not marked; that comes back
        at the end where nothing has followed it.
        """
        self._pending += storable(part).replace("\0", "")
        before = len(self.text)
        while tag := self._tag.search(self._pending):
            self._take(self._pending[: tag.start()])
            self._pending = self._pending[tag.end() :]
            before = min(before, self._enter(tag["name"].lower(), ended=bool(tag["end"])))
        keep = self._beginning()
        place = len(self._pending) - keep
        self._take(self._pending[:place])
        self._pending = self._pending[place:]
        return self.text[before:], before

    @property
    def in_value(self) -> bool:
        """Whether the last of the values has not ended."""
        return self._inside == _VALUE

    def end(self) -> tuple[str, int]:
        """The same once nothing follows: what looked like the beginning of a tag was none."""
        before = len(self.text)
        rest, self._pending = self._pending, ""
        self._take(rest)
        if not self.text and not self.values:
            self.text, self._taken_back = self._taken_back, ""  # better than no answer
        return self.text[before:], before

    def _enter(self, name: str, *, ended: bool) -> int:
        """Go into or out of what is not shown; where the text continues."""
        kind = _VALUE if name == _VALUE else "thought"
        if self._inside == kind:
            if ended:
                self._inside = None
        elif self._inside is not None:
            self._take(f"<{'/' if ended else ''}{name}>")
        elif not ended:
            self._inside = kind
            if kind == _VALUE:
                self.values.append("")
        elif kind == "thought":
            self._taken_back = self.text or self._taken_back
            self.text, self._spaces, self._whole = "", "", False
        return len(self.text)

    def _take(self, part: str) -> None:
        if self._inside == _VALUE:
            self.values[-1] = self.values[-1][: 10 * LONGEST] + part
        if self._inside is not None or self._whole:
            return
        shown = self._spaces + part if self.text else part.lstrip()
        kept = shown.rstrip()
        self._spaces = shown[len(kept) :]
        self.text += kept
        if len(self.text) > LONGEST:
            self.text, self._whole = self.text[:LONGEST] + _CUT, True

    def _beginning(self) -> int:
        """How many characters at the end may be the beginning of a tag."""
        text = self._pending
        place = text.rfind("<", max(0, len(text) - max(map(len, self._tags))))
        if place < 0:
            return 0
        tail = text[place:].lower()
        return len(tail) if any(tag.startswith(tail) for tag in self._tags) else 0
