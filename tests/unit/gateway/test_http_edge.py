"""The outermost layer around endpoints of the test's own: errors, crashes, clients that leave, spans."""

import json
import logging
import time

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import telemetry
from gateway.edge import Edge, Limits, RawRoute
from gateway.errors import ContextTooLong, ServiceUnavailable
from gateway.http import ClientDisconnected, context_of, read_body, send_json

SECRET = "what the customer said"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "tracer", provider.get_tracer("test"))
    return exporter


async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    await send_json(send, 200, b'"elsewhere"')


def edge(endpoint: ASGIApp, *, body_bytes: int = 1000) -> Edge:
    limits = Limits(header_bytes=1000, header_count=20, body_bytes=body_bytes)
    return Edge(elsewhere, raw={"/v1/hot": RawRoute("POST", endpoint)}, limits=limits)


def client(app: Edge) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


async def test_a_hot_endpoint_gets_its_path_exactly_and_the_rest_goes_on(spans: InMemorySpanExporter) -> None:
    async def hot(scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        assert context.started_at.tzinfo is not None
        await send_json(send, 200, json.dumps(str(context.request_id)).encode())

    async with client(edge(hot)) as it:
        response = await it.post("/v1/hot")
        assert response.json() == response.headers["x-request-id"]
        assert (await it.post("/v1/hot/")).json() == "elsewhere"
        refused = await it.get("/v1/hot")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    names = [span.name for span in spans.get_finished_spans()]
    assert names == ["POST /v1/hot", "POST", "GET /v1/hot"]


@pytest.mark.parametrize(
    ("error", "status", "is_ours"), [(ContextTooLong(), 400, False), (ServiceUnavailable(), 503, True)]
)
async def test_an_error_of_the_catalogue_is_rendered_and_only_ours_fail_the_span(
    spans: InMemorySpanExporter, error: ContextTooLong | ServiceUnavailable, status: int, is_ours: bool
) -> None:
    async def hot(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    async with client(edge(hot)) as it:
        response = await it.post("/v1/hot")
    assert (response.status_code, response.json()["error"]["code"]) == (status, error.code)
    span = only(spans)
    assert span.attributes is not None
    assert span.attributes.get("error.type") == (error.code if is_ours else None)
    assert (span.status.status_code is StatusCode.ERROR) == is_ours


async def test_a_crash_is_a_500_without_any_of_its_text_in_response_log_or_span(
    spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    async def hot(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError(SECRET)

    async with client(edge(hot)) as it:
        response = await it.post("/v1/hot")
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.__dict__["error"] == "KeyError"
    assert any(frame.endswith(" hot") for frame in record.__dict__["frames"])
    span = only(spans)
    assert span.attributes is not None
    assert span.attributes["error.type"] == "KeyError"
    assert SECRET not in response.text + repr(record.__dict__) + span.to_json()


class Connection:
    """A client that says these messages; what is sent to it is kept."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        return self._messages.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def ask(self, app: Edge) -> None:
        headers = [(b"traceparent", b"garbage")]
        scope = {"type": "http", "method": "POST", "path": "/v1/hot", "raw_path": b"/v1/hot", "headers": headers}
        await app(scope, self.receive, self.send)


async def test_a_client_that_leaves_is_no_crash(spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture) -> None:
    async def hot(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive, 10)

    connection = Connection({"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"})
    await connection.ask(edge(hot))
    span = only(spans)
    assert connection.sent == []
    assert not caplog.records
    assert span.attributes is not None
    assert span.attributes["error.type"] == "client_disconnected"


async def test_a_server_that_says_the_client_left_while_sending_is_understood(spans: InMemorySpanExporter) -> None:
    async def hot(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ClientDisconnected):
            await send_json(send, 200, b"1")
        raise ClientDisconnected

    class Gone(Connection):
        async def send(self, message: Message) -> None:
            raise OSError

    await Gone().ask(edge(hot))
    span = only(spans)
    assert span.attributes is not None
    assert span.attributes["error.type"] == "client_disconnected"


async def test_a_crash_in_the_middle_of_a_response_sends_no_second_one(spans: InMemorySpanExporter) -> None:
    async def hot(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError(SECRET)

    connection = Connection()
    await connection.ask(edge(hot))
    assert [message["type"] for message in connection.sent] == ["http.response.start"]
    span = only(spans)
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ValueError"


async def test_the_span_ends_with_the_last_byte_not_with_what_comes_after(spans: InMemorySpanExporter) -> None:
    after: list[int] = []

    async def hot(scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, 200, b"1")
        after.append(time.time_ns())

    async with client(edge(hot)) as it:
        await it.post("/v1/hot")
    end = only(spans).end_time
    assert end is not None
    assert end <= after[0]


async def test_a_declared_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    async def hot(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("not reached")

    async with client(edge(hot, body_bytes=10)) as it:
        response = await it.post("/v1/hot", content=b"x" * 11)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")
