"""Settlements and lines for the tests of billing's rules."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from uuid import UUID

from billing.domain.chain import Head, append
from billing.domain.lines import Entry, Posted, Settlement, settlement_entry
from contracts.gateway import RequestSettled, Timings, TokenUsage
from contracts.outcomes import Outcome

ANNA = UUID(int=1)
NOON = datetime(2026, 2, 28, 12, 30, 59, 999_999, tzinfo=UTC)
TODAY = date(2026, 3, 1)


def a_settlement(sequence: int = 7, outcome: Outcome = Outcome.COMPLETED, **given: object) -> Settlement:
    settled = RequestSettled(
        request_id=UUID(int=100),
        account_id=ANNA,
        token_id=UUID(int=2),
        turn_id=UUID(int=3),
        call=1,
        outcome=outcome,
        plan="free",
        plans_version=1,
        alias_asked="smart-route-ultra",
        alias_served="smart-route-mini",
        endpoint="chat/completions",
        is_stream=False,
        day=NOON.date(),
        month=NOON.date().replace(day=1),
        started_at=NOON.replace(second=57),
        ended_at=NOON,
        timings=Timings(admitted_ms=1.5, total_ms=2000.5),
        tokens=TokenUsage(input=1234, output=5, source="provider"),
        target="local",
        attempts=1,
        error_code=None,
        trace_id="0af7651916cd43dd8448eb211c80319c",
    )
    return Settlement(settled.model_copy(update=given), sequence)


def an_entry(sequence: int = 7, outcome: Outcome = Outcome.COMPLETED, **given: object) -> Entry:
    return settlement_entry(a_settlement(sequence, outcome, **given))


def posted(entries: Sequence[Entry], *, first_id: int = 1) -> list[Posted]:
    """The entries as lines of one account, with ids from `first_id` on."""
    links, _ = append(Head(), entries, recorded_at=NOON, posted_on=TODAY)
    return [Posted(number, link.line) for number, link in enumerate(links, start=first_id)]
