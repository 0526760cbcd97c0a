"""The outbox: what was committed is told, once per revision, whenever this process or its peers crash.

A change of plan or a grant is a committed row first. The relay publishes unpublished rows under an id made of them
(changes in the order of account and revision), then marks them. A crash in between publishes the same id again, which
the stream drops; a consumer that hears it twice all the same knows the revision, or the grant.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from billing.domain.subscriptions import Change, Grant
from billing.store import Commits, Subscriptions
from chassis.background import vital
from chassis.bus import Bus, EventNotStored, publish
from chassis.database import StoreAway
from contracts.billing import PROMPTS_GRANTED, SUBSCRIPTION_CHANGED, PromptsGranted, SubscriptionChanged

log = logging.getLogger(__name__)

# What the store tells of is published at once. Looking is for what could not be published, or was not heard.
POLL_SECONDS = 1.0
BATCH = 100


class Relay:
    """Publishes what waits in the outbox while `running`."""

    def __init__(
        self,
        store: Subscriptions,
        commits: Commits,
        bus: Bus,
        *,
        publish_timeout_seconds: float,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._store = store
        self._commits = commits
        self._bus = bus
        self._publish_timeout_seconds = publish_timeout_seconds
        self._poll_seconds = poll_seconds
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """There is something to publish: do not wait for the next look."""
        self._awake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publish while the block runs. A crash of the relay ends the process rather than leaving it mute."""
        async with vital(self._run(), name="outbox relay"), vital(self._listen(), name="outbox listener"):
            yield

    async def _listen(self) -> None:
        """Wake at every commit, of the command line and of other replicas, too. Without it there is the next look."""
        while True:
            try:
                async for _ in self._commits.heard():
                    self.wake()
            except StoreAway as exc:
                log.warning("outbox not listened to, store away", extra={"reason": str(exc)})
            await asyncio.sleep(POLL_SECONDS)

    async def _run(self) -> None:
        while True:
            self._awake.clear()
            try:
                while await self.publish_waiting() == BATCH:
                    pass
            except StoreAway as exc:
                log.warning("outbox not read, store away", extra={"reason": str(exc)})
            except EventNotStored as exc:
                log.warning("outbox not published, trying again", extra={"reason": exc.reason})
            try:
                await asyncio.wait_for(self._awake.wait(), self._poll_seconds)
            except TimeoutError:
                continue

    async def publish_waiting(self) -> int:
        """Publish one batch and say how many. Raises `EventNotStored`; what was stored before it is marked."""
        failure: EventNotStored | None = None
        published = 0
        async with self._store.outbox(limit=BATCH) as outbox:
            for told in outbox.waiting:
                try:
                    await self._publish(told)
                except EventNotStored as exc:
                    failure = exc
                    break
                await outbox.mark_published(told)
                published += 1
        if failure is not None:
            raise failure
        return published

    async def _publish(self, told: Change | Grant) -> None:
        if isinstance(told, Grant):
            await self._publish_grant(told)
        else:
            await self._publish_change(told)

    async def _publish_change(self, change: Change) -> None:
        await publish(
            self._bus,
            SUBSCRIPTION_CHANGED,
            SubscriptionChanged(
                account_id=change.account_id,
                plan=change.plan,
                revision=change.revision,
                effective_at=change.effective_at,
            ),
            event_id=change.event_id,
            subject=str(change.account_id),
            timeout_seconds=self._publish_timeout_seconds,
        )
        log.info(
            "subscription changed",
            extra={"account_id": str(change.account_id), "plan": change.plan, "revision": change.revision},
        )

    async def _publish_grant(self, grant: Grant) -> None:
        await publish(
            self._bus,
            PROMPTS_GRANTED,
            PromptsGranted(
                grant_id=grant.grant_id,
                account_id=grant.account_id,
                prompts=grant.prompts,
                starts_at=grant.starts_at,
                ends_at=grant.ends_at,
            ),
            event_id=grant.event_id,
            subject=str(grant.account_id),
            timeout_seconds=self._publish_timeout_seconds,
        )
        log.info(
            "prompts granted",
            extra={
                "account_id": str(grant.account_id),
                "grant_id": str(grant.grant_id),
                "prompts": grant.prompts,
                "ends_at": grant.ends_at.isoformat(),
            },
        )
