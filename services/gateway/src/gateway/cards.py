"""What the aliases can do, as the router knows it, for the list of models. Remembered for a moment."""

import asyncio
import logging
import time
from collections.abc import Mapping

from chassis.bus import Bus, PeerUnavailable, ask
from contracts.failures import Failure
from contracts.router import DESCRIBE, AliasCard, Describe

log = logging.getLogger(__name__)

KEPT_SECONDS = 10.0


class Cards:
    """Asked of the router at most every `KEPT_SECONDS`. Without an answer the last one holds, or nothing is known."""

    def __init__(self, bus: Bus, *, timeout_seconds: float) -> None:
        self._bus = bus
        self._timeout_seconds = timeout_seconds
        self._known: Mapping[str, AliasCard] = {}
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    async def read(self) -> Mapping[str, AliasCard]:
        """What is known, by alias. Raises nothing: a list of models without windows is still one."""
        async with self._asking:
            if self._asked_at is None or time.monotonic() - self._asked_at >= KEPT_SECONDS:
                await self._ask()
        return self._known

    async def _ask(self) -> None:
        try:
            reply = await ask(self._bus, DESCRIBE, Describe(), timeout_seconds=self._timeout_seconds)
        except PeerUnavailable as exc:
            log.warning("aliases not described", extra={"reason": exc.reason})
            return
        if isinstance(reply, Failure):
            log.warning("aliases not described", extra={"reason": reply.code})
            return
        self._asked_at = time.monotonic()
        self._known = {card.alias: card for card in reply.cards}
