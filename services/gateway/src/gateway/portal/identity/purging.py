"""What is over is removed beside the requests: sessions, links, counters of tries."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from chassis.background import beside
from chassis.database import StoreAway
from gateway.store import SessionStore
from gateway.store.mail_links import MailLinkStore
from gateway.store.throttle import ThrottleStore

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 60.0
BATCH = 500
# Every counter has forgotten all it counted long before.
COUNTERS_IDLE = timedelta(days=1)


@asynccontextmanager
async def purging(
    sessions: SessionStore,
    links: MailLinkStore,
    counters: ThrottleStore,
    *,
    interval_seconds: float = INTERVAL_SECONDS,
) -> AsyncIterator[None]:
    """Remove what is over while the block runs, in small steps."""
    steps: tuple[Callable[[], Awaitable[int]], ...] = (
        lambda: sessions.purge(limit=BATCH),
        lambda: links.purge(limit=BATCH),
        lambda: counters.purge(idle=COUNTERS_IDLE, limit=BATCH),
    )

    async def purge() -> None:
        while True:
            await asyncio.sleep(interval_seconds)
            try:
                for step in steps:
                    while await step() == BATCH:
                        pass
            except StoreAway as exc:
                log.warning("portal not purged", extra={"reason": str(exc)})

    async with beside(purge(), name="purge the portal"):
        yield
