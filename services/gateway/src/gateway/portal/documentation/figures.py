"""The limits that the documentation names, from the settings and the code that keep them."""

from collections.abc import Mapping

from gateway.settings import Settings
from gateway.wire.chat.decode import MAX_DEPTH, MAX_MESSAGES
from gateway.wire.chat.decode import MAX_TOOLS as MAX_CHAT_TOOLS
from gateway.wire.chat.toolcalls import MAX_TOOL_CALLS
from gateway.wire.responses.declared import MAX_TOOLS as MAX_RESPONSE_TOOLS
from gateway.wire.responses.decode import MAX_ITEMS

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_SIZES = ((1024 * 1024, "MiB"), (1024, "KiB"))


def figures_of(settings: Settings) -> Mapping[str, str]:
    """By the name that a page says in double braces."""
    return {
        "body_limit": spelled_size(settings.body_limit_bytes),
        "header_limit": spelled_size(settings.header_limit_bytes),
        "header_count": str(settings.header_limit_count),
        "header_timeout": spelled_time(settings.header_timeout_seconds),
        "body_timeout": spelled_time(settings.body_timeout_seconds),
        "answer_limit": spelled_time(settings.answer_limit_seconds),
        "stall_limit": spelled_time(settings.client_stall_seconds),
        "receipt_wait": spelled_time(settings.receipt_wait_seconds),
        "responses_keep": spelled_time(settings.responses_keep_seconds),
        "response_size_limit": spelled_size(settings.responses_size_limit_bytes),
        "idempotency_keep": spelled_time(settings.idempotency_keep_seconds),
        "idempotency_body": spelled_size(settings.idempotency_body_limit_bytes),
        "idempotency_hold": spelled_time(settings.idempotency_hold_seconds),
        "depth": str(MAX_DEPTH),
        "messages": f"{MAX_MESSAGES:,}",
        "items": f"{MAX_ITEMS:,}",
        "chat_tools": str(MAX_CHAT_TOOLS),
        "response_tools": f"{MAX_RESPONSE_TOOLS:,}",
        "tool_calls": str(MAX_TOOL_CALLS),
    }


def spelled_time(seconds: float) -> str:
    """In the largest unit that leaves no rest: `30 days`, `90 seconds`. A single day is told in hours."""
    for size, unit in _UNITS:
        count = seconds / size
        if count == int(count) and count >= 1 and not (unit == "day" and count == 1):
            return f"{int(count):,} {unit}" if count == 1 else f"{int(count):,} {unit}s"
    return f"{seconds:g} seconds"


def spelled_size(size_bytes: int) -> str:
    for size, unit in _SIZES:
        if size_bytes >= size and size_bytes % size == 0:
            return f"{size_bytes // size:,} {unit}"
    return f"{size_bytes:,} bytes"
