"""Chat completions as a strict client speaks and hears them. Pure."""

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

_DONE = b"[DONE]"
_TOOLS = [{"type": "function", "function": {"name": TOOL, "description": DESCRIPTION, "parameters": PARAMETERS}}]


def _request(alias: str, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "model": alias,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": OUTPUT_TOKENS,
        **more,
    }


def _ask(alias: str) -> dict[str, Any]:
    return _request(alias, [{"role": "user", "content": QUESTION}], tools=_TOOLS)


def _ask_plainly(alias: str) -> dict[str, Any]:
    return _request(alias, [{"role": "user", "content": PLAIN_QUESTION}])


def _go_on(alias: str, heard: Heard) -> dict[str, Any]:
    calls = [
        {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in heard.calls
    ]
    results = [{"role": "tool", "tool_call_id": call.call_id, "content": RESULT} for call in heard.calls]
    said = {"role": "assistant", "content": heard.text or None, "tool_calls": calls}
    return _request(alias, [{"role": "user", "content": QUESTION}, said, *results], tools=_TOOLS)


class _Listener:
    """Puts the chunks of one stream together."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.calls: dict[int, dict[str, str]] = {}
        self.tokens: tuple[int, int] | None = None
        self.finishes = 0

    def feed(self, chunk: dict[str, Any]) -> str | None:
        """What is wrong with it; None: nothing."""
        if chunk.get("object") != "chat.completion.chunk" or not isinstance(chunk.get("choices"), list):
            return "an event is no chunk of a chat completion"
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.tokens = (int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
        for choice in chunk["choices"]:
            self.finishes += choice.get("finish_reason") is not None
            delta = choice.get("delta") or {}
            self.text.append(delta.get("content") or "")
            for piece in delta.get("tool_calls") or []:
                self._add(piece)
        return None

    def _add(self, piece: dict[str, Any]) -> None:
        call = self.calls.setdefault(piece.get("index", 0), {"id": "", "name": "", "arguments": ""})
        function = piece.get("function") or {}
        call["id"] = piece.get("id") or call["id"]
        call["name"] = function.get("name") or call["name"]
        call["arguments"] += function.get("arguments") or ""

    def heard(self, *, is_complete: bool, fault: str | None, error: str | None = None) -> Heard:
        calls = [ToolCall(call["id"], call["name"], call["arguments"]) for _, call in sorted(self.calls.items())]
        return Heard(
            text="".join(self.text),
            calls=tuple(calls),
            tokens=self.tokens,
            is_complete=is_complete,
            error=error,
            fault=fault,
        )


def hear(payloads: Sequence[bytes]) -> Heard:
    """A stream is complete with one finish reason and `[DONE]` as its very last event."""
    listener = _Listener()
    for place, payload in enumerate(payloads):
        if payload == _DONE:
            return listener.heard(is_complete=True, fault=_fault_of_end(listener, len(payloads) - place - 1))
        chunk = parsed(payload)
        if chunk is None:
            return listener.heard(is_complete=False, fault="an event is no JSON object")
        if "error" in chunk:
            return listener.heard(is_complete=False, fault=None, error=error_code(chunk) or "unknown")
        if (fault := listener.feed(chunk)) is not None:
            return listener.heard(is_complete=False, fault=fault)
    return listener.heard(is_complete=False, fault=None)


def _fault_of_end(listener: _Listener, events_after: int) -> str | None:
    if events_after:
        return "events come after [DONE]"
    if listener.finishes != 1:
        return f"it has {listener.finishes} finish reasons instead of one"
    return None


CHAT = Format("chat", "/chat/completions", _ask, _ask_plainly, _go_on, hear)
