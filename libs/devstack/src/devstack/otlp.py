"""A collector for tests: takes OTLP over HTTP (protobuf, gzip) and lets a test ask what was exported.

    with OtlpReceiver() as receiver:
        ...                                  # start services with receiver.environment
        await receiver.wait_for_spans(trace_id, count=9)
        assert receiver.outline(trace_id) == EXPECTED

The server runs in threads of its own, so that neither a blocked event loop nor a busy test delays it.
"""

import asyncio
import gzip
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self, TypeAlias

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

Value: TypeAlias = str | bool | int | float | bytes | tuple["Value", ...] | None
Attributes: TypeAlias = dict[str, Value]
Tree: TypeAlias = list[tuple[str, "Tree"]]
Labels: TypeAlias = frozenset[tuple[str, Value]]

_POLL_SECONDS = 0.02
_INFLATE: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """A moment within a span."""

    name: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Span:
    """One exported span. Ids are lower-case hex; times are nanoseconds since 1970 (UTC)."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str | None
    links: tuple[tuple[str, str], ...]
    attributes: Attributes
    events: tuple[SpanEvent, ...]
    status: str
    status_message: str
    start_ns: int
    end_ns: int
    resource: Attributes = field(repr=False)

    @property
    def label(self) -> str:
        """`gateway SERVER POST /v1/chat/completions`, and ` !` after a failed one."""
        return f"{self.service} {self.kind} {self.name}" + (" !" if self.status == "ERROR" else "")


@dataclass(frozen=True, slots=True)
class Point:
    """One exported value: of a sum or gauge the number, of a histogram the count (and the sum)."""

    service: str
    metric: str
    unit: str
    labels: Labels
    value: float
    sum: float | None


class OtlpReceiver:
    """Collects what is exported to it while its context is entered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._points: list[Point] = []
        self._payloads: list[bytes] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="otlp", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """The value for `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables for a service under test: every trace sampled, exported within a tenth of a second."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_TRACES_SAMPLER": "parentbased_always_on",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }

    @property
    def spans(self) -> list[Span]:
        """All spans so far, in the order of their arrival."""
        with self._lock:
            return list(self._spans)

    @property
    def points(self) -> list[Point]:
        """All metric points so far; an instrument that is exported again is here again."""
        with self._lock:
            return list(self._points)

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace, by start."""
        return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.start_ns)

    def trace_ids(self) -> list[str]:
        """Every trace seen, in the order of arrival."""
        return list(dict.fromkeys(span.trace_id for span in self.spans))

    def tree(self, trace_id: str, *, label: Callable[[Span], str] = lambda span: span.label) -> Tree:
        """The spans of a trace as nested `(label, children)`, siblings sorted by label: the same on every run.

        A span whose parent never came stands at the top with `(orphan) ` before its label.
        """
        spans = self.trace(trace_id)
        known = {span.span_id for span in spans}
        children: defaultdict[str | None, list[Span]] = defaultdict(list)
        for span in spans:
            children[span.parent_id if span.parent_id in known else None].append(span)

        def branch(parent_id: str | None) -> Tree:
            return sorted((text(span), branch(span.span_id)) for span in children[parent_id])

        def text(span: Span) -> str:
            is_orphan = span.parent_id is not None and span.parent_id not in known
            return ("(orphan) " if is_orphan else "") + label(span)

        return branch(None)

    def outline(self, trace_id: str, *, label: Callable[[Span], str] = lambda span: span.label) -> str:
        """The tree as text, a line per span, two spaces per level."""
        return "\n".join(_outlined(self.tree(trace_id, label=label), indent=""))

    def metric_names(self, service: str | None = None) -> set[str]:
        """The instruments that were exported, of one service or of all."""
        return {point.metric for point in self.points if service in (None, point.service)}

    def label_sets(self, metric: str, service: str | None = None) -> set[Labels]:
        """Every combination of labels that an instrument was exported with."""
        return {point.labels for point in self.points if point.metric == metric and service in (None, point.service)}

    def occurrences(self, text: str) -> int:
        """In how many exports of any signal `text` stands, anywhere: the canary check."""
        needle = text.encode()
        with self._lock:
            return sum(needle in payload for payload in self._payloads)

    def clear(self) -> None:
        """Forget everything so far."""
        with self._lock:
            self._spans.clear()
            self._points.clear()
            self._payloads.clear()

    async def wait_until(self, condition: Callable[[Self], bool], *, timeout_seconds: float = 10.0) -> None:
        """Wait for what is exported to fulfil `condition`; TimeoutError if it does not."""
        async with asyncio.timeout(timeout_seconds):
            while not condition(self):  # noqa: ASYNC110 - the other side is a thread
                await asyncio.sleep(_POLL_SECONDS)

    async def wait_for_spans(self, trace_id: str, *, count: int, timeout_seconds: float = 10.0) -> list[Span]:
        """Wait for at least `count` spans of a trace; on time-out TimeoutError tells what is there."""
        try:
            await self.wait_until(lambda own: len(own.trace(trace_id)) >= count, timeout_seconds=timeout_seconds)
        except TimeoutError:
            arrived = self.outline(trace_id) or "nothing"
            raise TimeoutError(f"{count} spans of {trace_id} were awaited; there are:\n{arrived}") from None
        return self.trace(trace_id)

    def receive(self, path: str, payload: bytes) -> None:
        """Take one export. Raises KeyError for an unknown path and DecodeError for a broken payload."""
        spans: list[Span] = []
        points: list[Point] = []
        match path:
            case "/v1/traces":
                spans = list(_spans(ExportTraceServiceRequest.FromString(payload)))
            case "/v1/metrics":
                points = list(_points(ExportMetricsServiceRequest.FromString(payload)))
            case "/v1/logs":
                pass  # kept for the canary check
            case _:
                raise KeyError(path)
        with self._lock:
            self._payloads.append(payload)
            self._spans += spans
            self._points += points


def _handler_for(receiver: OtlpReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            payload = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            encoding = self.headers.get("Content-Encoding", "")
            if self.headers.get_content_type() != "application/x-protobuf":
                self._answer(415)
                return
            try:
                receiver.receive(self.path, _INFLATE[encoding](payload) if encoding else payload)
            except KeyError:
                self._answer(404)
            except (
                Exception
            ):  # an exporter's defect is an answer to the exporter, not a stack trace in the test's output
                self._answer(400)
            else:
                self._answer(200)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")  # the empty message: everything was accepted
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silence: the test's output is for the test."""

    return Handler


def _outlined(tree: Tree, *, indent: str) -> Iterable[str]:
    for text, children in tree:
        yield indent + text
        yield from _outlined(children, indent=indent + "  ")


def _spans(request: ExportTraceServiceRequest) -> Iterable[Span]:
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield _span(span, resource)


def _span(span: trace_pb2.Span, resource: Attributes) -> Span:
    return Span(
        service=str(resource.get("service.name")),
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        attributes=_attributes(span.attributes),
        events=tuple(SpanEvent(event.name, _attributes(event.attributes)) for event in span.events),
        status=trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        status_message=span.status.message,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        resource=resource,
    )


def _points(request: ExportMetricsServiceRequest) -> Iterable[Point]:
    for group in request.resource_metrics:
        service = str(_attributes(group.resource.attributes).get("service.name"))
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                yield from _points_of(metric, service)


def _points_of(metric: metrics_pb2.Metric, service: str) -> Iterable[Point]:
    for number in (*metric.sum.data_points, *metric.gauge.data_points):
        value = number.as_double if number.HasField("as_double") else float(number.as_int)
        yield Point(service, metric.name, metric.unit, _labels(number.attributes), value, None)
    for spread in (*metric.histogram.data_points, *metric.exponential_histogram.data_points):
        yield Point(service, metric.name, metric.unit, _labels(spread.attributes), float(spread.count), spread.sum)


def _labels(pairs: Iterable[KeyValue]) -> Labels:
    return frozenset(_attributes(pairs).items())


def _attributes(pairs: Iterable[KeyValue]) -> Attributes:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bytes_value":
            return value.bytes_value
        case "array_value":
            return tuple(_value(item) for item in value.array_value.values)
        case "kvlist_value":
            return tuple((pair.key, _value(pair.value)) for pair in value.kvlist_value.values)
        case _:
            return None
