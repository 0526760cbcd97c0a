"""The record of decisions, for staff: why a request went where it went, and what another configuration would change.

Decisions are gathered for a moment and stored beside the requests. None waits for it, and when the stream is away
decisions are made all the same: what cannot be kept is dropped, and counted.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4
from zlib import crc32

from chassis import bus, telemetry
from chassis.background import beside
from chassis.bus import Bus, BusError
from contracts.decisions import REQUESTS_ROUTED, Decision, RequestsRouted, TargetSeen
from contracts.router import Chosen
from router.domain import costs
from router.domain.deciding import has_rate
from router.switchboard import Decided

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.25
STORE_SECONDS = 2.0
# One message: below the bus's limit of 1 MiB, also for decisions between as many targets as a profile may have, and
# small enough that writing it holds up no ask for longer than a millisecond or two.
MOST_AT_ONCE = 50
AT_ONE_GO = 4
MOST_WAITING = 20_000

_dropped = telemetry.meter.create_counter(
    "smartroute.router.decisions.dropped", unit="{decision}", description="Decisions that could not be recorded"
)


class Recorder:
    """Gathers decisions and has them stored."""

    def __init__(self, connection: Bus, *, share: float = 1.0) -> None:
        self._bus = connection
        self._share = share
        self._waiting: list[tuple[Decided, datetime]] = []
        self._sending: list[tuple[Decided, datetime]] = []
        self._sending_id = ""

    def add(self, decided: Decided) -> None:
        """Record one, within `GATHER_SECONDS`, if it belongs to the share that is recorded: that is up to its id."""
        if crc32(decided.ask.request_id.bytes) >= self._share * 2**32:
            return
        if len(self._waiting) >= MOST_WAITING:
            _dropped.add(1)
            return
        self._waiting.append((decided, datetime.now(UTC)))

    @property
    def gathered(self) -> list[Decided]:
        """What is not stored yet."""
        return [one for one, _ in self._waiting]

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """Store while the block runs, and what is left at its end."""
        async with self._storing():
            yield
        await self.store()
        # The stream is away, and a stop waits for it once.
        _dropped.add(len(self._waiting))
        self._waiting = []

    async def store(self) -> None:
        """Store all that was gathered, until the stream does not take it."""
        while self._sending or self._waiting:
            if not self._sending:
                self._sending, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                self._sending_id = str(uuid4())
            decisions = await self._written(self._sending)
            try:
                # Cancelled in the middle of it, the same is sent again, by the same id: the stream keeps one.
                await bus.publish(
                    self._bus,
                    REQUESTS_ROUTED,
                    RequestsRouted(decisions=decisions),
                    event_id=self._sending_id,
                    timeout_seconds=STORE_SECONDS,
                )
            except BusError as exc:
                _dropped.add(len(self._sending))
                log.warning("decisions not recorded", extra={"count": len(self._sending), "reason": str(exc)})
                self._sending = []
                return
            self._sending = []

    async def _written(self, batch: Sequence[tuple[Decided, datetime]]) -> tuple[Decision, ...]:
        """The records of a batch. Asks are answered in between: a whole batch at once would hold them up for long."""
        decisions: list[Decision] = []
        for place, (one, at) in enumerate(batch):
            if place and place % AT_ONE_GO == 0:
                await asyncio.sleep(0)
            decisions.append(decision_of(one, at, instance=self._bus.instance))
        return tuple(decisions)

    def _storing(self) -> AbstractAsyncContextManager[None]:
        async def store_for_ever() -> None:
            while True:
                await asyncio.sleep(GATHER_SECONDS)
                await self.store()

        return beside(store_for_ever(), name="record decisions")


def decision_of(decided: Decided, at: datetime, *, instance: str) -> Decision:
    """The record of a decision: all that it was made from."""
    question, verdict, reply = decided.question, decided.verdict, decided.reply
    return Decision(
        ask=decided.ask,
        decided_at=at,
        decided_by=instance,
        alias=decided.alias,
        plans_version=decided.plans_version,
        profiles_version=decided.profiles_version,
        route=reply.route if isinstance(reply, Chosen) else None,
        order=verdict.order,
        seen=_seen(decided),
        theta=question.theta,
        estimate=question.estimate.gain,
        estimated_by=question.estimate.rule,
        session_tier=question.session_tier,
        pinned=question.pinned,
        is_panic=verdict.is_panic,
        budget=question.profile.strong_budget,
    )


def _seen(decided: Decided) -> Sequence[TargetSeen]:
    question, verdict = decided.question, decided.verdict
    profile, targets = question.profile, question.targets
    # Not checked again: all of it is ours, and there are several in every record.
    return tuple(
        TargetSeen.model_construct(
            target=name,
            tiers=profile.tiers_of(name),
            latency_seconds=seen.latency_seconds,
            waiting=seen.waiting,
            in_flight=seen.in_flight,
            success=seen.success,
            starts_last_minute=seen.starts_last_minute,
            is_failing=seen.is_failing,
            is_over_rate=not has_rate(targets[name], seen),
            may_probe=seen.may_probe,
            price=costs.price_of(question.features, targets[name].per_token),
            currency=targets[name].currency,
            cost=verdict.costs.get(name),
            excluded=verdict.excluded.get(name),
        )
        for name, seen in question.seen.items()
    )
