"""The OTLP receiver, fed by the real SDK and its real exporters."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, Tracer, use_span
from opentelemetry.util.types import AttributeValue

from devstack.otlp import OtlpReceiver, Tree


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


def tracer_of(service: str, receiver: OtlpReceiver, compression: Compression = Compression.Gzip) -> Tracer:
    """A tracer that exports every span at its end."""
    exporter = OTLPSpanExporter(endpoint=f"{receiver.endpoint}/v1/traces", compression=compression)
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test")


@pytest.mark.parametrize("compression", list(Compression))
async def test_a_span_arrives_with_all_that_it_says(receiver: OtlpReceiver, compression: Compression) -> None:
    tracer = tracer_of("gateway", receiver, compression)
    with tracer.start_as_current_span("other") as other:
        linked = other.get_span_context()
    values: dict[str, AttributeValue] = {"a": 1, "b": True, "c": 0.5, "d": "text", "e": ["x", "y"]}
    with tracer.start_as_current_span(
        "POST /v1", kind=SpanKind.SERVER, attributes=values, links=[Link(linked)]
    ) as span:
        span.add_event("first byte", {"size": 3})
        span.set_status(Status(StatusCode.ERROR, "broken"))
        trace_id = f"{span.get_span_context().trace_id:032x}"
    (arrived,) = await receiver.wait_for_spans(trace_id, count=1)
    assert arrived.attributes == {"a": 1, "b": True, "c": 0.5, "d": "text", "e": ("x", "y")}
    assert (arrived.service, arrived.kind, arrived.name) == ("gateway", "SERVER", "POST /v1")
    assert (arrived.status, arrived.status_message, arrived.parent_id) == ("ERROR", "broken", None)
    assert arrived.links == ((f"{linked.trace_id:032x}", f"{linked.span_id:016x}"),)
    assert [(event.name, event.attributes) for event in arrived.events] == [("first byte", {"size": 3})]
    assert arrived.label == "gateway SERVER POST /v1 !"
    assert 0 < arrived.start_ns <= arrived.end_ns
    assert receiver.trace_ids() == [f"{linked.trace_id:032x}", trace_id]


async def test_the_tree_is_the_same_whatever_came_first(receiver: OtlpReceiver) -> None:
    gateway, quota = tracer_of("gateway", receiver), tracer_of("quota", receiver)
    ids = []
    for names in (("ask b", "ask a"), ("ask a", "ask b")):
        with gateway.start_as_current_span("root", kind=SpanKind.SERVER) as root:
            for name in names:
                with gateway.start_as_current_span(name), quota.start_as_current_span("work", kind=SpanKind.CONSUMER):
                    pass
        ids.append(f"{root.get_span_context().trace_id:032x}")
        await receiver.wait_for_spans(ids[-1], count=5)
    first, second = (receiver.outline(trace_id) for trace_id in ids)
    assert first == second
    assert first.splitlines() == [
        "gateway SERVER root",
        "  gateway INTERNAL ask a",
        "    quota CONSUMER work",
        "  gateway INTERNAL ask b",
        "    quota CONSUMER work",
    ]
    work: tuple[str, Tree] = ("work", [])
    assert receiver.tree(ids[0], label=lambda span: span.name) == [("root", [("ask a", [work]), ("ask b", [work])])]


async def test_a_span_without_its_parent_is_shown_as_an_orphan(receiver: OtlpReceiver) -> None:
    tracer = tracer_of("gateway", receiver)
    parent = tracer.start_span("never ended, so never exported")
    with use_span(parent), tracer.start_as_current_span("child") as child:
        trace_id = f"{child.get_span_context().trace_id:032x}"
    await receiver.wait_for_spans(trace_id, count=1)
    assert receiver.outline(trace_id) == "(orphan) gateway INTERNAL child"


async def test_waiting_in_vain_tells_what_is_there(receiver: OtlpReceiver) -> None:
    with tracer_of("gateway", receiver).start_as_current_span("lonely") as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"
    with pytest.raises(TimeoutError, match="gateway INTERNAL lonely"):
        await receiver.wait_for_spans(trace_id, count=2, timeout_seconds=0.3)


async def test_metrics_arrive_with_their_labels(receiver: OtlpReceiver) -> None:
    exporter = OTLPMetricExporter(endpoint=f"{receiver.endpoint}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=60_000)
    provider = MeterProvider([reader], resource=Resource.create({"service.name": "quota"}), shutdown_on_exit=False)
    meter = provider.get_meter("test")
    meter.create_counter("prompts").add(3, {"plan": "free"})
    meter.create_counter("prompts").add(2, {"plan": "max"})
    meter.create_histogram("duration", unit="s").record(0.25, {"plan": "free"})
    provider.shutdown()
    await receiver.wait_until(lambda own: len(own.points) >= 3)
    assert receiver.metric_names("quota") == {"prompts", "duration"}
    assert receiver.metric_names("gateway") == set()
    assert receiver.label_sets("prompts") == {frozenset({("plan", "free")}), frozenset({("plan", "max")})}
    (duration,) = [point for point in receiver.points if point.metric == "duration"]
    assert (duration.unit, duration.value, duration.sum) == ("s", 1, 0.25)


async def test_a_canary_is_found_wherever_it_hides(receiver: OtlpReceiver) -> None:
    with tracer_of("gateway", receiver).start_as_current_span("quiet", attributes={"deep": ["CANARY-1"]}) as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"
    await receiver.wait_for_spans(trace_id, count=1)
    assert receiver.occurrences("CANARY-1") == 1
    assert receiver.occurrences("CANARY-2") == 0
    receiver.clear()
    assert receiver.occurrences("CANARY-1") == 0


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/v1/traces", "application/json", 415),
        ("/v2/traces", "application/x-protobuf", 404),
        ("/v1/traces", "application/x-protobuf", 400),
    ],
)
def test_what_is_no_otlp_is_refused(receiver: OtlpReceiver, path: str, kind: str, status: int) -> None:
    request = urllib.request.Request(receiver.endpoint + path, data=b"\xff\xff", headers={"Content-Type": kind})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    assert refused.value.code == status
    refused.value.close()
