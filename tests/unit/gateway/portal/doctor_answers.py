"""Answers as the endpoint gives them, for tests of how the doctor judges them."""

import json
from typing import Any

from gateway.portal.doctor.answers import Answer

ALIASES = ("smart-route-mini", "smart-route", "smart-route-focus")
CALL_ID = "call_" + "A" * 35
TURN = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"


def a_reply(body: object, *, status: int = 200, **headers: str) -> Answer:
    """An answer that is no stream."""
    return Answer(status, {"x-request-id": "req-1", **headers}, json.dumps(body).encode(), seconds=0.1)


def an_error(status: int, code: str) -> Answer:
    return a_reply({"error": {"message": "words", "type": "t", "param": None, "code": code}}, status=status)


def a_stream(payloads: list[object], *, call: int = 1, turn: str = TURN, is_cut: bool = False) -> Answer:
    """An answer that is one."""
    headers = {"x-request-id": f"req-{call}", "x-smartroute-turn": f"{turn}; call={call}; calls=50"}
    raw = tuple(payload if isinstance(payload, bytes) else json.dumps(payload).encode() for payload in payloads)
    return Answer(200, headers, payloads=raw, is_stream=True, is_cut=is_cut, first_seconds=0.2, seconds=0.5)


def a_chunk(delta: dict[str, Any], *, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion.chunk", "choices": [choice]}


USAGE_CHUNK = {
    "id": "x",
    "object": "chat.completion.chunk",
    "choices": [],
    "usage": {"prompt_tokens": 11, "completion_tokens": 5},
}
DONE = b"[DONE]"


def chat_words() -> list[object]:
    """A whole answer in words."""
    return [a_chunk({"role": "assistant", "content": "It is "}), a_chunk({"content": "warm."}), *chat_end("stop")]


def chat_end(reason: str) -> list[object]:
    return [a_chunk({}, finish=reason), USAGE_CHUNK, DONE]


def chat_call(arguments: str = '{"room": "kitchen"}', *, name: str = "read_thermometer") -> list[object]:
    """A whole answer that calls the tool, its arguments in two pieces."""
    function = {"name": name, "arguments": ""}
    begun = {"tool_calls": [{"index": 0, "id": CALL_ID, "type": "function", "function": function}]}
    half = len(arguments) // 2
    pieces = [
        a_chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        for piece in (arguments[:half], arguments[half:])
    ]
    return [a_chunk(begun), *pieces, *chat_end("tool_calls")]


CALL_ITEM = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": CALL_ID,
    "name": "read_thermometer",
    "arguments": '{"room": "kitchen"}',
    "status": "completed",
}
MESSAGE_ITEM = {"type": "message", "id": "msg_1", "role": "assistant", "content": [], "status": "completed"}


def response_events(item: dict[str, Any] = CALL_ITEM, *, usage: bool = True) -> list[dict[str, Any]]:
    """A whole response with one item; a message also has a piece of text."""
    told = {"input_tokens": 11, "output_tokens": 5} if usage else None
    text = {"type": "response.output_text.delta", "output_index": 0, "delta": "It is warm."}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "resp_1"}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        *([text] if item["type"] == "message" else []),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"id": "resp_1", "output": [item], "usage": told}},
    ]
    return numbered(events)


def numbered(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]
