"""The items of an answer while they are open: what is in them, and the events that open, fill and close them.

Each item writes its own events and only in order: opened, filled part by part, closed. `item` is what it is, as an
object, at any moment; closing it writes the same object.
"""

from typing import Any

import msgspec

from gateway.wire import tools
from gateway.wire.canonical import Tool, ToolKind
from gateway.wire.depth import is_deeper_than
from gateway.wire.responses.encode import ItemStatus
from gateway.wire.responses.events import EventWriter, Run, well_formed

ITEM_ADDED = "response.output_item.added"
ITEM_DONE = "response.output_item.done"
MAX_DEPTH = 64

_encoder = msgspec.json.Encoder()
_PREFIXES: dict[ToolKind, str] = {
    "function": "fc",
    "custom": "ctc",
    "local_shell": "lsh",
    "shell": "sh",
    "apply_patch": "apc",
    "tool_search": "tsc",
}
# The items whose text has events of its own: the field that holds it, and how these events are called.
_STREAMED = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}


class MessageItem:
    """What the assistant says; text and refusal are parts of it."""

    def __init__(self, index: int, item_id: str, *, events: EventWriter) -> None:
        self.index = index
        self._id = item_id
        self._events = events
        self._parts: list[dict[str, Any]] = []
        self._run: Run | None = None
        self._is_refusal = False

    def item(self, status: ItemStatus) -> dict[str, Any]:
        parts = list(self._parts)
        if self._run is not None:
            parts.append(_part(self._run.text, is_refusal=self._is_refusal))
        return {"id": self._id, "type": "message", "status": status, "role": "assistant", "content": parts}

    def open(self) -> bytes:
        return self._events.write(ITEM_ADDED, {"output_index": self.index, "item": self.item("in_progress")})

    def write(self, text: str, *, is_refusal: bool) -> bytes:
        if self._run is not None and self._is_refusal is is_refusal:
            return self._run.write(text)
        sent = self._close_part()
        self._is_refusal = is_refusal
        place = self._place()
        self._run = Run(self._events, f"response.{self._said}.delta", place | self._logprobs)
        part = _part("", is_refusal=is_refusal)
        sent += self._events.write("response.content_part.added", place | {"part": part})
        return sent + self._run.write(text)

    def close(self, status: ItemStatus) -> bytes:
        sent = self._close_part()
        return sent + self._events.write(ITEM_DONE, {"output_index": self.index, "item": self.item(status)})

    @property
    def _said(self) -> str:
        return "refusal" if self._is_refusal else "output_text"

    @property
    def _logprobs(self) -> dict[str, Any]:
        return {} if self._is_refusal else {"logprobs": []}

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self.index, "content_index": len(self._parts)}

    def _close_part(self) -> bytes:
        if self._run is None:
            return b""
        place, text = self._place(), self._run.text
        part = _part(text, is_refusal=self._is_refusal)
        done = {"refusal" if self._is_refusal else "text": text}
        sent = self._events.write(f"response.{self._said}.done", place | done | self._logprobs)
        self._parts.append(part)
        self._run = None
        return sent + self._events.write("response.content_part.done", place | {"part": part})


def _part(text: str, *, is_refusal: bool) -> dict[str, Any]:
    if is_refusal:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


class ReasoningItem:
    """What the assistant thinks: readable text as a summary of one part, and the provider's state, sealed."""

    def __init__(self, index: int, item_id: str, *, events: EventWriter) -> None:
        self.index = index
        self.sealed: str | None = None
        self._id = item_id
        self._events = events
        self._run: Run | None = None

    def item(self, status: ItemStatus) -> dict[str, Any]:
        summary = [] if self._run is None else [_summary(self._run.text)]
        item: dict[str, Any] = {"id": self._id, "type": "reasoning", "status": status, "summary": summary}
        if self.sealed is not None:
            item["encrypted_content"] = self.sealed
        return item

    def open(self) -> bytes:
        return self._events.write(ITEM_ADDED, {"output_index": self.index, "item": self.item("in_progress")})

    def write(self, text: str) -> bytes:
        if self._run is not None:
            return self._run.write(text)
        place = self._place()
        sent = self._events.write("response.reasoning_summary_part.added", place | {"part": _summary("")})
        self._run = Run(self._events, "response.reasoning_summary_text.delta", place)
        return sent + self._run.write(text)

    def close(self, status: ItemStatus) -> bytes:
        sent = b""
        if self._run is not None:
            place, text = self._place(), self._run.text
            sent = self._events.write("response.reasoning_summary_text.done", place | {"text": text})
            sent += self._events.write("response.reasoning_summary_part.done", place | {"part": _summary(text)})
        return sent + self._events.write(ITEM_DONE, {"output_index": self.index, "item": self.item(status)})

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self.index, "summary_index": 0}


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


class CallItem:
    """A tool call. It is done when it is closed, never before.

    Only a function can be opened, and its arguments leave as they come then. A call that was not opened is announced
    when it is closed: what kind of item it is can depend on its arguments.
    """

    def __init__(self, tool: Tool, call_id: str, *, events: EventWriter) -> None:
        self.index = -1
        self._id = ""
        self._tool = tool
        self._call_id = call_id
        self._events = events
        self._pieces: list[str] = []
        self._run: Run | None = None

    @property
    def prefix(self) -> str:
        return _PREFIXES[self._tool.kind]

    @property
    def arguments(self) -> str:
        return "".join(self._pieces) if self._run is None else self._run.text

    @property
    def is_announced(self) -> bool:
        return self._run is not None

    def place(self, index: int, item_id: str) -> None:
        """Give the call its place in the output."""
        self.index, self._id = index, item_id

    def item(self, status: ItemStatus) -> dict[str, Any]:
        missing = self._missing() if status == "completed" else ""
        return self._as_item(self.arguments + missing, status)

    def open(self) -> bytes:
        """Announce a function, which has its place, and whose arguments are still to come."""
        self._run = Run(self._events, "response.function_call_arguments.delta", self._at())
        return self._events.write(ITEM_ADDED, {"output_index": self.index, "item": self._as_item("", "in_progress")})

    def write(self, arguments: str) -> bytes:
        if self._run is not None:
            return self._run.write(arguments)
        self._pieces.append(arguments)
        return b""

    def close(self, status: ItemStatus) -> bytes:
        item = self.item(status)
        field, name = _STREAMED.get(item["type"], ("", ""))
        sent = self._announced(item, field, name) if self._run is None else self._completed(self._run, status)
        if field:
            sent += self._events.write(f"{name}.done", self._at() | {field: item[field]})
        return sent + self._events.write(ITEM_DONE, {"output_index": self.index, "item": item})

    def _announced(self, item: dict[str, Any], field: str, name: str) -> bytes:
        """All that comes before the end of a call that was not opened."""
        added = item | {"status": "in_progress"} | ({field: ""} if field else {})
        sent = self._events.write(ITEM_ADDED, {"output_index": self.index, "item": added})
        if field and item[field]:
            sent += Run(self._events, f"{name}.delta", self._at()).write(item[field])
        return sent

    def _completed(self, run: Run, status: ItemStatus) -> bytes:
        """What the arguments lack, as one more piece of them."""
        missing = self._missing() if status == "completed" else ""
        return run.write(missing) if missing else b""

    def _at(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self.index}

    def _missing(self) -> str:
        """Nothing at all is how some providers say: no arguments."""
        return "" if tools.is_free_text(self._tool.kind) or self.arguments.strip() else "{}"

    def _as_item(self, arguments: str, status: ItemStatus) -> dict[str, Any]:
        item = self._item_of(self._tool, arguments, status)
        field, _ = _STREAMED.get(item["type"], ("", ""))
        if field:
            return item | {field: well_formed(item[field])}
        if _is_sendable(item):
            return item
        function = Tool(self._tool.name, namespace=self._tool.namespace)
        return self._item_of(function, well_formed(arguments), status)

    def _item_of(self, tool: Tool, arguments: str, status: ItemStatus) -> dict[str, Any]:
        return tools.to_call_item(tool, item_id=self._id, call_id=self._call_id, arguments=arguments, status=status)


def _is_sendable(item: dict[str, Any]) -> bool:
    """Whether an action can be written: models may escape what UTF-8 cannot hold, or nest without end."""
    try:
        return not is_deeper_than(MAX_DEPTH, _encoder.encode(item))
    except (UnicodeError, RecursionError):
        return False
