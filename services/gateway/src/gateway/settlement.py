"""Settlements: exactly one per admitted request, acknowledged by its stream, kept until it is.

While one waits here unacknowledged, nothing new is admitted: a gateway that cannot record must not serve (I5).
"""

import asyncio
import contextlib
import contextvars
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis import telemetry
from chassis.bus import Bus, EventNotStored, publish
from contracts.gateway import REQUEST_SETTLED, RequestSettled
from gateway.endurance import to_the_end

log = logging.getLogger(__name__)

RETRY_PAUSE_SECONDS = 0.25

kept_settlements = telemetry.meter.create_up_down_counter(
    "smartroute.settlements.kept", unit="{settlement}", description="Settlements that REQUESTS has not acknowledged"
)


@dataclass(frozen=True, slots=True)
class _Kept:
    settled: RequestSettled
    context: contextvars.Context


class Settler:
    """Publishes settlements. What is kept is bounded by the requests that were open when recording failed."""

    def __init__(self, bus: Bus, *, timeout_seconds: float) -> None:
        self._bus = bus
        self._timeout_seconds = timeout_seconds
        self._kept: deque[_Kept] = deque()
        self._has_kept = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    @property
    def is_recording(self) -> bool:
        """Whether the last settlements are in their stream: the condition for admitting another request."""
        return not self._kept

    async def settle(self, settled: RequestSettled) -> bool:
        """Whether it is stored now; if not, it is kept and repeated until it is.

        It is not cancelled with its caller: a cancelled caller waits until it is known, like any other.
        """
        return await to_the_end(self._settle(settled))

    async def _settle(self, settled: RequestSettled) -> bool:
        try:
            await self._publish(settled)
        except EventNotStored as exc:
            self._kept.append(_Kept(settled, contextvars.copy_context()))
            kept_settlements.add(1)
            self._is_empty.clear()
            self._has_kept.set()
            log.error("settlement kept", extra={"request_id": str(settled.request_id), "reason": exc.reason})
            return False
        return True

    async def _publish(self, settled: RequestSettled) -> None:
        await publish(
            self._bus,
            REQUEST_SETTLED,
            settled,
            event_id=str(settled.request_id),
            subject=str(settled.account_id),
            timeout_seconds=self._timeout_seconds,
        )

    @asynccontextmanager
    async def repeating(self, *, drain_seconds: float) -> AsyncIterator[None]:
        """Repeat what is kept while the block runs, and on the way out until all is stored, to a limit."""
        task = asyncio.create_task(self._repeat(), name="repeat settlements")
        try:
            yield
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_empty.wait(), drain_seconds)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            for kept in self._kept:
                # Its reservation is given back when the lease runs out; the line says what was lost.
                log.critical("settlement lost", extra={"request_id": str(kept.settled.request_id)})

    async def _repeat(self) -> None:
        while True:
            await self._has_kept.wait()
            while self._kept:
                kept = self._kept[0]
                try:
                    # In the request's own context: the settlement stays in its trace.
                    await asyncio.create_task(self._publish(kept.settled), context=kept.context)
                except EventNotStored:
                    await asyncio.sleep(RETRY_PAUSE_SECONDS)
                    continue
                self._kept.popleft()
                kept_settlements.add(-1)
            self._has_kept.clear()
            self._is_empty.set()
            log.info("all kept settlements are stored")
