"""What a visitor has left: the figures of `GET /v1/usage`, with the plan's own words."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from contracts.plans import Plan, PlanCatalogue
from contracts.quota import Usage, Window
from gateway.errors import ServiceUnavailable
from gateway.handlers.usage import ReadUsage
from gateway.portal.visit import Visitor

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Allowance:
    """A visitor's plan and both windows."""

    plan: Plan
    daily: Window
    monthly: Window

    @property
    def is_spent(self) -> bool:
        return 0 in (self.daily.remaining, self.monthly.remaining)


class Allowances:
    """Asks quota, which knows a change of plan within a moment."""

    def __init__(self, read: ReadUsage, plans: Callable[[], PlanCatalogue]) -> None:
        self._read = read
        self._plans = plans

    async def of(self, visitor: Visitor | None) -> Allowance | None:
        """None: nobody is signed in, or quota cannot be asked now; pages say so in place of the figures."""
        usage = await self.usage_of(visitor)
        plan = self._plans().plan(usage.plan) if usage is not None else None
        if usage is None or plan is None:
            return None
        return Allowance(plan, usage.daily, usage.monthly)

    async def usage_of(self, visitor: Visitor | None) -> Usage | None:
        if visitor is None:
            return None
        try:
            return await self._read(visitor.account_id)
        except ServiceUnavailable:
            log.warning("allowance not shown", extra={"reason": "quota did not answer"})
            return None


def month_ends_on(window: Window, *, now: datetime) -> datetime | None:
    """When the prompts of a UTC month are spent if they go on as they went; None when they last, or none went yet."""
    begun = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if window.limit is None or window.used == 0 or now <= begun:
        return None
    spent = begun + (now - begun) * (window.limit / window.used)
    return max(spent, now) if spent < window.resets_at else None
