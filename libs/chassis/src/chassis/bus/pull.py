"""A pull consumer that hands over what has arrived, at once, in batches.

nats-py's `fetch(256)` waits for the batch to fill or for its time-out, so a lone settlement would reach the ledger
late. Here one pull request is always open; what came while the last batch was being written is the next batch.
Protocol: NATS ADR-13 (pull consumers): a JSON request to `$JS.API.CONSUMER.MSG.NEXT`, messages and status messages
(404, 408, 409) back on our inbox.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from chassis.bus.connection import Bus

log = logging.getLogger(__name__)

EXPIRES_SECONDS = 5.0
# The server ends a request by itself after EXPIRES_SECONDS; silence much longer than that means it was lost.
LOST_SECONDS = EXPIRES_SECONDS + 2.0
# How soon a reconnect is noticed, and how long to wait after the server refused a request (no such durable, say).
LOOK_SECONDS = 0.25
REFUSED_PAUSE_SECONDS = 1.0
# "The request expired" is how every quiet request ends. All else is trouble.
EXPIRED = "408"


class Pull:
    """Batches of messages of one durable consumer, at most `batch` of them in hand.

    After the first message of a batch it waits `gather_seconds` for others: at a low rate a batch of one costs as much
    as a batch of twenty, and that on the cores that serve the next request.
    """

    def __init__(self, bus: Bus, *, stream: str, durable: str, batch: int, gather_seconds: float = 0.0) -> None:
        self._bus = bus
        self._client = bus.client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._inbox = bus.client.new_inbox()
        self._batch = batch
        self._gather_seconds = gather_seconds
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._wanted = 0
        self._requested_at = 0.0
        self._not_before = 0.0
        self._subscription: Subscription | None = None
        self._reconnects = bus.client.stats["reconnects"]
        self._is_closed = False

    async def open(self) -> None:
        self._subscription = await self._client.subscribe(self._inbox, cb=self._on_message)

    async def close(self) -> None:
        """End `batches` after the one in hand."""
        self._is_closed = True
        self._arrived.put_nowait(None)

    async def batches(self) -> AsyncIterator[list[Msg]]:
        """What has arrived, again and again, until `close`."""
        while not self._is_closed:
            await self._keep_requesting()
            try:
                first = await asyncio.wait_for(self._arrived.get(), LOOK_SECONDS)
            except TimeoutError:
                continue
            messages = [first]
            if self._gather_seconds and first is not None and not self._is_closed:
                await asyncio.sleep(self._gather_seconds)
            while not self._arrived.empty() and len(messages) < self._batch:
                messages.append(self._arrived.get_nowait())
            real = [message for message in messages if message is not None]
            if real:
                yield real

    async def give_back(self) -> None:
        """Take nothing more, and let another replica have at once what nobody looked at. For after `batches`."""
        if self._subscription is None or not self._client.is_connected:
            return
        try:
            await self._bus.end([self._subscription])
            while not self._arrived.empty():
                message = self._arrived.get_nowait()
                if message is not None:
                    await message.nak()
        except (NatsError, OSError) as exc:  # they come again after the durable's ack_wait
            log.warning("messages not given back", extra={"error": type(exc).__name__})

    async def _keep_requesting(self) -> None:
        # The server forgets open requests with the connection that made them.
        is_lost = (
            time.monotonic() - self._requested_at > LOST_SECONDS or self._client.stats["reconnects"] != self._reconnects
        )
        is_open = self._wanted > 0 and not is_lost
        if is_open or not self._arrived.empty() or not self._client.is_connected or time.monotonic() < self._not_before:
            return
        request = {"batch": self._batch, "expires": int(EXPIRES_SECONDS * 1e9)}
        self._wanted = self._batch
        self._requested_at = time.monotonic()
        self._reconnects = self._client.stats["reconnects"]
        try:
            await self._client.publish(self._subject, json.dumps(request).encode(), reply=self._inbox)
        except NatsError:
            self._wanted = 0  # the connection went away in this moment; the next round asks again

    async def _on_message(self, message: Msg) -> None:
        if message.headers and not message.data and "Status" in message.headers:
            self._wanted = 0
            if message.headers["Status"] != EXPIRED:
                self._not_before = time.monotonic() + REFUSED_PAUSE_SECONDS
                said = message.headers.get("Description", message.headers["Status"])
                log.warning("pull request refused", extra={"subject": self._subject, "reason": said})
            self._arrived.put_nowait(None)  # wakes `batches`, which asks again
            return
        self._wanted -= 1
        self._arrived.put_nowait(message)
