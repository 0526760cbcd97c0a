"""The leases of held prompts: renewed as long as their requests are open here, ended when nobody knows what became of
them.

Quota gives a prompt back when its lease runs out. Only the clock of its database counts; here is only how often to ask.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import zip_longest
from uuid import UUID

from chassis import telemetry
from chassis.background import beside
from contracts.quota import Lease, Renew
from gateway.peers import PeerAway, Peers

log = logging.getLogger(__name__)

USUAL_LEASE_SECONDS = 50.0
PORTION = 1000
ASK_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 1.0
# More are not told: they end by themselves.
MAX_ABANDONED = 10_000

gone_leases = telemetry.meter.create_counter(
    "smartroute.leases.gone", unit="{request}", description="Open requests that quota had settled before they ended"
)


@dataclass(slots=True)
class _Abandoned:
    """It is told twice, as the reservation may still be under way the first time. `until` is of the loop's clock."""

    lease: Lease
    until: float
    tellings: int = 2


class Leases:
    """What this process holds open, and what it gave up. One per process; `renewing` has to be entered."""

    def __init__(self, peers: Peers, *, instance: str) -> None:
        self._peers = peers
        self._instance = instance
        self._open: dict[UUID, Lease] = {}
        self._abandoned: dict[UUID, _Abandoned] = {}
        self._lease_seconds = USUAL_LEASE_SECONDS
        self._renew_at = 0.0
        self._is_failing = False
        self._wake = asyncio.Event()

    def hold(self, lease: Lease, *, seconds: float) -> None:
        """Renew it from now on. It was granted for `seconds`."""
        self._open[lease.request_id] = lease
        self._learn(seconds)

    def release(self, request_id: UUID) -> None:
        """Its settlement is in the stream, or will never be: quota does the rest."""
        self._open.pop(request_id, None)

    def abandon(self, lease: Lease) -> None:
        """Have quota end it now: whether it was granted is not known, and nobody waits for it."""
        if len(self._abandoned) >= MAX_ABANDONED:
            log.warning("abandoned reservation not told", extra={"request_id": str(lease.request_id)})
            return
        until = asyncio.get_running_loop().time() + 2 * self._lease_seconds
        self._abandoned[lease.request_id] = _Abandoned(lease, until)
        self._wake.set()

    def _learn(self, lease_seconds: float) -> None:
        """How long leases are: quota says so whenever it gives or renews one."""
        if lease_seconds != self._lease_seconds:
            self._lease_seconds = lease_seconds
            self._renew_at = min(self._renew_at, asyncio.get_running_loop().time() + lease_seconds / 3)
            self._wake.set()

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        async with beside(self._run(), name="renew leases"):
            yield

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._renew_at = loop.time() + self._lease_seconds / 3
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._renew_at):
                    await self._wake.wait()
            self._wake.clear()
            now = loop.time()
            is_due = now >= self._renew_at
            self._forget_old(now)
            is_answered = await self._tell(tuple(self._open.values()) if is_due else (), self._to_tell(is_due))
            if is_due:
                self._renew_at = now + (self._lease_seconds / 3 if is_answered else self._retry_seconds)
            elif not is_answered:
                self._renew_at = min(self._renew_at, now + self._retry_seconds)

    @property
    def _retry_seconds(self) -> float:
        return min(LONGEST_RETRY_SECONDS, self._lease_seconds / 20)

    def _to_tell(self, is_due: bool) -> Sequence[Lease]:
        """Abandoned ones: new ones at once, those told before with the next renewal."""
        return [each.lease for each in self._abandoned.values() if is_due or each.tellings == 2]

    def _forget_old(self, now: float) -> None:
        for request_id in [each.lease.request_id for each in self._abandoned.values() if each.until <= now]:
            del self._abandoned[request_id]

    async def _tell(self, held: Sequence[Lease], abandoned: Sequence[Lease]) -> bool:
        """Whether quota has answered all of it. In portions, side by side."""
        portions = zip_longest(_portions(held), _portions(abandoned), fillvalue=())
        answered = await asyncio.gather(*(self._ask(held, abandoned) for held, abandoned in portions))
        return all(answered)

    async def _ask(self, held: Sequence[Lease], abandoned: Sequence[Lease]) -> bool:
        request = Renew(gateway=self._instance, open=tuple(held), abandoned=tuple(abandoned))
        try:
            renewed = await self._peers.renew(request, timeout_seconds=min(ASK_SECONDS, self._lease_seconds / 4))
        except PeerAway as exc:
            if not self._is_failing:
                log.warning("leases not renewed", extra={"reason": exc.reason, "open": len(self._open)})
            self._is_failing = True
            return False
        if self._is_failing:
            log.info("leases are renewed again", extra={"open": len(self._open)})
        self._is_failing = False
        self._learn(renewed.lease_seconds)
        self._note_gone(renewed.gone)
        for lease in abandoned:
            self._note_told(lease.request_id)
        return True

    def _note_gone(self, gone: Iterable[UUID]) -> None:
        """Their answers go on, and their settlements will be late ones. One that has ended meanwhile is in order."""
        for request_id in gone:
            if self._open.pop(request_id, None) is not None:
                gone_leases.add(1)
                log.error("request was settled while it was open", extra={"request_id": str(request_id)})

    def _note_told(self, request_id: UUID) -> None:
        told = self._abandoned.get(request_id)
        if told is None:
            return
        told.tellings -= 1
        if told.tellings == 0:
            del self._abandoned[request_id]


def _portions(leases: Sequence[Lease]) -> Iterable[Sequence[Lease]]:
    return (leases[start : start + PORTION] for start in range(0, len(leases), PORTION))
