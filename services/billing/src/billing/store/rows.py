"""The columns of the ledger and the lines of the domain, one into the other."""

import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from pydantic import ValidationError

from billing.domain.lines import Entry, Line, Posted
from contracts.gateway import RouteTaken

log = logging.getLogger(__name__)

# The type of each column as Postgres calls it; those of the entry in the order of its fields, then those of its place.
_ENTRY = {
    "kind": "text",
    "request_id": "uuid",
    "revision": "int",
    "account_id": "uuid",
    "token_id": "uuid",
    "turn_id": "uuid",
    "call": "int",
    "outcome": "text",
    "prompts": "smallint",
    "plan": "text",
    "plans_version": "int",
    "alias_asked": "text",
    "alias_served": "text",
    "endpoint": "text",
    "is_stream": "bool",
    "target": "text",
    "attempts": "int",
    "input_tokens": "bigint",
    "cached_input_tokens": "bigint",
    "output_tokens": "bigint",
    "reasoning_tokens": "bigint",
    "tokens_source": "text",
    "cost": "numeric",
    "cost_currency": "text",
    "day": "date",
    "month": "date",
    "started_at": "timestamptz",
    "event_time": "timestamptz",
    "admitted_ms": "numeric",
    "first_content_ms": "numeric",
    "total_ms": "numeric",
    "daily_limit": "bigint",
    "daily_used": "bigint",
    "daily_remaining": "bigint",
    "daily_resets_at": "timestamptz",
    "monthly_limit": "bigint",
    "monthly_used": "bigint",
    "monthly_remaining": "bigint",
    "monthly_resets_at": "timestamptz",
    "error_code": "text",
    "trace_id": "text",
    "settled_by": "text",
    "stream_sequence": "bigint",
    "corrects": "bigint",
    "author": "text",
    "reason": "text",
}
_PLACE = {
    "sequence": "bigint",
    "recorded_at": "timestamptz",
    "posted_on": "date",
    "previous_hash": "text",
    "hash": "text",
}
_ENTRY_NAMES = tuple(field.name for field in fields(Entry))
_TYPES = _ENTRY | _PLACE
# Beside the line, and no part of what is hashed.
_BESIDE = {"route": "jsonb"}

# What is written.
NAMES = ", ".join(_TYPES | _BESIDE)
TYPES = ", ".join(f"{name} {kind}" for name, kind in (_TYPES | _BESIDE).items())
# What `posted` takes.
LINE_COLUMNS = ", ".join(("id", *_TYPES))
# What `explained` takes.
EXPLAINED_COLUMNS = f"{LINE_COLUMNS}, route"
# The same of a table or subquery that is called `line`.
LINE_COLUMNS_OF_LINE = ", ".join(f"line.{name}" for name in ("id", *_TYPES))


def posted(row: Sequence[Any]) -> Posted:
    """The line of a row of `LINE_COLUMNS`."""
    end = 1 + len(_ENTRY_NAMES)
    return Posted(row[0], Line(Entry(*row[1:end]), *row[end:]))


def explained(row: Sequence[Any]) -> Posted:
    """The line of a row of `EXPLAINED_COLUMNS`, with its route."""
    *line, stored = row
    found = posted(line)
    return found if stored is None else replace(found, route=_route(found, stored))


def _route(found: Posted, stored: object) -> RouteTaken | None:
    """A route in words that this release does not know must not withhold what the line says of money."""
    try:
        return RouteTaken.model_validate(stored)
    except ValidationError:
        log.warning("route of a ledger line cannot be read", extra={"line": found.id})
        return None
