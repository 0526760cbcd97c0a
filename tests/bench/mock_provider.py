"""A provider that answers from prepared bytes: the far end of every measurement, and never its bottleneck.

One asyncio `Protocol`, no HTTP library: it looks for the end of the headers, reads the content length, and writes a
prepared answer. It speaks Responses below `/v1/responses` and chat everywhere else. What it answers is decided by two
fields of the request body: `stream`, and a model named `paced`, which gets its chunks one by one at `--interval-ms`
instead of in one write. In both formats the first of the chunks only opens the answer, and each of the others is a
word. It is a stand-in for load only; the scripted provider of `devstack.provider` is the one for behaviour.

It also swallows telemetry: what is posted to `/v1/traces` and `/v1/metrics` is answered as a collector would, so that
the product can be measured with its exporters at work.

Run as `python mock_provider.py --port 0`; the first line of its output is the port.
"""

import argparse
import asyncio
import json
import re
import sys
from dataclasses import dataclass
from typing import cast

import uvloop

CHUNKS = 100
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_STREAMED = re.compile(rb'"stream"\s*:\s*true')
_PACED = re.compile(rb'"model"\s*:\s*"paced"')
_TELEMETRY = (b"POST /v1/traces ", b"POST /v1/metrics ", b"POST /v1/logs ")
_TELEMETRY_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
_RESPONSES = b"POST /v1/responses "
_CREATED = 1_700_000_000
_USAGE = {"prompt_tokens": 120, "completion_tokens": CHUNKS, "total_tokens": 120 + CHUNKS}
_WORDS = [f" word{number:04d}" for number in range(1, CHUNKS)]
_SENTENCES = "Smart Route benchmark answer. " * 20


def _chunk(**fields: object) -> bytes:
    head = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": _CREATED, "model": "mock"}
    return b"data: " + json.dumps({**head, **fields}).encode() + b"\n\n"


def _content(text: str, role: str | None = None) -> bytes:
    delta = {"content": text} if role is None else {"role": role, "content": text}
    return _chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}])


def _json_answer() -> bytes:
    message = {"role": "assistant", "content": _SENTENCES, "refusal": None}
    return _json_body(
        {
            "id": "chatcmpl-mock",
            "object": "chat.completion",
            "created": _CREATED,
            "model": "mock",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": _USAGE,
        }
    )


def _json_body(payload: dict[str, object]) -> bytes:
    body = json.dumps(payload).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def _framed(data: bytes) -> bytes:
    """`data` as one chunk of HTTP's chunked transfer encoding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Answers:
    """What is said in one format: whole, and as a stream, in pieces with an end or (`burst`) all at once."""

    whole: bytes
    pieces: list[bytes]
    end: bytes
    burst: bytes


def _chat_answers() -> Answers:
    events = [_content("", "assistant"), *map(_content, _WORDS)]
    tail = (
        _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": None}])
        + _chunk(choices=[], usage=_USAGE)
        + b"data: [DONE]\n\n"
    )
    return _prepared(_json_answer(), events, tail)


def _prepared(whole: bytes, events: list[bytes], tail: bytes) -> Answers:
    pieces, end = [_framed(event) for event in events], _framed(tail) + b"0\r\n\r\n"
    return Answers(whole, pieces, end, STREAM_HEAD + b"".join(pieces) + end)


def _response(text: str | None) -> dict[str, object]:
    """The response object, begun (None) or ended."""
    head: dict[str, object] = {"id": "resp_mock", "object": "response", "created_at": _CREATED, "model": "mock"}
    head |= {"error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "tools": []}
    head |= {"parallel_tool_calls": True, "tool_choice": "auto", "temperature": 1.0, "top_p": 1.0, "store": False}
    if text is None:
        return {**head, "status": "in_progress", "output": [], "usage": None}
    usage: dict[str, object] = {"input_tokens": 120, "input_tokens_details": {"cached_tokens": 0}}
    usage |= {"output_tokens": CHUNKS, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 120 + CHUNKS}
    return {**head, "status": "completed", "output": [_message("completed", [_part(text)])], "usage": usage}


def _message(status: str, content: list[dict[str, object]]) -> dict[str, object]:
    return {"id": "msg_mock", "type": "message", "status": status, "role": "assistant", "content": content}


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _responses_answers() -> Answers:
    """As OpenAI sends it, with the padding that hides how long a word is."""
    text = "".join(_WORDS)
    at: dict[str, object] = {"item_id": "msg_mock", "output_index": 0, "content_index": 0}
    said: dict[str, object] = {**at, "logprobs": []}
    opening: list[tuple[str, dict[str, object]]] = [
        ("response.created", {"response": _response(None)}),
        ("response.in_progress", {"response": _response(None)}),
        ("response.output_item.added", {"output_index": 0, "item": _message("in_progress", [])}),
        ("response.content_part.added", {**at, "part": _part("")}),
    ]
    words = [("response.output_text.delta", {**said, "delta": word, "obfuscation": "k3Xw9qL"}) for word in _WORDS]
    closing: list[tuple[str, dict[str, object]]] = [
        ("response.output_text.done", {**said, "text": text}),
        ("response.content_part.done", {**at, "part": _part(text)}),
        ("response.output_item.done", {"output_index": 0, "item": _message("completed", [_part(text)])}),
        ("response.completed", {"response": _response(text)}),
    ]
    events = [
        f"event: {name}\ndata: {json.dumps({'type': name, **fields, 'sequence_number': number})}\n\n".encode()
        for number, (name, fields) in enumerate([*opening, *words, *closing])
    ]
    first, last = len(opening), len(opening) + len(words)
    pieces = [b"".join(events[:first]), *events[first:last]]
    return _prepared(_json_body(_response(_SENTENCES)), pieces, b"".join(events[last:]))


CHAT = _chat_answers()
RESPONSES = _responses_answers()


class MockProvider(asyncio.Protocol):
    """One connection; answers requests in the order they come."""

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._pacing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport does not subclass asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._pacing is not None:
            self._pacing.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < total:
                return
            is_telemetry = self._buffer.startswith(_TELEMETRY)
            answers = RESPONSES if self._buffer.startswith(_RESPONSES) else CHAT
            body, self._buffer = self._buffer[end + 4 : total], self._buffer[total:]
            if is_telemetry:
                self._write(_TELEMETRY_ANSWER)
            else:
                self._answer(body, answers)

    def _answer(self, body: bytes, answers: Answers) -> None:
        if not _STREAMED.search(body):
            self._write(answers.whole)
        elif _PACED.search(body):
            self._pacing = asyncio.get_running_loop().create_task(self._pace(answers))
        else:
            self._write(answers.burst)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def _pace(self, answers: Answers) -> None:
        """Write one chunk per interval, on an absolute timetable so that lateness does not add up."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        head = STREAM_HEAD
        for piece in answers.pieces:
            self._write(head + piece)
            head = b""
            due += self._interval_seconds
            await asyncio.sleep(due - loop.time())
        self._write(answers.end)


async def serve(port: int, interval_seconds: float) -> None:
    """Serve on 127.0.0.1 until cancelled; port 0 takes a free one and says which."""
    server = await asyncio.get_running_loop().create_server(lambda: MockProvider(interval_seconds), "127.0.0.1", port)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--interval-ms", type=float, default=2.0)
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.interval_ms / 1000))


if __name__ == "__main__":
    main()
