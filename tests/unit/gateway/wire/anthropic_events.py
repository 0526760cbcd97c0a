"""Events of a Messages stream, as a branded provider sends them, and a sealer for its state."""

import json
from typing import Any

BRAND = "AcmeAI"
THINKING = {"type": "thinking", "thinking": "hm so", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "eHg="}
USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 100, "output_tokens": 1}


def event(type: str, **fields: Any) -> bytes:
    payload = json.dumps({"type": type, **fields, f"{BRAND}_field": BRAND})
    return f"event: {type}\ndata: {payload}\n\n".encode()


def start(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, type: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": type, **fields})


def stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


def text(index: int, *pieces: str) -> bytes:
    more = b"".join(delta(index, "text_delta", text=piece) for piece in pieces)
    return start(index, type="text", text="") + more + stop(index)


def call(index: int, name: str, *pieces: str) -> bytes:
    more = b"".join(delta(index, "input_json_delta", partial_json=piece) for piece in pieces)
    return start(index, type="tool_use", id=f"toolu_{BRAND}", name=name, input={}) + more + stop(index)


MESSAGE_START = event("message_start", message={"id": BRAND, "model": BRAND, "content": [], "usage": USAGE})
PING = event("ping")
MESSAGE_STOP = event("message_stop")


def ending(stop_reason: str | None, **usage: Any) -> bytes:
    return (
        event("message_delta", delta={"stop_reason": stop_reason, "stop_sequence": BRAND}, usage=usage) + MESSAGE_STOP
    )


def payloads(raw: bytes) -> list[bytes]:
    return [part.partition(b"data: ")[2] for part in raw.split(b"\n\n") if part]


def thoughts(index: int) -> bytes:
    return (
        start(index, type="thinking", thinking="", signature="")
        + delta(index, "thinking_delta", thinking="hm")
        + delta(index, "thinking_delta", thinking=" so")
        + delta(index, "signature_delta", signature="c2l")
        + delta(index, "signature_delta", signature="n")
        + stop(index)
    )


class Sealer:
    """Only what begins with its own word was sealed by it."""

    def seal(self, state: str) -> str:
        return "sealed:" + state

    def unseal(self, sealed: str) -> str | None:
        return sealed.removeprefix("sealed:") if sealed.startswith("sealed:") else None
