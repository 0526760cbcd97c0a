"""Trace contexts as text, and spans that do not cost or tell more than they should."""

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from chassis import telemetry

TRACE = 0x4BF92F3577B34DA6A3CE929D0E0E4736
SPAN = 0x00F067AA0BA902B7
HEADER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("flags", [0, 1])
def test_a_context_survives_the_way_through_its_header(flags: int) -> None:
    context = SpanContext(TRACE, SPAN, is_remote=False, trace_flags=TraceFlags(flags))
    read = telemetry.parse_traceparent(telemetry.traceparent(context))
    assert read is not None
    assert (read.trace_id, read.span_id, read.trace_flags, read.is_remote) == (TRACE, SPAN, flags, True)


def test_a_header_is_read_as_the_standard_says() -> None:
    read = telemetry.parse_traceparent(HEADER)
    assert read is not None
    assert (read.trace_id, read.span_id, read.trace_flags.sampled) == (TRACE, SPAN, True)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "00",
        HEADER[:-1],
        HEADER + "0",
        HEADER + "-extra",
        HEADER.upper(),
        "ff" + HEADER[2:],
        "zz" + HEADER[2:],
        HEADER.replace("-", "_"),
        HEADER.replace("4bf9", "0x4b"),
        HEADER.replace("4bf9", " bf9"),
        HEADER.replace("4bf9", "4_f9"),
        HEADER.replace("-01", "-+1"),
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        HEADER + "\n",
    ],
)
def test_a_header_that_is_not_quite_right_is_no_context(value: str | None) -> None:
    assert telemetry.parse_traceparent(value) is None


@pytest.mark.parametrize("value", ["01" + HEADER[2:], "01" + HEADER[2:] + "-what-comes-later"])
def test_a_later_version_is_read_as_far_as_we_know_it(value: str) -> None:
    read = telemetry.parse_traceparent(value)
    assert read is not None
    assert read.trace_id == TRACE


def test_outside_of_a_trace_there_is_neither_header_nor_id() -> None:
    assert telemetry.traceparent() is None
    assert telemetry.trace_id() is None


def test_a_span_in_a_trace_that_is_not_sampled_passes_the_context_on() -> None:
    parent = SpanContext(TRACE, SPAN, is_remote=True, trace_flags=TraceFlags(0))
    with telemetry.span("quiet", parent=parent):
        assert telemetry.traceparent() == HEADER.replace("-01", "-00")
        with telemetry.span("inside"):
            assert telemetry.trace_id() == f"{TRACE:032x}"
    assert telemetry.trace_id() is None


def test_an_exception_leaves_a_span_as_it_is() -> None:
    def crash() -> None:
        with telemetry.span("s"):
            raise KeyError("canary")

    with pytest.raises(KeyError):
        crash()


def test_the_current_span_gives_the_ids() -> None:
    context = SpanContext(TRACE, SPAN, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(context)):
        assert telemetry.traceparent() == HEADER
        assert telemetry.trace_id() == HEADER[3:35]
