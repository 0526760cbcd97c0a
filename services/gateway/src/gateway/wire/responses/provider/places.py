"""Which item of a provider's answer an event is about.

Items have an id and an index, and providers get either wrong: ids that change between two events of one item, one index
for all items, neither of them. An id that is known decides, then the index, then what came last.
"""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar


class Kinded(Protocol):
    """What is kept of an item; `kind` is its `type`."""

    kind: str


Kept = TypeVar("Kept", bound=Kinded)


class OutputPlaces(Generic[Kept]):
    """The items of one answer in the order in which they began."""

    def __init__(self) -> None:
        self.all: list[Kept] = []
        self._by_id: dict[str, Kept] = {}
        self._by_index: dict[int, Kept] = {}
        self._nameless: set[int] = set()

    def add(self, kept: Kept, *, item_id: str | None, index: int | None) -> Kept:
        """An item that begins."""
        if item_id is None and index is not None:
            self._nameless.add(index)
        self.all.append(kept)
        self.name(kept, item_id=item_id, index=index)
        return kept

    def name(self, kept: Kept, *, item_id: str | None, index: int | None) -> None:
        """Note what else an item is called by."""
        if item_id is not None:
            self._by_id[item_id] = kept
        if index is not None:
            self._by_index[index] = kept

    def begun(self, item_id: str | None, index: int | None) -> Kept | None:
        """The item that an `output_item.added` repeats, if it does."""
        if item_id is not None:
            return self._by_id.get(item_id)
        return self._by_index.get(index) if index is not None and index in self._nameless else None

    def find(self, item_id: str | None, index: int | None) -> Kept | None:
        """The item of an event."""
        if item_id is not None and (found := self._by_id.get(item_id)) is not None:
            return found
        if index is not None:
            return self._by_index.get(index)
        return self.all[-1] if self.all and item_id is None else None

    def ended(self, item_id: str | None, index: int | None, kind: str) -> Kept | None:
        """The item that an `output_item.done` is about, if it is of the same kind."""
        found = self.find(item_id, index)
        return found if found is not None and found.kind == kind else None

    def match(self, named: Sequence[tuple[str | None, str]]) -> list[Kept | None]:
        """For ids and kinds of the items of a whole answer, those that have been streamed; None for new ones."""
        matched: list[Kept | None] = [None] * len(named)
        free = list(self.all)
        for take in (self._of_id, self._of_index, self._of_kind):
            for place, (item_id, kind) in enumerate(named):
                found = take(item_id, place, kind, free) if matched[place] is None else None
                if found is not None:
                    matched[place] = found
                    free = [kept for kept in free if kept is not found]
        return matched

    def _of_id(self, item_id: str | None, _place: int, kind: str, free: Sequence[Kept]) -> Kept | None:
        return _free(self._by_id.get(item_id) if item_id is not None else None, kind, free)

    def _of_index(self, _item_id: str | None, place: int, kind: str, free: Sequence[Kept]) -> Kept | None:
        return _free(self._by_index.get(place), kind, free)

    def _of_kind(self, _item_id: str | None, _place: int, kind: str, free: Sequence[Kept]) -> Kept | None:
        return next((kept for kept in free if kept.kind == kind), None)


def _free(found: Kept | None, kind: str, free: Sequence[Kept]) -> Kept | None:
    is_free = found is not None and found.kind == kind and any(kept is found for kept in free)
    return found if is_free else None
