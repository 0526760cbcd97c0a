"""Traces and metrics: set-up from the standard `OTEL_*` variables, and spans that cost nothing when nobody records.

One trace runs from the client's request to the ledger line. Contexts travel as W3C `traceparent` only; baggage is
dropped. Without `OTEL_EXPORTER_OTLP_ENDPOINT` nothing is recorded, yet trace ids exist and are logged and returned.
Exceptions are recorded by type: their texts may carry what a customer sent.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBasedTraceIdRatio
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from chassis import attributes
from chassis.exemplars import ExemplarReader

DEFAULT_SAMPLE_RATIO = 0.1
EXPORT_DELAY_MS = 500.0
TRACEPARENT = "traceparent"

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

# Seconds; the advice of the HTTP conventions, with finer steps below 25 ms, where our own share lies. All are floats:
# Prometheus 2 would call the bucket of an integer `le="60"` and Prometheus 3 `le="60.0"`, and rules name buckets.
_LATENCY_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)

tracer = trace.get_tracer("smartroute")
meter = metrics.get_meter("smartroute")

message_process_duration = meter.create_histogram(
    "messaging.process.duration", unit="s", description="Time to process one message or batch"
)
message_ask_duration = meter.create_histogram(
    "messaging.client.operation.duration", unit="s", description="Time of one ask or publish, with its reply"
)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What `start` set up; `shutdown` flushes it."""

    traces: TracerProvider
    meters: MeterProvider

    def shutdown(self) -> None:
        self.traces.shutdown()
        self.meters.shutdown()


def start(service: str, *, instance: str, version: str) -> Telemetry:
    """Install the process's tracer and meter. Call once, before anything is recorded."""
    resource = Resource.create({"service.name": service, "service.instance.id": instance, "service.version": version})
    is_exported = bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    if not is_exported:
        traces = TracerProvider(resource=resource, sampler=ALWAYS_OFF, shutdown_on_exit=False)
    elif "OTEL_TRACES_SAMPLER" in os.environ:
        traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    else:
        sampler = ParentBasedTraceIdRatio(DEFAULT_SAMPLE_RATIO)
        traces = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
    readers: list[MetricReader] = [ExemplarReader()]
    if is_exported:
        # A tenth of what a start costs, for nothing where nobody collects.
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        # Small batches, often: encoding holds the interpreter's lock, 60 µs a span, and requests wait for it.
        delay_ms = float(os.environ.get("OTEL_BSP_SCHEDULE_DELAY", EXPORT_DELAY_MS))
        traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=delay_ms))
        if os.environ.get("OTEL_METRICS_EXPORTER") != "none":
            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    meters = MeterProvider(metric_readers=readers, resource=resource, views=views(), shutdown_on_exit=False)
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(meters)
    return Telemetry(traces, meters)


def views() -> list[View]:
    """How histograms of seconds are cut into buckets. Gauges of seconds stay what they are."""
    buckets = ExplicitBucketHistogramAggregation(boundaries=_LATENCY_BUCKETS)
    return [View(instrument_type=Histogram, instrument_unit="s", aggregation=buckets)]


@contextmanager
def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    *,
    values: Mapping[str, AttributeValue] | None = None,
    parent: SpanContext | None = None,
    links: Sequence[SpanContext] = (),
) -> Iterator[Span]:
    """A span around a block, made current. `parent` continues a trace that came over the bus.

    In a trace that is not sampled only the context is passed on: that costs two microseconds instead of fifteen.
    An exception marks the span as failed, by its type, and goes on.
    """
    context = Context() if parent is None else trace.set_span_in_context(NonRecordingSpan(parent), Context())
    above = parent if parent is not None else trace.get_current_span().get_span_context()
    if above.is_valid and not above.trace_flags.sampled:
        with trace.use_span(NonRecordingSpan(above), record_exception=False, set_status_on_exception=False) as quiet:
            yield quiet
        return
    with tracer.start_as_current_span(
        name,
        context=context if parent is not None else None,
        kind=kind,
        attributes=values,
        links=[Link(linked) for linked in links if linked.is_valid],
        record_exception=False,
        set_status_on_exception=False,
    ) as recorded:
        try:
            yield recorded
        except BaseException as exc:
            mark_failed(recorded, type(exc).__name__)
            raise


def mark_failed(failed: Span, error_type: str) -> None:
    """Give a span the status error, with a low-cardinality reason and no text."""
    failed.set_attribute(attributes.ERROR_TYPE, error_type)
    failed.set_status(Status(StatusCode.ERROR))


def current_context() -> SpanContext:
    return trace.get_current_span().get_span_context()


def traceparent(context: SpanContext | None = None) -> str | None:
    """The W3C header value (Trace Context §3.2) of `context` or of the current span; None outside of a trace."""
    context = context or current_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def parse_traceparent(value: str | None) -> SpanContext | None:
    """The remote context that a `traceparent` names, or None when it is absent or malformed (Trace Context §3.2)."""
    found = _TRACEPARENT.fullmatch(value) if value is not None else None
    if found is None:
        return None
    version, trace_hex, span_hex, flags, rest = found.groups()
    # Version 00 ends after its flags; a later one may go on, and is read as 00 that far. `ff` is forbidden.
    if version == "ff" or (version == "00" and rest) or int(trace_hex, 16) == 0 or int(span_hex, 16) == 0:
        return None
    sampled = TraceFlags(int(flags, 16) & 1)
    return SpanContext(int(trace_hex, 16), int(span_hex, 16), is_remote=True, trace_flags=sampled)


def trace_id(context: SpanContext | None = None) -> str | None:
    """The trace id in hex, of `context` or of the current span."""
    context = context or current_context()
    return f"{context.trace_id:032x}" if context.is_valid else None
