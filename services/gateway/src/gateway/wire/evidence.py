"""What of an answer is held against what was asked for: arguments of calls, and the text where it has to be JSON.

Collected as it comes, and only for requests that could be answered wrongly in that way.
"""

from collections.abc import Collection, Sequence


class Evidence:
    """The pieces of one answer. `free` are the tools whose input may be any text."""

    __slots__ = ("_calls", "_free", "_free_places", "_texts", "wants_text")

    def __init__(self, *, wants_text: bool, free: Collection[str] = ()) -> None:
        self.wants_text = wants_text
        self._texts: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._free = free
        self._free_places: set[int] = set()

    @classmethod
    def wanted(cls, *, calls: bool, text: bool, free: Collection[str] = ()) -> "Evidence | None":
        """None when there is nothing to check: no tool may be called, and the text need not be JSON."""
        return cls(wants_text=text, free=free) if calls or text else None

    def add_text(self, text: str) -> None:
        """More of the answer's text; only to be called if it is wanted."""
        self._texts.append(text)

    def begin_call(self, place: int, name: str) -> None:
        """The call at a place is one of this tool."""
        if name in self._free:
            self._free_places.add(place)

    def add_arguments(self, place: int, arguments: str) -> None:
        """More of what a call is given."""
        self._calls.setdefault(place, []).append(arguments)

    @property
    def text(self) -> str:
        """The text, if it has to be JSON."""
        return "".join(self._texts)

    @property
    def arguments(self) -> Sequence[str]:
        """What has to be a JSON object, for each call."""
        return ["".join(pieces) for place, pieces in self._calls.items() if place not in self._free_places]
