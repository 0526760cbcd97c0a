"""Closing days by itself: every minute, all days that are over, one after the other.

Any number of replicas may try; each day is closed once. Without a key the service runs and says so, and the number of
days that wait is a metric to be woken by.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

from billing.domain.closes import Close
from billing.errors import CannotClose, KeyRefused
from billing.signing import required_key
from billing.store import Closes
from chassis import telemetry
from chassis.background import vital
from chassis.database import StoreAway

log = logging.getLogger(__name__)

days_closed = telemetry.meter.create_counter(
    "smartroute.billing.closes", unit="{day}", description="Days that this replica closed"
)
days_overdue = telemetry.meter.create_gauge(
    "smartroute.billing.closes.overdue", unit="{day}", description="Days that are over and not closed"
)


async def close_days(closes: Closes, key_file: Path | None, *, through: date | None = None) -> list[Close]:
    """Close every day that is over, at most `through`, and say which. Raises `KeyRefused`, `CannotClose`, `StoreAway`.

    The key is read only when there is something to sign: a mounted key may be replaced while we run.
    """
    if await closes.overdue() == 0:
        return []
    key = required_key(key_file)
    closed: list[Close] = []
    while (close := await closes.close_next(key, through=through)) is not None:
        closed.append(close)
        days_closed.add(1)
        log.info("day closed", extra={"day": close.day.isoformat(), "lines": close.lines, "digest": close.digest})
    return closed


class Closer:
    """Closes days while `running`."""

    def __init__(self, closes: Closes, key_file: Path | None, *, every_seconds: float) -> None:
        self._closes = closes
        self._key_file = key_file
        self._every_seconds = every_seconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look at once, then again and again while the block runs; never, with 0 seconds between."""
        if not self._every_seconds:
            yield
            return
        async with vital(self._run(), name="daily closes"):
            yield

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except StoreAway as exc:
                log.warning("days not closed, store away", extra={"reason": str(exc)})
            await asyncio.sleep(self._every_seconds)

    async def look(self) -> None:
        """Close what is over. A day that cannot be closed is an error in the log and counts as overdue."""
        try:
            await close_days(self._closes, self._key_file)
        except (KeyRefused, CannotClose) as exc:
            log.error("days not closed", extra={"code": exc.code, "reason": str(exc)})
        days_overdue.set(await self._closes.overdue())
