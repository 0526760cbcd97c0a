"""A provider that answers from prepared bytes: the far end of every measurement, and never its bottleneck.

One asyncio `Protocol`, no HTTP library: it looks for the end of the headers, reads the content length, and writes a
prepared answer. What it answers is decided by two fields of the request body: `stream`, and a model named `paced`,
which gets its chunks one by one at `--interval-ms` instead of in one write. It is a stand-in for load only; the
scripted provider of `devstack.provider` is the one for behaviour.

It also swallows telemetry: what is posted to `/v1/traces` and `/v1/metrics` is answered as a collector would, so that
the product can be measured with its exporters at work.

Run as `python mock_provider.py --port 0`; the first line of its output is the port.
"""

import argparse
import asyncio
import json
import re
import sys
from typing import cast

import uvloop

CHUNKS = 100
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_STREAMED = re.compile(rb'"stream"\s*:\s*true')
_PACED = re.compile(rb'"model"\s*:\s*"paced"')
_TELEMETRY = (b"POST /v1/traces ", b"POST /v1/metrics ", b"POST /v1/logs ")
_TELEMETRY_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
_USAGE = {"prompt_tokens": 120, "completion_tokens": CHUNKS, "total_tokens": 120 + CHUNKS}


def _chunk(**fields: object) -> bytes:
    head = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "mock"}
    return b"data: " + json.dumps({**head, **fields}).encode() + b"\n\n"


def _content(text: str, role: str | None = None) -> bytes:
    delta = {"content": text} if role is None else {"role": role, "content": text}
    return _chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}])


def _json_answer() -> bytes:
    message = {"role": "assistant", "content": "Smart Route benchmark answer. " * 20, "refusal": None}
    body = json.dumps(
        {
            "id": "chatcmpl-mock",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "mock",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": _USAGE,
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def _framed(data: bytes) -> bytes:
    """`data` as one chunk of HTTP's chunked transfer encoding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


JSON_ANSWER = _json_answer()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_EVENTS = [_content("", "assistant"), *(_content(f" word{number:04d}") for number in range(1, CHUNKS))]
STREAM_TAIL = (
    _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": None}])
    + _chunk(choices=[], usage=_USAGE)
    + b"data: [DONE]\n\n"
)
STREAM_END = _framed(STREAM_TAIL) + b"0\r\n\r\n"
BURST_ANSWER = STREAM_HEAD + b"".join(_framed(event) for event in STREAM_EVENTS) + STREAM_END
PACED_PIECES = [_framed(event) for event in STREAM_EVENTS]


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
            body, self._buffer = self._buffer[end + 4 : total], self._buffer[total:]
            if is_telemetry:
                self._write(_TELEMETRY_ANSWER)
            else:
                self._answer(body)

    def _answer(self, body: bytes) -> None:
        if not _STREAMED.search(body):
            self._write(JSON_ANSWER)
        elif _PACED.search(body):
            self._pacing = asyncio.get_running_loop().create_task(self._pace())
        else:
            self._write(BURST_ANSWER)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def _pace(self) -> None:
        """Write one chunk per interval, on an absolute timetable so that lateness does not add up."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        head = STREAM_HEAD
        for piece in PACED_PIECES:
            self._write(head + piece)
            head = b""
            due += self._interval_seconds
            await asyncio.sleep(due - loop.time())
        self._write(STREAM_END)


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
