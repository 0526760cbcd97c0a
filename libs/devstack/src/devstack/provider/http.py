"""Just enough HTTP/1.1 to be a server whose every byte can be chosen: requests are parsed, answers are put together."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Literal, TypeAlias

Format: TypeAlias = Literal["chat", "responses", "completions", "anthropic"]
_FORMATS: dict[str, Format] = {"responses": "responses", "completions": "completions", "messages": "anthropic"}
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]+)[^\r\n]*\r\n")
Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """One request as it came. Header names are lower case; of a repeated header the last one is kept."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def format(self) -> Format:
        """The wire format, by the path that was called: chat completions unless it ends as another one's does."""
        path = self.path.partition("?")[0].rstrip("/")
        return "chat" if path.endswith("/chat/completions") else _FORMATS.get(path.rpartition("/")[2], "chat")

    @cached_property
    def json(self) -> dict[str, object]:
        """The body as a JSON object; empty when it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def model(self) -> str:
        """The model that was asked for; empty when none was."""
        return str(self.json.get("model", ""))

    @property
    def is_streamed(self) -> bool:
        """The caller wants server-sent events."""
        return self.json.get("stream") is True

    @property
    def wants_usage(self) -> bool:
        """The caller asked for usage at the end of the stream."""
        options = self.json.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True


def parse_head(head: bytes) -> Request:
    """The request without its body. Raises ValueError when `head` is not HTTP."""
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = request_line.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    return Request(method, path, headers, b"")


def take_body(head: Request, data: bytearray) -> bytes | None:
    """Cut the body off the front of `data`; None (and nothing cut) while it is incomplete."""
    if "chunked" in head.headers.get("transfer-encoding", "").lower():
        return _take_chunks(data)
    length = int(head.headers.get("content-length", "0"))
    if len(data) < length:
        return None
    body = bytes(data[:length])
    del data[:length]
    return body


def _take_chunks(data: bytearray) -> bytes | None:
    body, position = bytearray(), 0
    while (match := _CHUNK_SIZE.match(data, position)) is not None:
        start, size = match.end(), int(match[1], 16)
        if len(data) < start + size + 2:
            return None
        body += data[start : start + size]
        position = start + size + 2
        if size == 0:
            del data[:position]
            return bytes(body)
    return None


def take_frame(data: bytearray) -> bytes | None:
    """Cut one piece of a chunked body off the front of `data`, the empty last one too; None while none is whole."""
    match = _CHUNK_SIZE.match(data)
    if match is None:
        return None
    start, size = match.end(), int(match[1], 16)
    if len(data) < start + size + 2:
        return None
    piece = bytes(data[start : start + size])
    del data[: start + size + 2]
    return piece


def head(status: int, headers: Headers) -> bytes:
    """Status line and headers, with the empty line that ends them."""
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(status: int, headers: Headers, body: bytes) -> bytes:
    """A complete answer of known length."""
    return head(status, [*headers, ("Content-Length", str(len(body)))]) + body


def framed(data: bytes) -> bytes:
    """`data` as one piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_FRAME = b"0\r\n\r\n"
