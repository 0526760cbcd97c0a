"""Claims on idempotency keys: taken before anything is held, renewed while a request is open, concluded before it is
settled.

A gateway that dies leaves a running claim behind; after `hold_seconds` without renewal the next request takes it over.
Whoever finds at the end that its claim was taken over must not charge: the other one does.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from chassis.database import StoreAway
from gateway.errors import ServiceUnavailable
from gateway.questions import Questions
from gateway.store import ClaimStore, KnownKey, StoredAnswer, Wanted

log = logging.getLogger(__name__)

PURGE_INTERVAL_SECONDS = 60.0
PURGE_BATCH = 500
# As long as the stream of settlements: after that a receipt of a replay has no receipt to lean on for sure.
REPLAYS_KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class ClaimLimits:
    """How long a claim is held without renewal, how long keys are kept, how large a kept answer may be.

    `timeout_seconds` is for one question to the database; then the request is refused (503).
    """

    hold_seconds: float = 90.0
    keep_seconds: float = 86_400.0
    body_bytes: int = 1024**2
    timeout_seconds: float = 2.0


class Claim:
    """The key of one request that is being answered here."""

    def __init__(self, claims: "Claims", wanted: Wanted) -> None:
        self._claims = claims
        self.wanted = wanted
        self.is_open = True

    async def conclude(self, answer: StoredAnswer | None) -> bool:
        """The request is over and will be charged. Whether that is noted, with the answer if it is given and small.

        If not, another request may be answered for the same key, so that this one must not be charged.
        """
        return await self._claims.conclude(self, answer)

    async def release(self) -> None:
        """The request is over and costs nothing: the key is free for another try. Raises nothing."""
        await self._claims.release(self)


class Claims:
    """All claims of this process; `running` has to be entered around their use."""

    def __init__(self, store: ClaimStore, limits: ClaimLimits) -> None:
        self._store = store
        self._limits = limits
        self._hold = timedelta(seconds=limits.hold_seconds)
        self._open: dict[UUID, Claim] = {}
        # Perhaps written, and not wanted any more.
        self._unreleased: dict[UUID, Wanted] = {}
        self._questions = Questions(limits.timeout_seconds)

    async def take(self, wanted: Wanted) -> Claim | KnownKey:
        """The claim, or what is known of the key if it is another request's. Raises `ServiceUnavailable`."""
        keep = timedelta(seconds=self._limits.keep_seconds)
        try:
            known = await self._questions.ask(self._store.claim(wanted, hold=self._hold, keep=keep))
        except (StoreAway, TimeoutError) as exc:
            log.warning("key not claimed", extra={"reason": type(exc).__name__})
            self._unreleased[wanted.request_id] = wanted
            raise ServiceUnavailable from exc
        if known is not None:
            return known
        claim = self._open[wanted.request_id] = Claim(self, wanted)
        return claim

    async def conclude(self, claim: Claim, answer: StoredAnswer | None) -> bool:
        """See `Claim.conclude`. Tried twice: the first answer may have been lost, and to conclude again is harmless."""
        if answer is not None and len(answer.body) > self._limits.body_bytes:
            answer = None
        is_noted = False
        for _ in range(2):
            try:
                is_noted = await self._questions.ask(self._store.conclude(claim.wanted, answer))
                break
            except (StoreAway, TimeoutError) as exc:
                log.warning("key not concluded", extra={"reason": type(exc).__name__})
        self._close(claim)
        if not is_noted:
            # If it is running still, and still ours, the next try of the client should not have to wait for its end.
            self._unreleased[claim.wanted.request_id] = claim.wanted
        return is_noted

    async def release(self, claim: Claim) -> None:
        """See `Claim.release`."""
        self._close(claim)
        try:
            await self._questions.ask(self._store.release(claim.wanted))
        except (StoreAway, TimeoutError) as exc:
            log.warning("key not released", extra={"reason": type(exc).__name__})
            self._unreleased[claim.wanted.request_id] = claim.wanted

    async def note_replay(self, wanted: Wanted, *, replay_of: UUID, trace_id: str | None) -> None:
        """Remember a replay for the receipt of its own id. Raises `ServiceUnavailable`."""
        try:
            await self._questions.ask(self._store.note_replay(wanted, replay_of=replay_of, trace_id=trace_id))
        except (StoreAway, TimeoutError) as exc:
            raise ServiceUnavailable from exc

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Renew open claims and remove old keys while the block runs."""
        renewing = self._repeat(self._tend, self._limits.hold_seconds / 3, name="renew claims")
        purging = self._repeat(self._purge, PURGE_INTERVAL_SECONDS, name="purge claims")
        try:
            yield
        finally:
            for task in (renewing, purging):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(renewing, purging, return_exceptions=True)
            await self._questions.close()

    def _close(self, claim: Claim) -> None:
        claim.is_open = False
        self._open.pop(claim.wanted.request_id, None)

    async def _tend(self) -> None:
        if self._open:
            await self._store.renew(list(self._open), hold=self._hold)
        for request_id, wanted in list(self._unreleased.items()):
            await self._store.release(wanted)
            self._unreleased.pop(request_id, None)

    async def _purge(self) -> None:
        while await self._store.purge_claims(limit=PURGE_BATCH) == PURGE_BATCH:
            pass
        while await self._store.purge_replays(keep=REPLAYS_KEPT, limit=PURGE_BATCH) == PURGE_BATCH:
            pass

    def _repeat(self, work: Callable[[], Awaitable[None]], seconds: float, *, name: str) -> asyncio.Task[None]:
        async def loop() -> None:
            while True:
                await asyncio.sleep(seconds)
                try:
                    await work()
                except StoreAway as exc:
                    log.warning("claims not tended", extra={"work": name, "reason": str(exc)})
                except Exception as exc:  # the edge of a background task: one bad round must not be the last
                    log.error("background work crashed", extra={"work": name, "error": type(exc).__name__})

        return asyncio.create_task(loop(), name=name)
