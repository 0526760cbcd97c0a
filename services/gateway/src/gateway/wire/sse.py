"""Framing of server-sent events (WHATWG HTML, "Event stream interpretation"), and nothing else.

The same bytes give the same events however they are split over reads: lines may end with LF, CRLF or CR, a character of
several bytes may be cut anywhere, several events may come at once. Comments, ids and retry times are dropped.
"""

import re

DEFAULT_LIMIT_BYTES = 1024 * 1024
DONE = b"[DONE]"
# What an event named `error` becomes when its data says nothing.
ERROR_PAYLOAD = b'{"error":{}}'

_ERROR_OBJECT = re.compile(rb'"error"\s*:')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """One event is larger than the limit: no honest provider sends that."""


class Splitter:
    """Turns reads into the data of events. Feed it in order; `close` gives what an unfinished last event holds."""

    def __init__(self, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._tail = bytearray()
        self._is_start = True
        self._ends_with_return = False

    def feed(self, read: bytes) -> list[bytes]:
        """The data of every event that is complete now. Raises `EventTooLarge`."""
        if self._is_start:
            read = self._without_mark(read)
        if self._ends_with_return or b"\r" in read:
            read = self._with_plain_newlines(read)
        tail = self._tail
        # Only the newly read part can end an event, with one byte before it: searching all again would be quadratic.
        begin = max(len(tail) - 1, 0)
        tail += read
        end = tail.rfind(b"\n\n", begin)
        if end < 0:
            if len(tail) > self._limit_bytes:
                raise EventTooLarge
            return []
        events = bytes(tail[:end]).split(b"\n\n")
        del tail[: end + 2]
        return self._payloads(events)

    def close(self) -> list[bytes]:
        """The last event of a provider that ends without an empty line."""
        events, self._tail = bytes(self._tail), bytearray()
        self._ends_with_return = False
        return self._payloads([events])

    def _payloads(self, events: list[bytes]) -> list[bytes]:
        payloads = []
        for event in events:
            if len(event) > self._limit_bytes:
                raise EventTooLarge
            if event.startswith(b"data: ") and b"\n" not in event:
                payloads.append(event[6:])
            elif (payload := _payload(event)) is not None:
                payloads.append(payload)
        return payloads

    def _without_mark(self, read: bytes) -> bytes:
        self._tail += read
        if len(self._tail) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(self._tail):
            return b""
        read, self._tail = bytes(self._tail), bytearray()
        self._is_start = False
        return read.removeprefix(_BYTE_ORDER_MARK)

    def _with_plain_newlines(self, read: bytes) -> bytes:
        # A CR at the end of a read may be half of a CRLF: it is kept until the next byte tells.
        if self._ends_with_return and read:
            read = b"\r" + read
            self._ends_with_return = False
        if read.endswith(b"\r"):
            self._ends_with_return = True
            read = read[:-1]
        return read.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _payload(event: bytes) -> bytes | None:
    """The data of one event by the long way: several lines, named events, comments."""
    lines: list[bytes] = []
    is_error = False
    for line in event.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            lines.append(value)
        elif name == b"event":
            is_error = value == b"error"
    data = b"\n".join(lines) if lines else None
    return _as_error(data) if is_error else data


def _as_error(data: bytes | None) -> bytes:
    """The data of an event named `error`, so that its reader sees an `error` in it however the provider wrote it."""
    if data is None or not data.startswith(b"{"):
        return ERROR_PAYLOAD
    return data if _ERROR_OBJECT.search(data) else b'{"error":' + data + b"}"


def to_event(payload: bytes) -> bytes:
    """One event on the wire. `payload` has no line breaks, as JSON and `[DONE]` have none."""
    return b"data: " + payload + b"\n\n"
