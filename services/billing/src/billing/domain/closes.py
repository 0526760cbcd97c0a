"""What a closed UTC day says: its lines counted, added up and digested, chained to the day before.

What is signed is the close's digest; see `docs/ledger.md` for how to check one without us.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from billing.domain.chain import FORMAT, GENESIS, canonical_json, decimals, moment
from billing.domain.lines import MONEY
from billing.errors import CannotClose

TOKENS = ("input", "cached_input", "output", "reasoning")


@dataclass(frozen=True, slots=True)
class Group:
    """Sums over lines of one plan, outcome, kind and currency (None: lines without a cost)."""

    plan: str
    outcome: str
    kind: str
    currency: str | None
    lines: int
    prompts: int
    tokens: tuple[int, ...]
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Close:
    """A closed day. `digest` covers all of it but itself and the signature."""

    day: date
    lines: int
    totals: Mapping[str, object]
    lines_digest: str
    previous_digest: str
    digest: str
    signature: str
    key_id: str
    closed_at: datetime


class Signer(Protocol):
    """Signs digests of closes with a key of that name."""

    @property
    def key_id(self) -> str: ...

    def sign(self, digest: str) -> str: ...


@dataclass(slots=True)
class _Sum:
    lines: int = 0
    prompts: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    cost: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(lambda: MONEY * 0))

    def add(self, group: Group) -> None:
        self.lines += group.lines
        self.prompts += group.prompts
        self.tokens = [one + other for one, other in zip(self.tokens, group.tokens, strict=True)]
        if group.currency is not None:
            self.cost[group.currency] += group.cost

    def shown(self) -> dict[str, object]:
        return {
            "lines": self.lines,
            "prompts": self.prompts,
            "tokens": dict(zip(TOKENS, self.tokens, strict=True)),
            "cost": {currency: decimals(amount) for currency, amount in sorted(self.cost.items())},
        }


def totals_of(groups: Iterable[Group]) -> dict[str, object]:
    """All lines of the day, and again by plan, by outcome and by kind of line. Costs are strings with ten decimals."""
    total = _Sum()
    by: dict[str, defaultdict[str, _Sum]] = {name: defaultdict(_Sum) for name in ("plan", "outcome", "kind")}
    for group in groups:
        total.add(group)
        for name, sums in by.items():
            sums[getattr(group, name)].add(group)
    shown = {f"by_{name}": {key: sums[key].shown() for key in sorted(sums)} for name, sums in by.items()}
    return {**total.shown(), **shown}


class LinesDigest:
    """SHA-256 over the hashes of a day's lines in the order of (account, sequence), one a line, fed as they come."""

    def __init__(self) -> None:
        self.lines = 0
        self._digest = hashlib.sha256()

    def feed(self, hashes: Iterable[str]) -> None:
        for line_hash in hashes:
            self.lines += 1
            self._digest.update(f"{line_hash}\n".encode())

    @property
    def hex(self) -> str:
        return self._digest.hexdigest()


def close_digest(close: Close) -> str:
    """What `close.digest` has to be, in hex. The digest and the signature that the close carries are not looked at."""
    said = {
        "format": FORMAT,
        "day": close.day.isoformat(),
        "lines": close.lines,
        "totals": close.totals,
        "lines_digest": close.lines_digest,
        "previous_digest": close.previous_digest,
        "key_id": close.key_id,
        "closed_at": moment(close.closed_at),
    }
    return hashlib.sha256(canonical_json(said)).hexdigest()


def close_of(
    day: date,
    groups: Iterable[Group],
    digest: LinesDigest,
    before: Close | None,
    *,
    signer: Signer,
    closed_at: datetime,
) -> Close:
    """The signed close of a day, chained to the close before it. Raises `CannotClose` when sums and lines differ."""
    totals = totals_of(groups)
    if totals["lines"] != digest.lines:
        raise CannotClose(day, f"{totals['lines']} lines were added up, {digest.lines} digested")
    bare = Close(
        day,
        digest.lines,
        totals,
        digest.hex,
        previous_digest_of(before),
        digest="",
        signature="",
        key_id=signer.key_id,
        closed_at=closed_at,
    )
    sealed = close_digest(bare)
    return replace(bare, digest=sealed, signature=signer.sign(sealed))


def previous_digest_of(before: Close | None) -> str:
    """What a close after `before` has to carry."""
    return GENESIS if before is None else before.digest


def days_to_close(*, first: date | None, closed: date | None, today: date) -> Iterator[date]:
    """The days that are over and not closed, in order and without a gap. `first` is the day of the first line."""
    day = closed + timedelta(days=1) if closed is not None else first
    while day is not None and day < today:
        yield day
        day += timedelta(days=1)
