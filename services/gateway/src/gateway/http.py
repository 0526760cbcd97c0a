"""HTTP as raw ASGI: bodies in with a limit, JSON and errors out. What both hot and rare endpoints stand on.

`gateway.edge` wraps the whole application and puts a `RequestContext` into every scope; `context_of` reads it.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from starlette.types import Receive, Scope, Send

from gateway.errors import BodyTooLarge, GatewayError, RequestTimedOut

Headers = Iterable[tuple[bytes, bytes]]

CONTEXT_KEY = "smartroute"
JSON_HEADER = (b"content-type", b"application/json")


class ClientDisconnected(Exception):
    """The client left. There is nobody to tell: the edge ends the request quietly, as `client_disconnected`."""


@dataclass(slots=True)
class RequestContext:
    """What the edge knows of a request. `started` is `time.perf_counter()`, for durations.

    `route` is the template of the path; None where FastAPI matches it, or nobody. `body_seconds`: how long the client
    took to send its body.
    """

    request_id: UUID
    started_at: datetime
    started: float
    route: str | None = None
    body_seconds: float = 0.0


def context_of(scope: Scope) -> RequestContext:
    """The context that the edge made for this request."""
    return cast(RequestContext, scope[CONTEXT_KEY])


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that (lower-case) name, or None."""
    for key, value in scope["headers"]:
        if key == name:
            return cast(bytes, value)
    return None


async def read_body(receive: Receive, limit_bytes: int, *, silence_seconds: float = 10.0) -> bytes:
    """The whole body, counted while it comes.

    Raises `BodyTooLarge` as soon as the limit is passed, `RequestTimedOut` when the client sends nothing for
    `silence_seconds`, and `ClientDisconnected`.
    """
    parts: list[bytes] = []
    received = 0
    while True:
        try:
            async with asyncio.timeout(silence_seconds):
                message = await receive()
        except TimeoutError as exc:
            raise RequestTimedOut(silence_seconds) from exc
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        part = message.get("body", b"")
        received += len(part)
        if received > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        if not message.get("more_body", False):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)


async def send_json(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """A whole response in one go. Raises nothing: a client that has left is noticed by the edge."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [JSON_HEADER, length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: GatewayError, headers: Headers = ()) -> None:
    """An error in OpenAI's shape, with the headers that belong to it and those given."""
    own = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in error.headers.items()]
    await send_json(send, error.status, error_body(error), [*own, *headers])


def error_body(error: GatewayError) -> bytes:
    """The JSON of an error, for a response or for the data of a stream's last event."""
    return json.dumps(error.body(), ensure_ascii=False, separators=(",", ":")).encode()
