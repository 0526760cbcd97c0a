"""An encoder of responses for tests, the tools it knows, and what leaves it."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from gateway.wire.canonical import Counted, Delta, Finished, Tool
from gateway.wire.lane import Identity
from gateway.wire.responses.stream import ResponsesEncoder
from gateway.wire.tools import ToolBox
from gateway.wire.usage import Usage
from tests.unit.gateway.wire.responses_rules import event_violations, frame_violations, read_events

HEX = "0190000000007000800000000000abcd"
IDENTITY = Identity(UUID(HEX), "smart-route-mini", 7)
ECHO: dict[str, Any] = {
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
}
TOOLBOX = ToolBox.of(
    [
        Tool("look"),
        Tool("find", namespace="mcp__files"),
        Tool("patch", kind="custom"),
        Tool("local_shell", kind="local_shell"),
        Tool("shell", kind="shell"),
        Tool("apply_patch", kind="apply_patch"),
        Tool("tool_search", kind="tool_search"),
    ]
)
COUNTED = Counted(Usage(input=30, cached_input=20, output=8, reasoning=5, is_plausible=True))
STOP = Finished("stop")


def new_encoder(seal: Callable[[str], str] | None = None, *, stores: bool = False) -> ResponsesEncoder:
    return ResponsesEncoder(
        IDENTITY, lambda place: f"call_{place}", echo=ECHO, toolbox=TOOLBOX, seal=seal, stores=stores
    )


def fed_raw(encoder: ResponsesEncoder, deltas: Sequence[Delta]) -> bytes:
    return b"".join([encoder.feed(delta) for delta in deltas])


def fed(encoder: ResponsesEncoder, deltas: Sequence[Delta]) -> list[dict[str, Any]]:
    return read_events(fed_raw(encoder, deltas))


def streamed(deltas: Sequence[Delta], seal: Callable[[str], str] | None = None) -> list[dict[str, Any]]:
    """The events of a good answer, which keep every rule."""
    encoder = new_encoder(seal)
    raw = fed_raw(encoder, deltas) + encoder.finish()
    events = read_events(raw)
    assert frame_violations(raw) + event_violations(events) == []
    return events


def types(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def output(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = events[-1]["response"]["output"]
    return items
