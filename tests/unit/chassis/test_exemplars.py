"""Buckets name the traces that fell into them, for whoever asks in a format that has room for it."""

import re
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from chassis import telemetry
from chassis.exemplars import ExemplarReader

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


class Measured:
    """Metrics as the services have them, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.provider = MeterProvider([ExemplarReader(self.registry)], views=telemetry.views(), shutdown_on_exit=False)
        self.meter = self.provider.get_meter("test")

    def text(self, accept: str = OPENMETRICS) -> str:
        encode, _ = choose_encoder(accept)
        return encode(self.registry).decode()

    def exemplars(self) -> list[tuple[str, str]]:
        """The bucket and the trace of each."""
        return re.findall(r'le="([^"]+)".* # \{.*trace_id="([0-9a-f]{32})".*\} ', self.text())


@pytest.fixture
def measured() -> Iterator[Measured]:
    made = Measured()
    yield made
    made.provider.shutdown()


def tracer(sampler: Sampler) -> Tracer:
    return TracerProvider(sampler=sampler, shutdown_on_exit=False).get_tracer("test")


def test_a_bucket_names_the_trace_that_fell_into_it_at_every_scrape(measured: Measured) -> None:
    duration = measured.meter.create_histogram("smartroute.some.duration", unit="s")
    with tracer(ALWAYS_ON).start_as_current_span("work") as span:
        duration.record(0.3, {"error.type": "late", "code": 200})
    duration.record(0.3, {"error.type": "late", "code": 500})
    named = [("0.5", f"{span.get_span_context().trace_id:032x}")]
    assert measured.exemplars() == named
    assert measured.exemplars() == named


def test_what_is_longer_than_every_bucket_has_its_trace_too(measured: Measured) -> None:
    duration = measured.meter.create_histogram("smartroute.some.duration", unit="s")
    with tracer(ALWAYS_ON).start_as_current_span("work"):
        duration.record(4000.0)
    assert [bucket for bucket, _ in measured.exemplars()] == ["+Inf"]


def test_a_trace_that_is_not_sampled_is_not_named(measured: Measured) -> None:
    with tracer(ALWAYS_OFF).start_as_current_span("work"):
        measured.meter.create_histogram("smartroute.some.duration", unit="s").record(0.3)
    assert measured.exemplars() == []


def test_plain_text_has_the_same_numbers_and_no_exemplars(measured: Measured) -> None:
    with tracer(ALWAYS_ON).start_as_current_span("work"):
        measured.meter.create_histogram("smartroute.some.duration", unit="s").record(0.3)
    text = measured.text("text/plain")
    assert re.search(r'^smartroute_some_duration_seconds_bucket\{le="0.5".*\} 1\.0$', text, re.MULTILINE)
    assert "trace_id" not in text


def test_buckets_have_the_same_name_for_every_version_of_prometheus(measured: Measured) -> None:
    measured.meter.create_histogram("smartroute.some.duration", unit="s").record(0.3)
    bounds = re.findall(r'_bucket\{le="([^"]+)"', measured.text())
    assert {"1.0", "60.0"} <= set(bounds)
    assert all(str(float(bound)) == bound for bound in bounds if bound != "+Inf")


def test_a_gauge_of_seconds_is_no_histogram(measured: Measured) -> None:
    measured.meter.create_gauge("smartroute.some.age", unit="s").set(7)
    assert re.search(r"^smartroute_some_age_seconds(\{.*\})? 7(\.0)?$", measured.text(), re.MULTILINE)
