"""What a customer may see of the lines of a request: nothing of providers, targets or cost."""

from collections.abc import Sequence

from billing.domain.lines import (
    Entry,
    Kind,
    Posted,
    began_at,
    daily_window,
    monthly_window,
    prompts_of,
    timings_of,
    tokens_of,
)
from billing.domain.settling import live_settlement
from contracts.billing import Receipt
from contracts.gateway import TokenUsage
from contracts.outcomes import Outcome


def receipt_of(lines: Sequence[Posted]) -> Receipt:
    """The receipt of a request that has a line. Corrections are in its figures, credit notes stand beside them."""
    posted = live_settlement(lines)
    entry, line = posted.entry, posted.line
    corrections = [each.entry for each in lines if each.entry.kind == Kind.CORRECTION]
    credits = [each.entry for each in lines if each.entry.kind == Kind.CREDIT_NOTE]
    return Receipt(
        request_id=entry.request_id,
        account_id=entry.account_id,
        turn_id=entry.turn_id,
        call=entry.call,
        result=Outcome(entry.outcome),
        prompts=prompts_of([entry, *corrections]),
        credited_prompts=-prompts_of(credits),
        plan=entry.plan,
        plans_version=entry.plans_version,
        alias_asked=entry.alias_asked,
        alias_served=entry.alias_served,
        endpoint=entry.endpoint,
        is_stream=entry.is_stream,
        started_at=began_at(entry),
        ended_at=entry.event_time,
        timings=timings_of(entry),
        tokens=_tokens([entry, *corrections]),
        daily=daily_window(entry),
        monthly=monthly_window(entry),
        error_code=entry.error_code,
        trace_id=entry.trace_id,
        ledger_sequence=line.sequence,
        ledger_hash=line.hash,
        recorded_at=line.recorded_at,
        route=posted.route,
    )


def _tokens(entries: Sequence[Entry]) -> TokenUsage:
    told = [tokens_of(entry) for entry in entries]
    return TokenUsage(
        input=sum(each.input for each in told),
        cached_input=sum(each.cached_input for each in told),
        output=sum(each.output for each in told),
        reasoning=sum(each.reasoning for each in told),
        source=told[0].source,
    )
