"""Windows as they are told."""

from datetime import date, datetime

from contracts.plans import Plan
from contracts.quota import Window
from quota.domain import Counts, Windows, allowance, day_resets_at, month_resets_at


def both(windows: Windows, plan: Plan) -> tuple[Window, Window]:
    """The day and the month under the limits of `plan`."""
    day, month, extra = windows.day, windows.month, windows.extra
    return (
        _window(windows.daily, plan.daily_prompts, extra=extra, starts_on=day, resets_at=day_resets_at(day)),
        _window(windows.monthly, plan.monthly_prompts, extra=extra, starts_on=month, resets_at=month_resets_at(month)),
    )


def _window(counts: Counts, limit: int | None, *, extra: int, starts_on: date, resets_at: datetime) -> Window:
    allowed = allowance(counts, limit, extra=extra)
    return Window(
        limit=allowed.limit,
        granted=allowed.granted,
        used=counts.taken,
        reserved=counts.reserved,
        remaining=allowed.remaining,
        starts_on=starts_on,
        resets_at=resets_at,
    )
