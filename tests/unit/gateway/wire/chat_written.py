"""Prompts as they are written for a chat provider, read again for tests."""

import json
from typing import Any

from gateway.wire.canonical import Item, Prompt, ToolCall
from gateway.wire.chat.provider import write_request
from gateway.wire.lane import Quirks, Target

PNG = "data:image/png;base64,AAAA"
PDF = "data:application/pdf;base64,AAAA"


class Seals:
    """Seals by writing a letter before the state."""

    def seal(self, state: str) -> str:
        return f"s{state}"

    def unseal(self, sealed: str) -> str | None:
        return sealed[1:] if sealed.startswith("s") else None


def written(prompt: Prompt, target: Target | None = None, *, is_stream: bool = False) -> dict[str, Any]:
    target = target or Target("theirs")
    body: dict[str, Any] = json.loads(write_request(prompt, target, is_stream=is_stream, sealer=Seals()).body)
    return body


def messages(*items: Item, **quirks: Any) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = written(Prompt(items), Target("theirs", quirks=Quirks(**quirks)))["messages"]
    return read


def said(*calls: ToolCall, content: str | None = None, **more: Any) -> dict[str, Any]:
    made = [
        {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in calls
    ]
    return {"role": "assistant", "content": content, **more, "tool_calls": made}
