"""Ends what nobody ends any more: tells the stream that a lease ran out, and folds what waits for its turn.

It decides nothing. Its `expired` goes into REQUESTS like any settlement, and whichever is first there wins. What is
folded here are settlements that the stream told before: an expiry whose predecessors in the stream are all folded by
now, or a settlement that was quicker than its own reservation.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis import attributes, bus, telemetry
from chassis.bus import Bus, BusError, EventNotStored
from chassis.watched import Watched
from contracts.gateway import REQUEST_SETTLED
from contracts.plans import PlanCatalogue
from contracts.streams import QUOTA_REQUESTS
from quota.domain import Folded, Overdue, event_id, expired
from quota.handlers.settlements import note
from quota.store import Leases, Store

log = logging.getLogger(__name__)

PAGE = 500
PUBLISHED_AT_ONCE = 64
PUBLISH_SECONDS = 5.0
# While something waits for the stream to be folded, look again soon, and then less and less soon.
SOON_SECONDS = 0.1
# How often open reservations are measured when nothing is swept.
MEASURE_SECONDS = 5.0
# After an outage of ours every lease may be over. Gateways, which renew every third of one, get half of it to do so,
# and some seconds to connect again.
REST_SHARE = 0.5
RECONNECT_SECONDS = 5.0
# Later than due by this much means that this process stood still, and may not have been alone in that.
PAUSED_SECONDS = 2.0

_overdue = telemetry.meter.create_gauge(
    "smartroute.quota.reservations.overdue", description="Open reservations whose lease ran out"
)
_oldest = telemetry.meter.create_gauge(
    "smartroute.quota.reservations.oldest", unit="s", description="Age of the oldest open reservation"
)
_expired = telemetry.meter.create_counter(
    "smartroute.quota.expired", description="Settlements told because a lease ran out"
)


@dataclass(frozen=True, slots=True)
class Swept:
    """`told` are new in the stream, `folded` have ended, `waiting` are told and not ended yet, `failed` not told."""

    told: int = 0
    folded: int = 0
    waiting: int = 0
    failed: int = 0

    def __add__(self, other: "Swept") -> "Swept":
        return Swept(
            self.told + other.told,
            self.folded + other.folded,
            self.waiting + other.waiting,
            self.failed + other.failed,
        )


class Sweeper:
    """One per process; any number of them may sweep at once. `sweep_seconds` 0: it only measures."""

    def __init__(
        self,
        connection: Bus,
        leases: Leases,
        store: Store,
        plans: Watched[PlanCatalogue],
        *,
        lease_seconds: float,
        sweep_seconds: float,
    ) -> None:
        self._connection = connection
        self._leases = leases
        self._store = store
        self._plans = plans
        self._lease_seconds = lease_seconds
        self._sweep_seconds = sweep_seconds
        self._wake = asyncio.Event()
        self._rested_at = 0.0
        self._swept_at: float | None = None
        self._reconnects = 0

    def wake(self) -> None:
        """There may be something to do now."""
        self._wake.set()

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        """Sweep while the block runs; on the way out the sweep in hand is dropped, which any other one makes up for."""
        task = asyncio.create_task(self._run(), name="sweep reservations")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        usual = self._sweep_seconds or MEASURE_SECONDS
        pause, soon = 0.0, SOON_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
                    soon = SOON_SECONDS
            self._wake.clear()
            try:
                swept = await self._round(usual)
            except BusError as exc:  # the database or NATS is away
                log.warning("not swept", extra={"reason": str(exc)})
                swept, self._swept_at = Swept(), None
            except Exception:  # the edge: without a sweeper prompts of dead gateways stay held
                log.exception("sweep crashed")
                swept, self._swept_at = Swept(), None
            pause, soon = (soon, min(2 * soon, usual)) if swept.waiting else (usual, SOON_SECONDS)

    async def _round(self, usual: float) -> Swept:
        """One sweep, without expiries while gateways have not had the time to renew after an interruption."""
        now = time.monotonic()
        reconnects = self._connection.reconnects
        is_interrupted = (
            self._swept_at is None
            or now - self._swept_at > usual + max(self._lease_seconds / 3, PAUSED_SECONDS)
            or reconnects != self._reconnects
        )
        if is_interrupted:
            rest = max(self._lease_seconds * REST_SHARE, min(self._lease_seconds, RECONNECT_SECONDS))
            self._rested_at = now + rest
            self._reconnects = reconnects
        swept = Swept()
        if self._sweep_seconds:
            swept = await self.sweep(is_telling=now >= self._rested_at)
        found = await self._leases.open_reservations()
        _overdue.set(found.overdue)
        _oldest.set(found.oldest_seconds)
        self._swept_at = time.monotonic()
        return swept

    async def sweep(self, *, is_telling: bool = True) -> Swept:
        """Look at everything that is overdue, once. Raises `BusError`."""
        swept = Swept()
        page: Sequence[Overdue] = ()
        while True:
            page = await self._leases.overdue(after=page[-1] if page else None, limit=PAGE)
            kept = [one for one in page if one.kept is not None]
            if kept:
                swept += await self._fold(kept)
            if is_telling:
                swept += await self._tell([one for one in page if one.kept is None])
            if len(page) < PAGE:
                return swept

    async def _fold(self, overdue: Sequence[Overdue]) -> Swept:
        """End those that the stream has ended, as far as all that is ahead of them there is folded."""
        settlements = [one.kept for one in overdue if one.kept is not None]
        through = await bus.acknowledged_through(self._connection, QUOTA_REQUESTS)
        folded: Folded = await self._store.settle(settlements, folded_through=through)
        note(folded)
        return Swept(folded=len(folded.settled), waiting=len(overdue) - len(folded.settled))

    async def _tell(self, overdue: Sequence[Overdue]) -> Swept:
        told: list[Overdue] = []
        for start in range(0, len(overdue), PUBLISHED_AT_ONCE):
            some = overdue[start : start + PUBLISHED_AT_ONCE]
            stored = await asyncio.gather(*(self._publish(one) for one in some))
            told += [one for one, is_stored in zip(some, stored, strict=True) if is_stored]
            if not all(stored):
                break
        if told:
            _expired.add(len(told))
            keys = [(one.account_id, one.request_id) for one in told]
            await self._leases.move_on(keys, lease_seconds=self._lease_seconds)
        return Swept(told=len(told), failed=len(overdue) - len(told))

    async def _publish(self, overdue: Overdue) -> bool:
        """Whether the stream has it. If not, the next sweep finds it again."""
        settled = expired(overdue, self._plans.value, settled_by=self._connection.instance)
        names = {attributes.REQUEST_ID: str(overdue.request_id), attributes.REQUEST_TRACE_ID: overdue.trace_id or ""}
        with telemetry.span("expire quota.reservations", values=names):
            try:
                await bus.publish(
                    self._connection,
                    REQUEST_SETTLED,
                    settled,
                    event_id=event_id(overdue),
                    subject=str(overdue.account_id),
                    told_by="quota",
                    timeout_seconds=PUBLISH_SECONDS,
                )
            except EventNotStored as exc:
                log.warning("expiry not told", extra={"request_id": str(overdue.request_id), "reason": exc.reason})
                return False
        log.warning(
            "lease ran out",
            extra={
                "request_id": str(overdue.request_id),
                "account_id": str(overdue.account_id),
                "request_trace_id": overdue.trace_id,
            },
        )
        return True
