"""Ends what nobody ends any more: tells the stream that a lease ran out, and folds what waits for its turn.

It decides nothing. Its `expired` goes into REQUESTS like any settlement, and whichever is first there wins. What is
folded here are settlements that the stream told before: an expiry whose predecessors in the stream are all folded by
now, or a settlement that was quicker than its own reservation. Turns that nobody can continue any more are forgotten.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis import attributes, bus, telemetry
from chassis.background import beside
from chassis.bus import Bus, BusError, EventNotStored
from chassis.watched import Watched
from contracts.gateway import REQUEST_SETTLED
from contracts.plans import PlanCatalogue
from contracts.streams import QUOTA_REQUESTS
from quota.domain import Overdue, event_id, expired
from quota.handlers.settlements import note
from quota.store import Leases, Store, Turns

log = logging.getLogger(__name__)

PAGE = 500
FORGOTTEN_AT_ONCE = 1000
PUBLISHED_AT_ONCE = 64
PUBLISH_SECONDS = 1.0
# While something waits for the stream to be folded, look again soon, and then less and less soon.
SOON_SECONDS = 0.1
# How often open reservations are measured when nothing is swept.
MEASURE_SECONDS = 5.0
# After an outage of ours every lease may be over. Gateways, which renew every third of one, get half of it to do so,
# and some seconds to connect again.
REST_SHARE = 0.5
RECONNECT_SECONDS = 5.0
# A third of a lease, within these bounds, without a sign of life of the database and of NATS is an interruption:
# whoever wanted to renew a lease meanwhile may not have come through either.
LONGEST_PAUSE_SECONDS = 2.0
SHORTEST_PAUSE_SECONDS = 1.0

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
    """`told` are new in the stream, `folded` have ended, `waiting` are told and not ended yet."""

    told: int = 0
    folded: int = 0
    waiting: int = 0

    def __add__(self, other: "Swept") -> "Swept":
        return Swept(self.told + other.told, self.folded + other.folded, self.waiting + other.waiting)


class Sweeper:
    """One per process; any number of them may sweep at once. `sweep_seconds` 0: it only measures."""

    def __init__(
        self,
        connection: Bus,
        leases: Leases,
        store: Store,
        turns: Turns,
        plans: Watched[PlanCatalogue],
        *,
        lease_seconds: float,
        sweep_seconds: float,
    ) -> None:
        self._connection = connection
        self._leases = leases
        self._store = store
        self._turns = turns
        self._plans = plans
        self._lease_seconds = lease_seconds
        self._sweep_seconds = sweep_seconds
        self._wake = asyncio.Event()
        self._rested_at = 0.0
        self._swept_at: float | None = None
        self._alive_at = 0.0
        self._paused_seconds = max(min(lease_seconds / 3, LONGEST_PAUSE_SECONDS), SHORTEST_PAUSE_SECONDS)
        self._reconnects = connection.reconnects

    def wake(self) -> None:
        """There may be something to do now."""
        self._wake.set()

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        """Sweep while the block runs; on the way out the sweep in hand is dropped, which any other one makes up for."""
        async with beside(self._run(), name="sweep reservations"):
            yield

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
                swept = await self._round(usual) if self._sweep_seconds else Swept()
                await self._measure()
            except BusError as exc:  # the database or NATS is away
                log.warning("not swept", extra={"reason": str(exc)})
                swept, self._swept_at = Swept(), None
                with contextlib.suppress(BusError):
                    await self._measure()
            except Exception:  # the edge: without a sweeper prompts of dead gateways stay held
                log.exception("sweep crashed")
                swept, self._swept_at = Swept(), None
            pause, soon = (soon, min(2 * soon, usual)) if swept.waiting else (usual, SOON_SECONDS)

    async def _round(self, usual: float) -> Swept:
        """One sweep, without expiries while gateways have not had the time to renew after an interruption."""
        # Asked first, and so a proof that NATS and the stream answer, before anything is found to be over.
        folded_through = await bus.acknowledged_through(self._connection, QUOTA_REQUESTS)
        self._alive_at = now = time.monotonic()
        self._reconnects, before = self._connection.reconnects, self._reconnects
        late = usual + self._paused_seconds
        if self._swept_at is None or now - self._swept_at > late or before != self._reconnects:
            rest = max(self._lease_seconds * REST_SHARE, min(self._lease_seconds, RECONNECT_SECONDS))
            self._rested_at = now + rest
        swept = await self._sweep(folded_through, is_telling=now >= self._rested_at)
        # Not the end of the round: it may have waited behind a lock as long as every renewal did.
        self._swept_at = self._alive_at
        await self._forget()
        return swept

    async def _forget(self) -> None:
        """Not part of the sweep: whether it succeeds says nothing about leases."""
        try:
            await self._turns.forget(limit=FORGOTTEN_AT_ONCE)
        except BusError as exc:
            log.warning("old turns not forgotten", extra={"reason": str(exc)})

    async def _measure(self) -> None:
        found = await self._leases.open_reservations()
        _overdue.set(found.overdue)
        _oldest.set(found.oldest_seconds)

    async def _sweep(self, folded_through: int, *, is_telling: bool) -> Swept:
        """Look at everything that is overdue, once. Raises `BusError`."""
        swept = Swept()
        page: Sequence[Overdue] = ()
        while True:
            page = await self._leases.overdue(after=page[-1] if page else None, limit=PAGE)
            kept = [one for one in page if one.kept is not None]
            if kept:
                swept += await self._fold(kept, folded_through)
            if is_telling:
                swept += await self._tell([one for one in page if one.kept is None])
            if len(page) < PAGE:
                return swept

    async def _fold(self, overdue: Sequence[Overdue], folded_through: int) -> Swept:
        """End those that the stream has ended, as far as all that is ahead of them there is folded."""
        settlements = [one.kept for one in overdue if one.kept is not None]
        folded = await self._store.settle(settlements, folded_through=folded_through)
        note(folded)
        return Swept(folded=len(folded.settled), waiting=len(overdue) - len(folded.settled))

    async def _tell(self, overdue: Sequence[Overdue]) -> Swept:
        """Tell the stream of each. Raises `BusError` at the first sign of an outage: what is left is read anew."""
        told = 0
        for start in range(0, len(overdue), PUBLISHED_AT_ONCE):
            some = {(one.account_id, one.request_id): one for one in overdue[start : start + PUBLISHED_AT_ONCE]}
            # It may have been renewed since it was read; and this waits where a renewal would have to wait.
            over = await self._leases.still_overdue(list(some))
            self._require_life()
            stored = await asyncio.gather(*(self._publish(some[key]) for key in over))
            keys = [key for key, is_stored in zip(over, stored, strict=True) if is_stored]
            await self._leases.move_on(keys, lease_seconds=self._lease_seconds)
            _expired.add(len(keys))
            told += len(keys)
            if len(keys) < len(over):
                raise EventNotStored(REQUEST_SETTLED.subject, f"{len(over) - len(keys)} expiries not told")
            self._require_life()
            self._alive_at = time.monotonic()
        return Swept(told=told)

    def _require_life(self) -> None:
        """Raises `BusError` when too long has passed since the last sign of life, or the connection was lost."""
        is_same = self._connection.is_connected and self._connection.reconnects == self._reconnects
        if not is_same or time.monotonic() - self._alive_at > self._paused_seconds:
            raise BusError("interrupted")

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
                    is_repeated=False,
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
