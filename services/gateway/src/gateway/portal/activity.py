"""What a visitor's account did: asked of billing, and put in the order that it is read in."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from chassis.bus import Bus, PeerUnavailable, ask
from contracts.billing import READ_ACTIVITY, Activity, DayActivity, ReadActivity
from contracts.failures import Failure
from contracts.outcomes import Outcome
from gateway.portal.visit import Visitor

log = logging.getLogger(__name__)

DAYS = 30
REQUESTS = 20


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day: what its prompts cost, and how many requests ended in which way."""

    day: date
    prompts: int
    ended: Mapping[Outcome, int]

    @property
    def requests(self) -> int:
        return sum(self.ended.values())


class Activities:
    """Asks billing."""

    def __init__(self, bus: Bus, *, timeout_seconds: float) -> None:
        self._bus = bus
        self._timeout_seconds = timeout_seconds

    async def of(self, visitor: Visitor, *, today: date, before: int | None) -> Activity | None:
        """The days of the chart and one page of requests. None: billing cannot be asked now."""
        request = ReadActivity(account_id=visitor.account_id, since=first_day(today), before=before, limit=REQUESTS)
        try:
            reply = await ask(self._bus, READ_ACTIVITY, request, timeout_seconds=self._timeout_seconds)
        except PeerUnavailable:
            log.warning("activity not shown", extra={"reason": "billing did not answer"})
            return None
        match reply:
            case Activity():
                return reply
            case Failure(code=code):
                log.warning("activity not shown", extra={"reason": code})
                return None


def first_day(today: date) -> date:
    return today - timedelta(days=DAYS - 1)


def days_through(today: date, told: Iterable[DayActivity]) -> Sequence[Day]:
    """Every day of the chart, oldest first; those that nothing is told of had nothing."""
    prompts: dict[date, int] = defaultdict(int)
    ended: dict[date, dict[Outcome, int]] = defaultdict(lambda: defaultdict(int))
    for part in told:
        prompts[part.day] += part.prompts
        ended[part.day][part.result] += part.requests
    first = first_day(today)
    every = (first + timedelta(days=passed) for passed in range(DAYS))
    return [Day(day, prompts.get(day, 0), dict(ended.get(day, {}))) for day in every]


def outcomes_of(days: Sequence[Day]) -> Sequence[Outcome]:
    """Those that occur, in the order of the published table."""
    return [outcome for outcome in Outcome if any(day.ended.get(outcome) for day in days)]
