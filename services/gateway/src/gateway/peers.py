"""What the gateway asks its peers on the way of a request.

An ask that got no answer is repeated once with the same request id, within the deadline: both are idempotent. After
that the peer counts as away, and the gateway admits nothing.
"""

import asyncio
import logging
import time

from chassis.bus import Bus, PeerUnavailable, ask
from contracts.endpoint import ReplyT, RequestT, Rpc
from contracts.failures import Failure
from contracts.quota import RENEW, RESERVE, Denied, Granted, Renew, Renewed, Reserve
from contracts.router import CHOOSE, Choose, Chosen, Unroutable

log = logging.getLogger(__name__)

REPEAT_PAUSE_SECONDS = 0.05


class PeerAway(Exception):
    """A peer gave no usable answer within the deadline.

    It may have carried out what was asked, unless `is_undelivered`: then nobody has received it.
    """

    def __init__(self, subject: str, reason: str, *, is_undelivered: bool = False) -> None:
        super().__init__(f"{subject}: {reason}")
        self.subject = subject
        self.reason = reason
        self.is_undelivered = is_undelivered


class Peers:
    """What quota and router are asked. The two of the hot path have a deadline each, in seconds for all tries."""

    def __init__(self, bus: Bus, *, reserve_timeout_seconds: float, choose_timeout_seconds: float) -> None:
        self._bus = bus
        self._reserve_timeout_seconds = reserve_timeout_seconds
        self._choose_timeout_seconds = choose_timeout_seconds

    async def reserve(self, request: Reserve) -> tuple[Granted | Denied, bool]:
        """The answer, and whether it is that to the second ask: then the first may still be carried out.

        Raises `PeerAway`.
        """
        reply, is_second = await self._ask_twice(RESERVE, request, timeout_seconds=self._reserve_timeout_seconds)
        if isinstance(reply, Failure):
            raise PeerAway(RESERVE.subject, reply.code)
        return reply, is_second

    async def choose(self, request: Choose) -> Chosen | Unroutable:
        """Raises `PeerAway`."""
        reply, _ = await self._ask_twice(CHOOSE, request, timeout_seconds=self._choose_timeout_seconds)
        if isinstance(reply, Failure):
            raise PeerAway(CHOOSE.subject, reply.code)
        return reply

    async def renew(self, request: Renew, *, timeout_seconds: float) -> Renewed:
        """Asked once: whoever holds the leases asks again, for those that are open then. Raises `PeerAway`."""
        try:
            reply = await ask(self._bus, RENEW, request, timeout_seconds=timeout_seconds)
        except PeerUnavailable as exc:
            raise PeerAway(RENEW.subject, exc.reason, is_undelivered=exc.is_undelivered) from exc
        if isinstance(reply, Failure):
            raise PeerAway(RENEW.subject, reply.code)
        return reply

    async def _ask_twice(
        self, rpc: Rpc[RequestT, ReplyT], request: RequestT, *, timeout_seconds: float
    ) -> tuple[ReplyT, bool]:
        began = time.monotonic()
        is_undelivered = False
        try:
            reply = await ask(self._bus, rpc, request, timeout_seconds=timeout_seconds / 2)
            if not isinstance(reply, Failure):
                return reply, False
            reason: str = reply.code
        except PeerUnavailable as exc:
            reason, is_undelivered = exc.reason, exc.is_undelivered
        log.warning("peer asked again", extra={"subject": rpc.subject, "reason": reason})
        await asyncio.sleep(REPEAT_PAUSE_SECONDS)
        left = timeout_seconds - (time.monotonic() - began)
        try:
            return await ask(self._bus, rpc, request, timeout_seconds=max(left, REPEAT_PAUSE_SECONDS)), True
        except PeerUnavailable as exc:
            is_undelivered = is_undelivered and exc.is_undelivered
            raise PeerAway(rpc.subject, exc.reason, is_undelivered=is_undelivered) from exc
