"""The chain of an account's lines: each one carries the SHA-256 of its own content and of the line before it.

The canonical form is fixed for ever: one that changed would make every older line look forged. What it is, byte for
byte, is in `docs/ledger.md`, with a program of a few lines that checks a whole account.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from operator import attrgetter
from uuid import UUID

from billing.domain.lines import Entry, Line
from contracts.gateway import RouteTaken

# The canonical form that a line is hashed in is part of what is hashed.
FORMAT = 1
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of an account: how many there are, and its hash."""

    sequence: int = 0
    hash: str = GENESIS


def canonical_json(value: Mapping[str, object]) -> bytes:
    """RFC 8785 for what we have: objects, strings, whole numbers, booleans and nulls; names are ASCII."""
    return _encode(value).encode()


def canonical_fields(line: Line) -> dict[str, object]:
    """All that is hashed of a line, by name."""
    values = (show(value) if (show := _SHOWN.get(type(value))) else value for value in _values_of(line))
    return dict(zip(CANONICAL_NAMES, (FORMAT, *values), strict=True))


def line_hash(line: Line) -> str:
    """What `line.hash` has to be, in hex. The hash that the line carries is not looked at."""
    return hashlib.sha256(canonical_json(canonical_fields(line))).hexdigest()


@dataclass(frozen=True, slots=True)
class Link:
    """A new line of a chain, and the bytes that were hashed: what is stored is read from these very bytes."""

    line: Line
    canonical: bytes


def append(head: Head, entries: Sequence[Entry], *, recorded_at: datetime, posted_on: date) -> tuple[list[Link], Head]:
    """The entries of one account as the next lines of its chain, and its head after them."""
    links: list[Link] = []
    for entry in entries:
        bare = Line(entry, head.sequence + 1, recorded_at, posted_on, head.hash, "")
        canonical = canonical_json(canonical_fields(bare))
        line = Line(entry, bare.sequence, recorded_at, posted_on, head.hash, hashlib.sha256(canonical).hexdigest())
        links.append(Link(line, canonical))
        head = Head(line.sequence, line.hash)
    return links, head


def document(link: Link, route: RouteTaken | None = None) -> str:
    """All of a new line as JSON: what was hashed, byte for byte, its hash, and beside them the way its request went."""
    beside = "" if route is None else f',"route":{route.model_dump_json()}'
    return f'{link.canonical[:-1].decode()},"hash":"{link.line.hash}"{beside}}}'


def moment(value: datetime) -> str:
    """UTC, always with microseconds: `2026-02-28T12:30:59.000000Z`."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def decimals(value: Decimal) -> str:
    """All decimals, never an exponent: `0.0000000000`."""
    return format(value, "f")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode

# Everything else is shown as JSON has it.
_SHOWN: Mapping[type, Callable[..., str]] = {UUID: str, date: date.isoformat, datetime: moment, Decimal: decimals}

_PLACES = {f"entry.{field.name}": field.name for field in fields(Entry)} | {
    field.name: field.name for field in fields(Line) if field.name not in ("entry", "hash")
}
CANONICAL_NAMES = ("format", *sorted(_PLACES.values()))
_values_of: Callable[[Line], tuple[object, ...]] = attrgetter(*sorted(_PLACES, key=_PLACES.__getitem__))
