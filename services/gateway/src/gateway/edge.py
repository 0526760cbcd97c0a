"""The outermost ASGI layer: what every request gets, whoever answers it.

Request id, a trace of its own, limits on headers and on the declared length, the headers that every response carries,
errors in OpenAI's shape, the duration metric. Nothing that a client sends is trusted: its `traceparent` is linked, its
baggage and its ids are ignored.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.util.types import AttributeValue
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import attributes, telemetry
from gateway.errors import (
    BodyTooLarge,
    GatewayError,
    GatewayStopping,
    HeadersTooLarge,
    InternalError,
    MethodNotAllowed,
    UpgradeRequired,
)
from gateway.http import CONTEXT_KEY, ClientDisconnected, RequestContext, context_of, header, send_error
from gateway.ids import new_id

log = logging.getLogger(__name__)

CLIENT_DISCONNECTED = "client_disconnected"
# Any other method is a metric label of the client's choice.
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_HEADER_OVERHEAD_BYTES = 4  # ": " and the end of the line

request_duration = telemetry.meter.create_histogram(
    "http.server.request.duration", unit="s", description="Time from the request's headers to the response's last byte"
)
active_requests = telemetry.meter.create_up_down_counter(
    "http.server.active_requests", unit="{request}", description="Requests whose response has not ended"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may be at most. The body is counted again while it comes, by who reads it."""

    header_bytes: int
    header_count: int
    body_bytes: int

    def check(self, scope: Scope) -> None:
        """Raises `HeadersTooLarge` and `BodyTooLarge`."""
        headers = scope["headers"]
        size = sum(len(name) + len(value) + _HEADER_OVERHEAD_BYTES for name, value in headers)
        if len(headers) > self.header_count or size + len(scope.get("raw_path") or b"") > self.header_bytes:
            raise HeadersTooLarge(self.header_bytes, self.header_count)
        declared = header(scope, b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > self.body_bytes:
            raise BodyTooLarge(self.body_bytes)


@dataclass(frozen=True, slots=True)
class RawRoute:
    """An endpoint that is called without FastAPI in between: that costs a third of a millisecond on the hot path."""

    method: str
    app: ASGIApp


class Edge:
    """Wraps the application. `raw` are the hot endpoints by exact path; everything else goes to `app`."""

    def __init__(self, app: ASGIApp, *, raw: Mapping[str, RawRoute], limits: Limits) -> None:
        self._app = app
        self._raw = raw
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id()
        scope[CONTEXT_KEY] = RequestContext(request_id, started_at=datetime.now(UTC), started=time.perf_counter())
        span = _start_span(scope, request_id)
        response = _Response(receive, send, request_id=request_id, span=span)
        labels = _labels(scope)
        in_flight = dict(labels)
        active_requests.add(1, in_flight)
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                await self._answer(scope, response)
        except BaseException as exc:
            response.error_type = type(exc).__name__
            raise
        finally:
            active_requests.add(-1, in_flight)
            _finish(scope, response, labels)

    async def _answer(self, scope: Scope, response: "_Response") -> None:
        """Let the endpoint answer, or answer for it."""
        try:
            self._limits.check(scope)
            await self._dispatch(scope, response)
        except ClientDisconnected:
            response.is_disconnected = True
        except GatewayError as error:
            response.error_type = error.code
            await response.fail(error)
        except asyncio.CancelledError:
            # The grace after SIGTERM is over. What has not begun to answer can still be told of it.
            if response.status is not None:
                raise
            stopping = GatewayStopping()
            response.error_type = stopping.code
            await response.fail(stopping)
        except Exception as exc:  # the edge: a crash is ours to log and the customer's to be told of
            response.error_type = type(exc).__name__
            _log_crash(exc)
            await response.fail(InternalError())

    async def _dispatch(self, scope: Scope, response: "_Response") -> None:
        route = self._raw.get(scope["path"])
        if route is None:
            await self._app(scope, response.receive, response.send)
            return
        scope[CONTEXT_KEY].route = scope["path"]
        if scope["method"] != route.method:
            if (header(scope, b"upgrade") or b"").lower() == b"websocket":
                raise UpgradeRequired
            raise MethodNotAllowed(scope["method"], [route.method])
        await route.app(scope, response.receive, response.send)


class _Response:
    """The two ends of one connection, watched: what was sent, when it ended, whether the client is still there."""

    def __init__(self, receive: Receive, send: Send, *, request_id: UUID, span: Span) -> None:
        self.span = span
        self._receive = receive
        self._send = send
        self._headers = [(b"x-request-id", str(request_id).encode()), _NO_SNIFFING]
        traceparent = telemetry.traceparent(span.get_span_context())
        if traceparent is not None:
            self._headers.append((b"traceparent", traceparent.encode()))
        self.status: int | None = None
        self.error_type: str | None = None
        self.ended_at: float | None = None
        self.ended_at_ns: int | None = None
        self.is_disconnected = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and self.ended_at is None:
            self.is_disconnected = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers]
        try:
            await self._send(message)
        except OSError as exc:  # ASGI 2.4: a server may raise it when the client has left
            self.is_disconnected = True
            raise ClientDisconnected from exc
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.ended_at = time.perf_counter()
            self.ended_at_ns = time.time_ns()

    def how_it_failed(self) -> str | None:
        """`error.type` of the span: only our failures are (HTTP conventions: 4xx leaves a SERVER span unset)."""
        if self.is_disconnected:
            return CLIENT_DISCONNECTED
        if self.ended_at is None:
            return self.error_type or "no_response"
        if self.status is not None and self.status >= 500:
            return self.error_type or str(self.status)
        return None

    async def fail(self, error: GatewayError) -> None:
        """Answer with an error. After the status has left it is too late: the server closes the connection."""
        if self.status is None:
            await send_error(self.send, error)


def _start_span(scope: Scope, request_id: UUID) -> Span:
    """The root of the trace. An empty context: whatever the task or the client carries is not our parent."""
    method = scope["method"] if scope["method"] in _KNOWN_METHODS else "HTTP"
    values: dict[str, AttributeValue] = {
        attributes.HTTP_METHOD: method,
        attributes.URL_PATH: scope["path"],
        attributes.URL_SCHEME: scope.get("scheme", "http"),
        attributes.REQUEST_ID: str(request_id),
    }
    theirs = header(scope, telemetry.TRACEPARENT.encode())
    linked = telemetry.parse_traceparent(theirs.decode("latin-1")) if theirs is not None else None
    links = [Link(linked)] if linked is not None else None
    return telemetry.tracer.start_span(method, Context(), SpanKind.SERVER, values, links=links)


def _labels(scope: Scope) -> dict[str, AttributeValue]:
    return {
        attributes.HTTP_METHOD: scope["method"] if scope["method"] in _KNOWN_METHODS else "_OTHER",
        attributes.URL_SCHEME: scope.get("scheme", "http"),
    }


def _finish(scope: Scope, response: _Response, labels: dict[str, AttributeValue]) -> None:
    """Name the span by its route, record the duration up to the last byte, end the span there."""
    context = context_of(scope)
    span = response.span
    route = context.route or getattr(scope.get("route"), "path", None)
    if route:  # where nothing matches FastAPI leaves a route without a path
        labels[attributes.HTTP_ROUTE] = route
        span.set_attribute(attributes.HTTP_ROUTE, route)
        span.update_name(f"{labels[attributes.HTTP_METHOD]!s} {route}")
    if response.status is not None:
        labels[attributes.HTTP_STATUS] = response.status
        span.set_attribute(attributes.HTTP_STATUS, response.status)
    error_type = response.how_it_failed()
    if error_type is not None:
        labels[attributes.ERROR_TYPE] = error_type
        telemetry.mark_failed(span, error_type)
    ended_at = response.ended_at if response.ended_at is not None else time.perf_counter()
    # The span is not current any more: an exemplar needs it.
    request_duration.record(ended_at - context.started, labels, trace.set_span_in_context(span, Context()))
    span.end(response.ended_at_ns)


def _log_crash(exc: Exception) -> None:
    """Where it happened, without the exception's text: that may carry what a customer sent."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)]
    log.error("request crashed", extra={"error": type(exc).__name__, "frames": frames[-20:]})
