"""What a line of the ledger says: how a request ended, or what was put right about it later."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from operator import attrgetter
from uuid import UUID

from contracts.gateway import Cost, RequestSettled, RouteTaken, Timings, TokenUsage, WindowAfter
from contracts.outcomes import Outcome

MILLISECONDS = Decimal("0.001")
MONEY = Decimal("0.0000000001")
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


class _Untold:
    """A window that nobody told."""

    limit = used = remaining = resets_at = None


_UNTOLD = _Untold()


_AS_TOLD = (
    *("request_id", "account_id", "token_id", "turn_id", "call", "plan", "plans_version", "alias_asked"),
    *("alias_served", "endpoint", "is_stream", "day", "month", "target", "attempts", "error_code", "trace_id"),
    "settled_by",
)
_as_told = attrgetter(*_AS_TOLD)


class Kind(StrEnum):
    """What a line is. Sums over settlements and reversals are what was used; over all kinds, what is billed."""

    SETTLEMENT = "settlement"
    REVERSAL = "reversal"
    CREDIT_NOTE = "credit_note"
    CORRECTION = "correction"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a request with its place in the REQUESTS stream, the order that decides which one was first."""

    settled: RequestSettled
    sequence: int


@dataclass(frozen=True, slots=True)
class Entry:
    """All that a line says, before it has its place in the chain of its account.

    Milliseconds have three decimals, costs ten. `revision` counts the lines of a request from 0, its first settlement;
    `corrects` is the id of the line that this one names; `stream_sequence` is that of the settlement it is about.
    `started_at`, timings, windows and cost are null when nobody told them.
    """

    kind: str
    request_id: UUID
    revision: int
    account_id: UUID
    token_id: UUID
    turn_id: UUID
    call: int
    outcome: str
    prompts: int
    plan: str
    plans_version: int
    alias_asked: str
    alias_served: str
    endpoint: str
    is_stream: bool
    target: str | None
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    tokens_source: str
    cost: Decimal | None
    cost_currency: str | None
    day: date
    month: date
    started_at: datetime | None
    event_time: datetime
    admitted_ms: Decimal | None
    first_content_ms: Decimal | None
    total_ms: Decimal | None
    daily_limit: int | None
    daily_used: int | None
    daily_remaining: int | None
    daily_resets_at: datetime | None
    monthly_limit: int | None
    monthly_used: int | None
    monthly_remaining: int | None
    monthly_resets_at: datetime | None
    error_code: str | None
    trace_id: str | None
    settled_by: str
    stream_sequence: int
    corrects: int | None = None
    author: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """An entry in its place: the `sequence`-th of its account, recorded at that moment, posted to that UTC day."""

    entry: Entry
    sequence: int
    recorded_at: datetime
    posted_on: date
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Posted:
    """A line as the table holds it, with the id by which others name it.

    `route` stands beside the line and is not hashed: it explains, and says nothing about money. None: nobody told it,
    or it was not read.
    """

    id: int
    line: Line
    route: RouteTaken | None = None

    @property
    def entry(self) -> Entry:
        return self.line.entry


def settlement_entry(settlement: Settlement, *, revision: int = 0) -> Entry:
    """The line of a settlement. Raises `ArithmeticError` for a time or cost that is not a finite number."""
    settled, tokens, timings = settlement.settled, settlement.settled.tokens, settlement.settled.timings
    daily, monthly = settled.daily or _UNTOLD, settled.monthly or _UNTOLD
    return Entry(
        kind=Kind.SETTLEMENT.value,
        revision=revision,
        outcome=settled.outcome.value,
        prompts=settled.prompts,
        input_tokens=tokens.input,
        cached_input_tokens=tokens.cached_input,
        output_tokens=tokens.output,
        reasoning_tokens=tokens.reasoning,
        tokens_source=tokens.source,
        cost=None if settled.cost is None else money(settled.cost.amount),
        cost_currency=None if settled.cost is None else settled.cost.currency,
        started_at=settled.started_at,
        event_time=settled.ended_at,
        admitted_ms=_milliseconds(timings.admitted_ms),
        first_content_ms=_milliseconds(timings.first_content_ms),
        total_ms=_milliseconds(timings.total_ms),
        daily_limit=daily.limit,
        daily_used=daily.used,
        daily_remaining=daily.remaining,
        daily_resets_at=daily.resets_at,
        monthly_limit=monthly.limit,
        monthly_used=monthly.used,
        monthly_remaining=monthly.remaining,
        monthly_resets_at=monthly.resets_at,
        stream_sequence=settlement.sequence,
        **dict(zip(_AS_TOLD, _as_told(settled), strict=True)),
    )


def settlement_of(posted: Posted) -> Settlement:
    """The settlement that a line was made of, for the record of one that lost its line."""
    entry = posted.entry
    settled = RequestSettled(
        **dict(zip(_AS_TOLD, _as_told(entry), strict=True)),
        outcome=Outcome(entry.outcome),
        started_at=began_at(entry),
        ended_at=entry.event_time,
        timings=timings_of(entry),
        tokens=tokens_of(entry),
        daily=daily_window(entry),
        monthly=monthly_window(entry),
        cost=None if entry.cost is None else Cost(amount=entry.cost, currency=entry.cost_currency or ""),
        route=posted.route,
    )
    return Settlement(settled, entry.stream_sequence)


def began_at(entry: Entry) -> datetime:
    """When the request came in. Release 0.1 did not tell it; its request ids (RFC 9562 §5.7) carry the millisecond."""
    if entry.started_at is not None:
        return entry.started_at
    if entry.request_id.version != 7:
        return entry.event_time
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=entry.request_id.int >> 80)


def timings_of(entry: Entry) -> Timings:
    """Milliseconds as told; the whole time is measured from `began_at` where nobody told it."""
    told, taken = entry.total_ms, (entry.event_time - began_at(entry)) / timedelta(milliseconds=1)
    return Timings(
        admitted_ms=None if entry.admitted_ms is None else float(entry.admitted_ms),
        first_content_ms=None if entry.first_content_ms is None else float(entry.first_content_ms),
        total_ms=taken if told is None else float(told),
    )


def tokens_of(entry: Entry) -> TokenUsage:
    return TokenUsage(
        input=entry.input_tokens,
        cached_input=entry.cached_input_tokens,
        output=entry.output_tokens,
        reasoning=entry.reasoning_tokens,
        source="provider" if entry.tokens_source == "provider" else "none",
    )


def daily_window(entry: Entry) -> WindowAfter | None:
    return _window_after(entry.daily_limit, entry.daily_used, entry.daily_remaining, entry.daily_resets_at)


def monthly_window(entry: Entry) -> WindowAfter | None:
    return _window_after(entry.monthly_limit, entry.monthly_used, entry.monthly_remaining, entry.monthly_resets_at)


def prompts_of(entries: Sequence[Entry]) -> int:
    """What all these lines together bill."""
    return sum(entry.prompts for entry in entries)


def money(amount: Decimal) -> Decimal:
    """With ten decimals, rounded half to even. Raises `ArithmeticError` for what is no finite number."""
    return _rounded(amount, MONEY)


def _milliseconds(value: float | None) -> Decimal | None:
    return None if value is None else _rounded(Decimal(repr(value)), MILLISECONDS)


def _rounded(value: Decimal, step: Decimal) -> Decimal:
    if not value.is_finite():
        raise ArithmeticError(f"{value} is no number")
    # Postgres has no minus nought, and a line has to read as it was hashed.
    return _EXACT.add(value.quantize(step, context=_EXACT), Decimal(0))


def _window_after(
    limit: int | None, used: int | None, remaining: int | None, resets_at: datetime | None
) -> WindowAfter | None:
    if used is None or resets_at is None:
        return None
    return WindowAfter(limit=limit, used=used, remaining=remaining, resets_at=resets_at)
