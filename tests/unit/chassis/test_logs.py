"""Log lines: JSON, with service, instance and trace."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from chassis import logs


@pytest.fixture
def restored() -> Iterator[None]:
    """The root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("restored")
def test_a_line_is_json_with_level_logger_service_instance_and_extras(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("router", instance="router-0")
    logging.getLogger("a.place").warning("it %s", "happened", extra={"target": "near"})
    (line,) = lines(capsys)
    assert line.pop("time")
    assert line == {
        "level": "WARNING",
        "logger": "a.place",
        "message": "it happened",
        "target": "near",
        "service": "router",
        "instance": "router-0",
        "trace_id": None,
        "span_id": None,
    }


@pytest.mark.usefixtures("restored")
def test_a_line_inside_of_a_trace_carries_its_ids(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("router", instance="router-0")
    context = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(context)):
        logging.getLogger("x").info("inside")
    (line,) = lines(capsys)
    assert (line["trace_id"], line["span_id"]) == (f"{0xABC:032x}", f"{0xDEF:016x}")


@pytest.mark.usefixtures("restored")
def test_the_level_is_the_one_asked_for_and_chatty_libraries_only_warn(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("router", instance="router-0", level="DEBUG")
    logging.getLogger("ours").debug("shown")
    logging.getLogger("httpx").info("hidden")
    logging.getLogger("httpx").warning("shown too")
    assert [line["message"] for line in lines(capsys)] == ["shown", "shown too"]


@pytest.mark.usefixtures("restored")
def test_a_line_break_in_a_message_stays_inside_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("router", instance="router-0")
    logging.getLogger("x").info("one\ntwo")
    assert [line["message"] for line in lines(capsys)] == ["one\ntwo"]
