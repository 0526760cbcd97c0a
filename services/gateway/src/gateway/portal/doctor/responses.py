"""Responses as Codex speaks and a strict client hears them: the whole history is sent, nothing is stored. Pure."""

from collections.abc import Sequence
from typing import Any

from gateway.portal.doctor.answers import Heard, ToolCall, error_code, parsed
from gateway.portal.doctor.dialogue import (
    DESCRIPTION,
    OUTPUT_TOKENS,
    PARAMETERS,
    PLAIN_QUESTION,
    QUESTION,
    RESULT,
    TOOL,
    Format,
)

_TOOLS = [{"type": "function", "name": TOOL, "description": DESCRIPTION, "parameters": PARAMETERS, "strict": False}]
_TERMINAL = ("response.completed", "response.incomplete", "response.failed")


def _said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def _request(alias: str, items: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "model": alias,
        "input": items,
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": OUTPUT_TOKENS,
        **more,
    }


def _ask(alias: str) -> dict[str, Any]:
    return _request(alias, [_said(QUESTION)], tools=_TOOLS)


def _ask_plainly(alias: str) -> dict[str, Any]:
    return _request(alias, [_said(PLAIN_QUESTION)])


def _go_on(alias: str, heard: Heard) -> dict[str, Any]:
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": RESULT} for call in heard.calls]
    return _request(alias, [_said(QUESTION), *heard.items, *results], tools=_TOOLS)


class _Listener:
    """Checks the order of the events of one stream, and keeps its finished items."""

    def __init__(self) -> None:
        self.events = 0
        self.open: set[int] = set()
        self.items: list[dict[str, Any]] = []
        self.text: list[str] = []

    def feed(self, event: dict[str, Any]) -> str | None:
        """What is wrong with it; None: nothing."""
        kind = event.get("type")
        number, self.events = self.events, self.events + 1
        if (number == 0) is not (kind == "response.created"):
            return "response.created is not its first event, or comes twice"
        if event.get("sequence_number") != number:
            return "its events are not numbered one after the other"
        match kind:
            case "response.output_item.added":
                self.open.add(event.get("output_index", -1))
            case "response.output_item.done":
                return self._close(event)
            case "response.output_text.delta":
                self.text.append(str(event.get("delta", "")))
                if event.get("output_index") not in self.open:
                    return "text comes for an item that is not open"
        return None

    def _close(self, event: dict[str, Any]) -> str | None:
        index, item = event.get("output_index", -1), event.get("item")
        if index not in self.open or not isinstance(item, dict):
            return "an item is done that was not begun"
        self.open.discard(index)
        self.items.append(item)
        return None

    def heard(self, *, fault: str | None, **more: Any) -> Heard:
        calls = [
            ToolCall(str(item.get("call_id", "")), str(item.get("name", "")), str(item.get("arguments", "")))
            for item in self.items
            if item.get("type") == "function_call"
        ]
        return Heard(text="".join(self.text), calls=tuple(calls), items=tuple(self.items), fault=fault, **more)


def hear(payloads: Sequence[bytes]) -> Heard:
    """A stream is complete with one terminal event, which has the whole response in it."""
    listener = _Listener()
    for place, payload in enumerate(payloads):
        event = parsed(payload)
        if event is None:
            return listener.heard(fault="an event is no JSON object")
        if "type" not in event or event["type"] == "error":
            return listener.heard(fault=None, error=error_code(event) or "unknown")
        if (fault := listener.feed(event)) is not None:
            return listener.heard(fault=fault)
        if event["type"] in _TERMINAL:
            return _ended(listener, event, events_after=len(payloads) - place - 1)
    return listener.heard(fault=None)


def _ended(listener: _Listener, event: dict[str, Any], *, events_after: int) -> Heard:
    response = event.get("response")
    response = response if isinstance(response, dict) else {}
    if event["type"] == "response.failed":
        return listener.heard(fault=None, error=error_code(response) or "unknown")
    usage = response.get("usage")
    tokens = None
    if isinstance(usage, dict):
        tokens = (int(usage.get("input_tokens") or 0), int(usage.get("output_tokens") or 0))
    return listener.heard(fault=_fault_of_end(listener, response, events_after), is_complete=True, tokens=tokens)


def _fault_of_end(listener: _Listener, response: dict[str, Any], events_after: int) -> str | None:
    if events_after:
        return "events come after its end"
    if not response.get("id"):
        return "its last event names no response"
    if listener.open:
        return "it ends while an item is open"
    if len(response.get("output") or ()) != len(listener.items):
        return "its last event does not have the items that came before"
    return None


RESPONSES = Format("responses", "/responses", _ask, _ask_plainly, _go_on, hear)
