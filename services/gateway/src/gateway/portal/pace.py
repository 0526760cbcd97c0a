"""How far the prompts of a month will reach, in a sentence."""

from datetime import UTC, datetime, time, timedelta

from contracts.quota import Window
from gateway.portal.allowance import month_ends_on

# What one day of a month says of the others is little; what its first hours say is nothing.
TOO_EARLY = timedelta(days=1)


def pace(window: Window, *, now: datetime) -> str | None:
    """For the month's window; None for a plan without a limit."""
    if window.limit is None:
        return None
    if window.remaining == 0:
        return f"The month's prompts are spent. New ones come on {_day(window.resets_at)}."
    if window.used == 0:
        return "No prompt of this month is used yet."
    if now - datetime.combine(window.starts_on, time(), UTC) < TOO_EARLY:
        return "The month has just begun: it is too early to say how far its prompts reach."
    spent = month_ends_on(window, now=now)
    if spent is None:
        return "At this pace the month's prompts last until the month ends."
    if spent.date() == now.date():
        return "At this pace the month's prompts are spent today."
    return f"At this pace the month's prompts are spent on {_day(spent)}."


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).day} {moment.astimezone(UTC):%B}"
