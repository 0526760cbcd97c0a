"""A Responses provider's events as tests write them: a branded one, whose name is in everything that it may say."""

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from gateway.wire.lane import Identity, Target
from gateway.wire.responses.decode import from_responses_request
from gateway.wire.responses.native.answer import NativeAnswer
from gateway.wire.responses.native.lane import native_lane
from gateway.wire.responses.request import ResponsesRequest
from tests.unit.gateway.wire.responses_rules import read_events

BRAND = "AcmeAI"
ID = UUID("019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")
HEX = ID.hex
IDENTITY = Identity(ID, "smart-route-mini", 1_700_000_000)
TARGET = Target("acme-1", format="responses")
USAGE = {"input_tokens": 7, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 99}

Event = dict[str, Any]


class Seal:
    """Makes `state` to `sealed:<n>`, with nothing of the state in it."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def seal(self, state: str) -> str:
        self.states.append(state)
        return f"sealed:{len(self.states) - 1}"

    def unseal(self, sealed: str) -> str | None:
        return sealed.removeprefix("ours:") if sealed.startswith("ours:") else None


def mint(place: int) -> str:
    return f"call_{place}"


def asked(**fields: Any) -> ResponsesRequest:
    body = {"model": "smart-route-mini", "input": "Hi", "stream": True, "store": False, **fields}
    return from_responses_request(json.dumps(body).encode())


def new_answer(**fields: Any) -> NativeAnswer:
    answer = native_lane(asked(**fields), TARGET, IDENTITY, mint, Seal()).answer
    assert isinstance(answer, NativeAnswer)
    return answer


def raw(events: Iterable[Event]) -> bytes:
    """The bytes of events, numbered, with what a branded provider adds to each."""
    sent = b""
    for number, event in enumerate(events):
        payload = json.dumps({**event, "sequence_number": number, "obfuscation": BRAND, f"{BRAND}_field": BRAND})
        sent += f"event: {event['type']}\ndata: {payload}\n\n".encode()
    return sent


def fed(answer: NativeAnswer, events: Iterable[Event]) -> list[Event]:
    return read_events(answer.feed(raw(events)))


def passed(events: Iterable[Event], **fields: Any) -> list[Event]:
    """All that leaves for a whole stream."""
    answer = new_answer(**fields)
    sent = answer.feed(raw(events)) + answer.end()
    assert answer.failure is None, answer.failure
    return read_events(sent + answer.finish())


def types(events: Sequence[Event]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def response(output: Sequence[Event] = (), status: str = "completed", **more: Any) -> Event:
    """A response object with everything in it that tells whose it is."""
    return {
        "id": f"resp_{BRAND}",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": f"{BRAND}-1",
        "output": list(output),
        "instructions": BRAND,
        "metadata": {"a": BRAND},
        "tools": [{"type": "function", "name": BRAND, "parameters": {}}],
        "service_tier": BRAND,
        "safety_identifier": BRAND,
        "system_fingerprint": BRAND,
        "previous_response_id": BRAND,
        "usage": {**USAGE, "cost": BRAND},
        **more,
    }


def created() -> list[Event]:
    begun = response(status="in_progress", usage=None)
    return [{"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun}]


def completed(*output: Event, **more: Any) -> Event:
    return {"type": "response.completed", "response": response(output, **more)}


def added(item: Event, index: int = 0) -> Event:
    return {"type": "response.output_item.added", "output_index": index, "item": {**item, "created_by": BRAND}}


def done(item: Event, index: int = 0) -> Event:
    return {"type": "response.output_item.done", "output_index": index, "item": {**item, "created_by": BRAND}}


def about(item: Event, event: str, index: int = 0, **fields: Any) -> Event:
    return {"type": f"response.{event}", "item_id": item["id"], "output_index": index, **fields}


def message(text: str = "", status: str = "completed", place: int = 0) -> Event:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}] if text else []
    item = {"id": f"msg_{BRAND}{place}", "type": "message", "role": "assistant"}
    return {**item, "status": status, "content": content}


def call(arguments: str = "", status: str = "completed", name: str = "f", place: int = 0) -> Event:
    ids = {"id": f"fc_{BRAND}{place}", "type": "function_call", "call_id": f"call_{BRAND}{place}"}
    return {**ids, "name": name, "arguments": arguments, "status": status}


def reasoning(summary: str = "", state: str | None = BRAND) -> Event:
    parts = [{"type": "summary_text", "text": summary}] if summary else []
    item = {"id": f"rs_{BRAND}", "type": "reasoning", "summary": parts}
    return item if state is None else {**item, "encrypted_content": state}


def text_events(pieces: Sequence[str], index: int = 0) -> list[Event]:
    """A message as OpenAI streams it."""
    item, text = message(place=index), "".join(pieces)
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    where = {"index": index, "content_index": 0}
    return [
        added({**item, "status": "in_progress"}, index),
        about(item, "content_part.added", **where, part=part),
        *(about(item, "output_text.delta", **where, delta=piece, logprobs=[]) for piece in pieces),
        about(item, "output_text.done", **where, text=text, logprobs=[]),
        about(item, "content_part.done", **where, part={**part, "text": text}),
        done(message(text, place=index), index),
    ]


def call_events(pieces: Sequence[str], index: int = 0, name: str = "f") -> list[Event]:
    """A function call as OpenAI streams it."""
    item, arguments = call(name=name, place=index), "".join(pieces)
    return [
        added({**item, "status": "in_progress"}, index),
        *(about(item, "function_call_arguments.delta", index, delta=piece) for piece in pieces),
        about(item, "function_call_arguments.done", index, arguments=arguments, name=name),
        done(call(arguments, name=name, place=index), index),
    ]


def reasoning_events(pieces: Sequence[str], index: int = 0) -> list[Event]:
    """Thoughts with a summary as OpenAI streams them."""
    item, text = reasoning(), "".join(pieces)
    where = {"index": index, "summary_index": 0}
    return [
        added(item, index),
        about(item, "reasoning_summary_part.added", **where, part={"type": "summary_text", "text": ""}),
        *(about(item, "reasoning_summary_text.delta", **where, delta=piece) for piece in pieces),
        about(item, "reasoning_summary_text.done", **where, text=text),
        about(item, "reasoning_summary_part.done", **where, part={"type": "summary_text", "text": text}),
        done(reasoning(text), index),
    ]


def ended(events: Sequence[Event]) -> list[Event]:
    """Around the items of a stream what belongs around them."""
    output = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    return [*created(), *events, completed(*output)]
