"""The comparison that billing makes by itself: every minute, one replica at a time, only what is new.

Each one goes on where the last one ended and looks once more where that one found differences, so a difference stays in
the books until it is gone. Every replica tells the metrics from the table that all of them share.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from opentelemetry.metrics import CallbackOptions, Observation

from billing.domain.differences import Difference, Report, gone
from billing.errors import NotComparable
from billing.reconcile.comparison import Asked, Keys, compare
from billing.store.audit import audit
from billing.store.reconciliations import Reconciliations
from chassis import telemetry
from chassis.background import vital
from chassis.bus import Bus, BusError
from chassis.database import StoreAway

log = logging.getLogger(__name__)

MINUTE = "minute"
_EVER = datetime.fromtimestamp(0, UTC)
FIRST_RUN = Report(MINUTE, None, None, _EVER, _EVER, 0, 0, "equal", 0, (), (), {})
LOGGED_ONE_BY_ONE = 50

duration = telemetry.meter.create_histogram(
    "smartroute.reconciliation.duration", unit="s", description="Time of one comparison of the books"
)


@dataclass(slots=True)
class _Latest:
    """What the metrics of this process tell."""

    differences: int = 0
    compared_at: datetime | None = None


_latest = _Latest()


def _observe_differences(_: CallbackOptions) -> Iterable[Observation]:
    return [Observation(_latest.differences)] if _latest.compared_at is not None else []


def _observe_age(_: CallbackOptions) -> Iterable[Observation]:
    if _latest.compared_at is None:
        return []
    return [Observation(max((datetime.now(UTC) - _latest.compared_at).total_seconds(), 0.0))]


telemetry.meter.create_observable_gauge(
    "smartroute.reconciliation.differences",
    [_observe_differences],
    unit="{difference}",
    description="Differences that the last comparison of stream, ledger and quota found",
)
telemetry.meter.create_observable_gauge(
    "smartroute.reconciliation.age",
    [_observe_age],
    unit="s",
    description="Since the books could be compared last; before that, since this process began",
)


class Minutely:
    """Compares the books again and again while `running`."""

    def __init__(
        self,
        url: str,
        reconciliations: Reconciliations,
        bus: Bus,
        keys: Callable[[], Keys],
        *,
        every_seconds: float,
    ) -> None:
        self._url = url
        self._reconciliations = reconciliations
        self._bus = bus
        self._keys = keys
        self._every_seconds = every_seconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Compare while the block runs; never, with 0 seconds between."""
        if not self._every_seconds:
            yield
            return
        async with vital(self._run(), name="reconciliation"):
            yield

    async def _run(self) -> None:
        _latest.compared_at = datetime.now(UTC)
        while True:
            # First: when everything starts at once, quota may not be there yet.
            await asyncio.sleep(self._every_seconds)
            try:
                await self.once()
            except StoreAway as exc:
                log.warning("books not compared, store away", extra={"reason": str(exc)})
            except Exception:  # the edge: a check that crashed must neither end the service nor look like a good one
                log.exception("books not compared")

    async def once(self) -> Report | None:
        """Compare, unless another replica just did or does; the report is kept. Raises `StoreAway`."""
        if not await self._is_due():
            await self._tell()
            return None
        began = time.monotonic()
        async with audit(self._url) as session:
            if session is None:
                return None
            before = await self._reconciliations.last_compared() or FIRST_RUN
            started_at = datetime.now(UTC)
            try:
                report = await compare(session, self._bus, Asked(MINUTE, since=before), self._keys())
            except (NotComparable, BusError) as exc:
                report = _not_comparable(before, started_at, str(exc))
        await self._reconciliations.add(report)
        duration.record(time.monotonic() - began, {"result": report.result})
        _say(before.differences, report)
        await self._tell()
        return report

    async def _is_due(self) -> bool:
        """Replicas take turns: whoever comes first in a period compares, the others leave it at that."""
        last = await self._reconciliations.last()
        if last is None:
            return True
        age_seconds = (datetime.now(UTC) - last.started_at).total_seconds()
        return not 0 <= age_seconds < 0.9 * self._every_seconds

    async def _tell(self) -> None:
        compared = await self._reconciliations.last_compared()
        if compared is not None:
            _latest.differences, _latest.compared_at = compared.found, compared.finished_at


def _not_comparable(before: Report, started_at: datetime, reason: str) -> Report:
    """Nothing was compared: the place to go on from stays where it is."""
    through = before.through_sequence
    return Report(
        MINUTE, None, None, started_at, datetime.now(UTC), through + 1, through, "not_comparable", 0, (), [reason], {}
    )


def _say(before: Iterable[Difference], report: Report) -> None:
    """Each difference when it appears and when it is gone; in between one line that they are there."""
    if report.result == "not_comparable":
        log.warning("books not compared", extra={"reason": report.notes[0]})
        return
    known = {difference.identity for difference in before}
    new = [difference for difference in report.differences if difference.identity not in known]
    for difference in new[:LOGGED_ONE_BY_ONE]:
        log.error("books differ", extra={"difference": str(difference)})
    if report.differences:
        log.error("differences in the books", extra={"found": report.found, "new": len(new)})
    for difference in gone(list(before), report.differences)[:LOGGED_ONE_BY_ONE]:
        log.warning("a difference in the books is gone", extra={"difference": str(difference)})
    log.info("books compared", extra={"result": report.result, "through_sequence": report.through_sequence})
