"""What the strictest chat providers ask of a request, in one check."""

import json
from typing import Any

ROLES = {"system", "developer", "user", "assistant", "tool"}
_KEYS = {
    "assistant": {"role", "content", "tool_calls", "reasoning_content"},
    "tool": {"role", "content", "tool_call_id"},
}


def check_strictly(messages: list[dict[str, Any]], *, has_one_system: bool, takes_parallel_calls: bool) -> None:
    """Raises an `AssertionError` where a strict provider would refuse."""
    places = [place for place, message in enumerate(messages) if message["role"] in ("system", "developer")]
    assert not has_one_system or places in ([], [0])
    open_ids: list[str] = []
    used: set[str] = set()
    for message in messages:
        role = message["role"]
        assert role in ROLES
        assert message.keys() <= _KEYS.get(role, {"role", "content"})
        if role == "tool":
            assert open_ids, "a result without its call"
            assert message["tool_call_id"] == open_ids.pop(0)
            assert isinstance(message["content"], str)
            continue
        assert not open_ids, "a call without its result"
        if role == "assistant":
            open_ids = _checked_calls(message)
            assert takes_parallel_calls or len(open_ids) < 2
            assert used.isdisjoint(open_ids)
            used.update(open_ids)
        elif role != "user":
            assert isinstance(message["content"], str)
            assert message["content"]
        else:
            _check_user(message["content"])
    assert not open_ids, "a call without its result"


def _checked_calls(message: dict[str, Any]) -> list[str]:
    calls = message.get("tool_calls")
    content = message["content"]
    assert content is None or (isinstance(content, str) and content)
    if calls is None:
        assert content
        assert "reasoning_content" not in message
        return []
    assert calls
    for call in calls:
        assert call.keys() == {"id", "type", "function"}
        assert call["type"] == "function"
        assert isinstance(json.loads(call["function"]["arguments"]), dict)
    return [call["id"] for call in calls]


def _check_user(content: Any) -> None:
    if isinstance(content, str):
        assert "base64," not in content
        return
    assert content
    for part in content:
        assert part["type"] in ("text", "image_url", "file")
        assert part["type"] != "text" or "base64," not in part["text"]
