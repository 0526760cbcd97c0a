"""Where in a conversation a request stands: what of its input is new, and which stored items it names."""

from collections.abc import Mapping, Sequence
from typing import Any


def answered_calls(items: Sequence[Mapping[str, Any]], *, has_history: bool = False) -> tuple[str, ...]:
    """The calls whose results follow the last output of the assistant, when nothing but results follows it.

    `has_history`: the items go on after a stored response, which ended with the assistant's output.
    """
    items = said(items)
    place = len(items)
    while place and is_result(items[place - 1]):
        place -= 1
    answered = tuple(_answered(item) for item in items[place:])
    follows_assistant = is_of_assistant(items[place - 1]) if place else has_history
    return answered if follows_assistant and all(answered) else ()


def said(items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The items without a compaction trigger at the end, which is no word of anybody."""
    return items[:-1] if items and items[-1].get("type") == "compaction_trigger" else items


def references(items: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The ids that the input names instead of the items themselves, in their order."""
    return tuple(str(item["id"]) for item in items if is_reference(item))


def is_reference(item: Mapping[str, Any]) -> bool:
    """Whether an item only names another; the type may be left out."""
    kind = item.get("type")
    is_named = kind == "item_reference" or (kind is None and "role" not in item)
    return is_named and isinstance(item.get("id"), str)


def is_result(item: Mapping[str, Any]) -> bool:
    """Whether an item is what a tool answered."""
    return str(item.get("type")).endswith("_output")


def _answered(item: Mapping[str, Any]) -> str:
    """The id of the answered call, or nothing. Local shells may name it by `id`."""
    found = item.get("call_id")
    if not found and item.get("type") == "local_shell_call_output":
        found = item.get("id")
    return found if isinstance(found, str) else ""


def is_of_assistant(item: Mapping[str, Any]) -> bool:
    """Whether an item is what the assistant said, thought or called."""
    kind = str(item.get("type", "message"))
    if kind == "message":
        return item.get("role") == "assistant"
    return kind == "reasoning" or kind.endswith("_call")
