"""What is said of a request whose lease ran out: the settlement that its gateway did not live to tell."""

from datetime import datetime

from contracts.gateway import RequestSettled, Timings, TokenUsage, WindowAfter
from contracts.outcomes import Outcome
from contracts.plans import Plan, PlanCatalogue
from quota.domain.leases import Overdue
from quota.domain.windows import Counts, allowance, day_resets_at, month_resets_at


def event_id(overdue: Overdue) -> str:
    """Its own, so that the stream's deduplication neither hides it behind the gateway's message nor that behind it."""
    return f"expired:{overdue.request_id}"


def expired(overdue: Overdue, catalogue: PlanCatalogue, *, settled_by: str) -> RequestSettled:
    """The settlement `expired`, from what was kept with the reservation and from its windows as they are now."""
    plan = catalogue.plan(overdue.plan) or catalogue.plan(catalogue.default_plan)
    assert plan is not None, "the catalogue is checked to have its default plan"
    served = _alias_served(overdue.alias, plan, catalogue)
    daily, monthly = _windows_after(overdue, plan)
    return RequestSettled(
        request_id=overdue.request_id,
        account_id=overdue.account_id,
        token_id=overdue.token_id,
        turn_id=overdue.turn_id,
        call=overdue.call,
        outcome=Outcome.EXPIRED,
        plan=overdue.plan,
        plans_version=overdue.plans_version,
        alias_asked=overdue.alias or served,
        alias_served=served,
        endpoint=overdue.endpoint,
        is_stream=overdue.is_stream,
        day=overdue.windows.day,
        month=overdue.windows.month,
        started_at=overdue.reserved_at,
        ended_at=overdue.now,
        timings=Timings(total_ms=max((overdue.now - overdue.reserved_at).total_seconds() * 1000, 0.0)),
        tokens=TokenUsage(),
        target=None,
        attempts=0,
        error_code=None,
        trace_id=overdue.trace_id,
        daily=daily,
        monthly=monthly,
        settled_by=settled_by,
    )


def _alias_served(asked: str, plan: Plan, catalogue: PlanCatalogue) -> str:
    """As the router would have it; the plan's own for an alias that nobody kept, or that left the catalogue."""
    if catalogue.plan_of_alias(asked) is None:
        return plan.alias
    return catalogue.effective_alias(plan=plan.name, asked=asked)


def _windows_after(overdue: Overdue, plan: Plan) -> tuple[WindowAfter, WindowAfter]:
    """Both windows without the prompt, which is given back to where it came from; a continuation held none."""
    windows = overdue.windows
    extra = windows.extra + int(overdue.is_grant_live)
    return (
        _window(windows.daily, plan.daily_prompts, overdue, extra=extra, resets_at=day_resets_at(windows.day)),
        _window(windows.monthly, plan.monthly_prompts, overdue, extra=extra, resets_at=month_resets_at(windows.month)),
    )


def _window(counts: Counts, limit: int | None, overdue: Overdue, *, extra: int, resets_at: datetime) -> WindowAfter:
    is_given_back = overdue.call == 1
    after = Counts(
        counts.used, max(counts.reserved - int(is_given_back), 0), max(counts.drawn - int(overdue.is_drawn), 0)
    )
    allowed = allowance(after, limit, extra=extra)
    return WindowAfter(limit=allowed.limit, used=after.taken, remaining=allowed.remaining, resets_at=resets_at)
