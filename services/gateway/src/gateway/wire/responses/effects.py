"""What of a request has no effect: with no target at all, or with none of another format."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.wire.body import shown_in_header
from gateway.wire.responses import conversation, declared, faults
from gateway.wire.responses.models import AskedResponse
from gateway.wire.responses.request import ResponsesRequest

EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
SEALED_REASONING = "reasoning.encrypted_content"

# Checked, said back, and then of no use to anybody.
_IDLE = frozenset({"user", "safety_identifier"})
# Fields that a target with this format may know, and no other one.
_OWN_FORMAT = frozenset(
    {
        "logit_bias",
        "top_k",
        "min_p",
        "top_a",
        "repetition_penalty",
        "thinking",
        "enable_thinking",
        "chat_template_kwargs",
        "max_tool_calls",
        "top_logprobs",
    }
)
_KNOWN = frozenset(AskedResponse.__struct_fields__) - _IDLE | _OWN_FORMAT


def ignored(fields: Mapping[str, Any], asked: AskedResponse) -> tuple[str, ...]:
    """The fields without effect with any target."""
    names = [name for name in fields if name not in _KNOWN]
    if asked.service_tier not in (None, "auto", "default"):
        names.append("service_tier")
    if asked.stream_options and asked.stream_options.include_obfuscation:
        names.append("stream_options")
    return shown_in_header(names)


def lost_in_crossing(request: ResponsesRequest) -> tuple[str, ...]:
    """What has no effect with a target of another format: hosted tools are named `tools.<type>`, and so on."""
    asked = faults.read(request.raw, AskedResponse)
    return shown_in_header([*_lost_fields(request, asked), *_lost_items(request), *_lost_tools(request, asked)])


def _lost_fields(request: ResponsesRequest, asked: AskedResponse) -> Iterator[str]:
    yield from (name for name in request.raw if name in _OWN_FORMAT and request.raw[name])
    if asked.truncation == "auto":
        yield "truncation"
    if asked.reasoning and asked.reasoning.effort is not None and asked.reasoning.effort not in EFFORTS:
        yield "reasoning.effort"
    if declared.is_hosted_choice(asked.tool_choice):
        yield "tool_choice"
    yield from (f"include.{name}" for name in asked.include or () if name != SEALED_REASONING)


def _lost_items(request: ResponsesRequest) -> Iterator[str]:
    for place, item in enumerate(request.input_items):
        if conversation.is_ignored(item, at=request.place_of(place)):
            yield f"input.{item.get('type')}"


def _lost_tools(request: ResponsesRequest, asked: AskedResponse) -> Iterator[str]:
    brought = [declared.from_tools(asked.tools or (), at="tools")]
    brought += [
        conversation.tools_in(item, at=request.place_of(place)) for place, item in enumerate(request.input_items)
    ]
    yield from (f"tools.{kind}" for found in brought for kind in found.ignored)
