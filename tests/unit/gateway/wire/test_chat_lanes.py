"""The way of a chat request to a target of its own format and to one of another, and back."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from gateway.wire import sse
from gateway.wire.canonical import (
    CallBegun,
    CallDelta,
    Counted,
    Delta,
    Finished,
    Message,
    Prompt,
    ReasoningDelta,
    TextDelta,
)
from gateway.wire.chat.decode import from_chat_request
from gateway.wire.chat.lanes import open_chat_lane
from gateway.wire.crossing import Dialect, Written
from gateway.wire.lane import Identity, Lane, Sealer, Target, Unservable
from gateway.wire.usage import Usage

IDENTITY = Identity(UUID(int=1), "smart-route", 7)
ID = f"chatcmpl-{UUID(int=1)}"
USER = {"role": "user", "content": "Hi"}
TOOLS = [
    {"type": "function", "function": {"name": "my.tool", "parameters": {"type": "object"}}},
    {"type": "custom", "custom": {"name": "patch"}},
]


class NoSeal:
    def seal(self, state: str) -> str:
        return state

    def unseal(self, sealed: str) -> str | None:
        return None


class Lines:
    """A decoder of a small format of its own: one kind of delta per event."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self.is_done = False
        self.events = 0

    def feed(self, payload: bytes) -> Sequence[Delta]:
        self.events += 1
        return read_line(payload)


def read_line(line: bytes) -> Sequence[Delta]:
    kind, _, rest = line.decode().partition(" ")
    match kind:
        case "think":
            return [ReasoningDelta(rest)]
        case "say":
            return [TextDelta(rest)]
        case "call":
            name, _, arguments = rest.partition(" ")
            return [CallBegun(0, name), CallDelta(0, arguments)]
        case _:
            return [Finished("stop"), Counted(Usage(1, 0, 2, 0, is_plausible=True))]


def write_lines(prompt: Prompt, target: Target, *, is_stream: bool, sealer: Sealer) -> Written:
    said = [part.text for item in prompt.items if isinstance(item, Message) for part in item.parts]  # type: ignore[union-attr]
    body = {"model": target.model, "said": said, "tools": [tool.name for tool in prompt.tools], "is_stream": is_stream}
    return Written(json.dumps(body).encode(), ("seed",))


LINES = Dialect(
    "/lines",
    write_lines,
    Lines,
    lambda body: [delta for line in body.split(b"\n") for delta in read_line(line)],
    {"x-version": "1"},
)


def opened(target: Target, **fields: Any) -> Lane:
    raw = json.dumps({"model": "smart-route", "messages": [USER], **fields}).encode()
    request = from_chat_request(raw)
    return open_chat_lane(request, target, IDENTITY, lambda p: f"call_{p}", NoSeal(), dialects={"responses": LINES})


def read(raw: bytes) -> list[Any]:
    payloads = [part.removeprefix("data: ") for part in raw.decode().split("\n\n") if part]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def test_a_chat_target_is_reached_straight_through() -> None:
    lane = opened(Target("theirs", drop=("top_k",)), top_k=1, min_p=0.5, stream=True)
    assert (lane.path, lane.ignored, dict(lane.headers)) == ("/chat/completions", ("top_k",), {})
    assert json.loads(lane.body)["min_p"] == 0.5
    sent = lane.answer.feed(b'data: {"model": "theirs", "choices": [{"delta": {"content": "Hi"}}]}\n\n')
    assert (read(sent)[0]["id"], read(sent)[0]["model"]) == (ID, "smart-route")
    assert lane.answer.feed(b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n') == b""
    assert lane.answer.is_done
    assert read(lane.answer.finish())[-1] == "[DONE]"


def test_a_whole_answer_of_a_chat_target_is_taken() -> None:
    lane = opened(Target("theirs"))
    lane.answer.take(b'{"id": "x", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}')
    assert json.loads(lane.answer.finish())["id"] == ID


def test_a_target_of_another_format_is_reached_through_the_canonical_model() -> None:
    lane = opened(Target("theirs", format="responses"), stream=True, tools=TOOLS, top_k=1, seed=3)
    assert (lane.path, dict(lane.headers)) == ("/lines", {"x-version": "1"})
    assert lane.ignored == ("top_k", "seed")
    assert json.loads(lane.body) == {
        "model": "theirs",
        "said": ["Hi"],
        "tools": ["my.tool", "patch"],
        "is_stream": True,
    }


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("call my_tool {}", {"type": "function", "function": {"name": "my.tool", "arguments": "{}"}}),
        ('call patch {"input": "go"}', {"type": "custom", "custom": {"name": "patch", "input": "go"}}),
    ],
)
def test_what_another_format_answers_has_the_clients_kinds_of_tools(line: str, call: dict[str, Any]) -> None:
    whole = opened(Target("theirs", format="responses"), tools=TOOLS)
    whole.answer.take(f"think Hm\n{line}\nend".encode())
    (choice,) = json.loads(whole.answer.finish())["choices"]
    assert choice["message"]["tool_calls"] == [{"id": "call_0", **call}]
    assert choice["message"]["reasoning_content"] == "Hm"

    streamed = opened(
        Target("theirs", format="responses"), tools=TOOLS, stream=True, stream_options={"include_usage": True}
    )
    sent = streamed.answer.feed(b"".join(sse.to_event(part.encode()) for part in ("think Hm", line, "end")))
    assert streamed.answer.has_content
    assert streamed.answer.has_finished
    *chunks, finished, usage, done = read(sent + streamed.answer.finish())
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "reasoning_content": "Hm"}
    assert finished["choices"][0]["finish_reason"] == "stop"
    assert (usage["usage"]["total_tokens"], done) == (3, "[DONE]")
    named = call["type"]
    pieces = [piece[named] for chunk in chunks[1:] for piece in chunk["choices"][0]["delta"]["tool_calls"]]
    joined = {key: "".join(piece.get(key, "") for piece in pieces) for key in call[named]}
    assert joined == call[named]


def test_what_only_a_chat_target_takes_is_said_before_anything_is_sent() -> None:
    with pytest.raises(Unservable) as caught:
        opened(Target("theirs", format="responses"), tools=[{"type": "web_search"}])
    assert caught.value.param == "tools"
    assert opened(Target("theirs"), tools=[{"type": "web_search"}]).path == "/chat/completions"
