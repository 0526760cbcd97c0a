"""The output items of one answer on its way through: their places, ids and calls, and what passes of them."""

from collections.abc import Collection
from typing import Any, TypeGuard

from gateway.wire.chat.toolcalls import MAX_TOOL_CALLS, TooManyToolCalls
from gateway.wire.lane import Mint
from gateway.wire.responses.native.items import ANSWERS, CALLS, CLIENTS_ITEM, ITEMS
from gateway.wire.responses.native.names import Names
from gateway.wire.responses.native.slots import Fields, Slot
from gateway.wire.responses.provider.places import OutputPlaces


class NativeOutput:
    """`names` and `mint` make ids; `clients_types` are types of items that the client knows of. `has_content`: an item
    says something by what it is, or at its end."""

    def __init__(self, names: Names, mint: Mint, *, clients_types: Collection[str]) -> None:
        self.has_content = False
        self.calls = 0
        self._names = names
        self._mint = mint
        self._clients_types = clients_types
        self._slots: OutputPlaces[Slot] = OutputPlaces()
        self._places = 0

    @property
    def shown(self) -> list[Slot]:
        """The items that pass, in their order."""
        return [slot for slot in self._slots.all if slot.index is not None]

    def find(self, item_id: object, index: object) -> Slot | None:
        """The item of an event."""
        return self._slots.find(_named(item_id), _numbered(index))

    def is_begun(self, item: Fields, index: object) -> bool:
        """Whether the item was announced before."""
        return self._slots.begun(_named(item.get("id")), _numbered(index)) is not None

    def begin(self, item: Fields, index: object) -> Slot:
        """A new item that is announced. Raises `TooManyToolCalls`."""
        slot = self._open(item, index)
        if slot.index is not None:
            slot.begun = self._passed(item, slot)
            self.has_content = self.has_content or slot.call_id is not None
        return slot

    def end(self, item: Fields, index: object) -> Slot:
        """An item as it ends; a new one if it was not announced. Raises `TooManyToolCalls`."""
        slot = self._slots.ended(_named(item.get("id")), _numbered(index), item["type"]) or self._open(item, index)
        self._close(item, slot)
        return slot

    def end_all(self, output: object) -> None:
        """The items of the whole answer. Raises `TooManyToolCalls`."""
        items = [item for item in output if is_item(item)] if isinstance(output, list) else []
        matched = self._slots.match([(_named(item.get("id")), item["type"]) for item in items])
        for item, slot in zip(items, matched, strict=True):
            self._close(item, slot or self._open(item, None))

    def _close(self, item: Fields, slot: Slot) -> None:
        if slot.index is None:
            return
        slot.item = self._passed(item, slot)
        is_said = slot.kind == "message" and any(_says(part) for part in slot.item.get("content") or ())
        self.has_content = self.has_content or is_said or slot.call_id is not None or slot.kind in ANSWERS

    def _open(self, item: Fields, index: object) -> Slot:
        kind = str(item["type"])
        place = None
        if kind in ITEMS or kind in self._clients_types:
            place, self._places = self._places, self._places + 1
        call_id = None
        if place is not None and _is_call(item):
            if self.calls >= MAX_TOOL_CALLS:
                raise TooManyToolCalls
            call_id, self.calls = self._mint(self.calls), self.calls + 1
            self._names.learn_call(item.get("call_id"), call_id)
        slot = Slot(kind, place, self._names.item_id(kind, place or 0), call_id)
        self._names.learn_item(item.get("id"), slot.id)
        return self._slots.add(slot, item_id=_named(item.get("id")), index=_numbered(index))

    def _passed(self, item: Fields, slot: Slot) -> Fields:
        kept = ITEMS.get(slot.kind, CLIENTS_ITEM)(item, self._names)
        ours: Fields = {"id": slot.id} if slot.call_id is None else {"id": slot.id, "call_id": slot.call_id}
        return {**(kept if isinstance(kept, dict) else {}), "type": slot.kind, **ours}


def is_item(value: object) -> TypeGuard[Fields]:
    """Whether that is an item at all."""
    return isinstance(value, dict) and isinstance(value.get("type"), str)


def _is_call(item: Fields) -> bool:
    """Whether the client has to answer: also a call of a kind that only the client knows."""
    if item["type"] in CALLS:
        return item.get("execution") != "server"
    return item["type"] not in ITEMS and str(item["type"]).endswith("_call") and isinstance(item.get("call_id"), str)


def _says(part: Any) -> bool:
    return isinstance(part, dict) and bool(part.get("text") or part.get("refusal"))


def _named(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _numbered(value: object) -> int | None:
    return value if isinstance(value, int) else None
