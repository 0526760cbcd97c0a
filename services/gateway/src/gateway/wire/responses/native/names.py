"""Our ids in place of a provider's, always the same one for the same thing, and its state sealed once."""

from collections.abc import Callable
from uuid import UUID

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "reasoning": "rs",
    "custom_tool_call": "ctc",
    "compaction": "cmp",
    "local_shell_call": "lsh",
    "shell_call": "sh",
    "apply_patch_call": "apc",
    "tool_search_call": "tsc",
    "computer_call": "cu",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
}


class Names:
    """The names in one answer. `seal` is None when nobody has a use for state."""

    def __init__(self, request_id: UUID, seal: Callable[[str], str] | None) -> None:
        self._hex = request_id.hex
        self._seal = seal
        self._sealed: dict[str, str] = {}
        self._items: dict[str, str] = {}
        self._calls: dict[str, str] = {}
        self._foreign: dict[tuple[str, str], str] = {}

    def item_id(self, kind: str, index: int) -> str:
        """The id of the item at a place of the output."""
        return f"{_PREFIXES.get(kind, 'item')}_{self._hex}{index:04x}"

    def learn_item(self, theirs: object, ours: str) -> None:
        """That a provider's id of an item is that of ours."""
        if isinstance(theirs, str):
            self._items[theirs] = ours

    def learn_call(self, theirs: object, ours: str) -> None:
        """That a provider's id of a call is that of ours."""
        if isinstance(theirs, str):
            self._calls[theirs] = ours

    def item(self, theirs: str) -> str:
        """Our id of an item that the provider refers to."""
        return self._items.get(theirs) or self.foreign("item", theirs)

    def call(self, theirs: str) -> str:
        """Our id of a call that the provider refers to."""
        return self._calls.get(theirs) or self.foreign("call", theirs)

    def foreign(self, prefix: str, theirs: str) -> str:
        """An id for something that only the provider has."""
        key = (prefix, theirs)
        if key not in self._foreign:
            self._foreign[key] = f"{prefix}_{self._hex}f{len(self._foreign):04x}"
        return self._foreign[key]

    def sealed(self, state: str) -> str | None:
        """State of the provider, opaque."""
        if self._seal is None or not state:
            return None
        if state not in self._sealed:
            self._sealed[state] = self._seal(state)
        return self._sealed[state]
