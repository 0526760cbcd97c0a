"""A guard on the connection itself, for what happens before there is a request that `gateway.edge` could refuse.

uvicorn has no limit on a header block that never ends, none on the time it takes, and answers what is no HTTP in plain
text.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.errors import GatewayError, HeadersTooLarge, RequestInvalid, RequestTimedOut
from gateway.http import error_body
from gateway.ids import new_id

# How long a refused client may go on sending before its connection is dropped.
LINGER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class HeaderLimits:
    """Of one header block: bytes and number. It must end within the time."""

    size_bytes: int
    count: int
    timeout_seconds: float


class GuardedProtocol(HttpToolsProtocol):
    """One connection. The limits are set by `guarded`: uvicorn makes the objects itself."""

    limits: ClassVar[HeaderLimits]

    _deadline: asyncio.TimerHandle | None = None
    # At the start of a connection a header block is what comes next.
    _is_in_headers = True
    _received_bytes = 0
    _received_count = 0
    _is_refused = False

    def connection_made(self, transport: Any) -> None:  # uvicorn narrows asyncio's type, too
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        was_in_headers = self._is_in_headers
        super().data_received(data)
        if not self._is_in_headers:
            return
        if was_in_headers:
            self._received_bytes += len(data)
        if self._received_bytes > self.limits.size_bytes or self._received_count > self.limits.count:
            self._refuse(HeadersTooLarge(self.limits.size_bytes, self.limits.count))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_headers = True
        self._received_bytes = self._received_count = 0
        if self._deadline is None:
            self._await_headers()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._received_count += 1
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_headers = False
        self._forget_deadline()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for what is no HTTP."""
        self._refuse(RequestInvalid(msg, code="invalid_http"))

    def _await_headers(self) -> None:
        self._deadline = self.loop.call_later(self.limits.timeout_seconds, self._on_deadline)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        self._deadline = None
        if self._received_bytes == 0 and self.cycle is None:
            self.transport.close()  # nobody has said a word: nothing to answer
        else:
            self._refuse(RequestTimedOut(self.limits.timeout_seconds))

    def _refuse(self, error: GatewayError) -> None:
        """Answer and close; only close while an earlier response is still being sent on this connection.

        Closed at once, with something unread, the connection would be reset, and the answer could be lost with it: our
        side is closed, and what still comes is thrown away for a moment (RFC 9112 §9.6).
        """
        if self.transport.is_closing() or self._is_refused:
            return
        self._is_refused = True
        self._forget_deadline()
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_response(error))
            self.transport.write_eof()
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()


def guarded(limits: HeaderLimits) -> type[asyncio.Protocol]:
    """uvicorn's protocol with these limits. A block that ends within them is checked exactly by the edge."""
    return type("LimitedProtocol", (GuardedProtocol,), {"limits": limits})


def _response(error: GatewayError) -> bytes:
    body = error_body(error)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        "x-content-type-options": "nosniff",
        "x-request-id": str(new_id()),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return STATUS_LINE[error.status] + lines.encode() + b"\r\n" + body
