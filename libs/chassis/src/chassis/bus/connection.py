"""One connection per process, with one inbox for all replies.

nats-py's own `request` makes an inbox token, a future and a time-out task for every call. One wildcard subscription
and a dictionary do the same for a fifth of the CPU; that is most of what an ask costs. The inbox of an ask names its
user and the owner of the subject, so permissions can say who may answer whom (`contracts.permissions`).
"""

import asyncio
import contextlib
import itertools
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from chassis import telemetry
from chassis.bus.errors import BusError, PeerUnavailable
from contracts.inboxes import inbox_prefix

log = logging.getLogger(__name__)

NO_RESPONDERS = "503"
# A stop must end although the server fell silent in the middle of it.
DRAIN_SECONDS = 10.0

_VIOLATION = "permissions violation"
_violations = telemetry.meter.create_counter(
    "smartroute.nats.permission_violations", description="What the NATS server refused this process"
)
_expiry = telemetry.meter.create_gauge(
    "smartroute.nats.certificate_expiry",
    unit="s",
    description="Until when the certificate is good that the NATS server has shown, as Unix time",
)


class Bus:
    """A live connection. Made by `connect`; used through the functions of this package."""

    def __init__(self, client: Client, *, instance: str) -> None:
        self.client = client
        self.instance = instance
        self.inbox_prefix, _, self._own = client.new_inbox().rpartition(".")
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._tokens = itertools.count()
        self._loop = asyncio.get_running_loop()
        self.tasks: set[asyncio.Task[None]] = set()
        self.served: list[Subscription] = []
        self.is_leaving = False

    @property
    def is_connected(self) -> bool:
        return self.client.is_connected

    @property
    def reconnects(self) -> int:
        """How often the connection was lost and is back."""
        return int(self.client.stats["reconnects"])

    async def open_inbox(self) -> None:
        await self.client.subscribe(f"{self.inbox_prefix}.*.{self._own}.*", cb=self._on_reply)

    async def request(
        self, subject: str, data: bytes, *, headers: dict[str, str] | None, timeout_seconds: float
    ) -> Msg:
        """Publish and await one reply. Raises `PeerUnavailable`: at once without a connection or a listener."""
        if not self.client.is_connected:
            raise PeerUnavailable(subject, "not connected to NATS", is_undelivered=True)
        token = str(next(self._tokens))
        reply: asyncio.Future[Msg] = self._loop.create_future()
        self._waiting[token] = reply
        deadline = self._loop.call_later(timeout_seconds, self._on_deadline, token, subject, timeout_seconds)
        inbox = f"{self.inbox_prefix}.{subject.partition('.')[0]}.{self._own}.{token}"
        try:
            await self.client.publish(subject, data, reply=inbox, headers=headers)
            message = await reply
        except NatsError as exc:
            raise PeerUnavailable(subject, f"not sent to NATS: {type(exc).__name__}") from exc
        finally:
            deadline.cancel()
            self._waiting.pop(token, None)
        if message.headers and not message.data and message.headers.get("Status") == NO_RESPONDERS:
            raise PeerUnavailable(subject, "no responders", is_undelivered=True)
        return message

    async def flush(self) -> None:
        """Return when the server has seen all that was sent before. Raises nats-py's errors.

        nats-py writes the PING of its `flush` ahead of what it has buffered: only the second one comes after that.
        """
        await self.client.flush()
        await self.client.flush()

    def fail_waiting(self) -> None:
        """The connection is lost, and with it the replies that were under way: nobody waits for them any longer."""
        for token, reply in list(self._waiting.items()):
            del self._waiting[token]
            if not reply.done():
                reply.set_exception(PeerUnavailable("NATS", "connection lost"))

    async def _on_reply(self, message: Msg) -> None:
        reply = self._waiting.pop(message.subject.rpartition(".")[2], None)
        if reply is not None and not reply.done():
            reply.set_result(message)

    def _on_deadline(self, token: str, subject: str, timeout_seconds: float) -> None:
        reply = self._waiting.pop(token, None)
        if reply is not None and not reply.done():
            reply.set_exception(PeerUnavailable(subject, f"no answer within {timeout_seconds:g} s"))

    async def drain(self) -> None:
        """Take no new asks, answer those that were taken, flush, close: a stop that loses nothing."""
        self.is_leaving = True
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._take_no_more()
                await asyncio.gather(*self.tasks, return_exceptions=True)
                if self.client.is_connected:
                    await self.client.drain()
        except (NatsError, OSError) as exc:  # a time-out is an OSError, too
            log.warning("stopped without NATS", extra={"error": type(exc).__name__})
        finally:
            if not self.client.is_connected:
                # Nobody can have it any more; and CPython 3.13.0 raises a TypeError for a write after the end.
                self.client._pending.clear()
                self.client._pending_data_size = 0
            with contextlib.suppress(NatsError, OSError):
                await self.client.close()

    async def end(self, subscriptions: Sequence[Subscription]) -> None:
        """Take nothing new from the server; return when what it had sent was handed over. Raises nats-py's errors.

        `Subscription.drain` stops listening on the word of a single flush, so a message could slip in between and be
        lost: first make sure that the server sends us nothing more.
        """
        for subscription in subscriptions:
            await self.client._send_unsubscribe(subscription._id)
        await self.flush()
        for subscription in subscriptions:
            await subscription.drain()  # type: ignore[no-untyped-call]

    async def _take_no_more(self) -> None:
        if not self.client.is_connected:
            return
        try:
            await self.end(self.served)
        except (NatsError, OSError) as exc:
            log.warning("NATS went away while stopping", extra={"error": type(exc).__name__})


class _Watch:
    """Says in the log what happens to a connection: each thing once, not once per attempt to reconnect."""

    def __init__(self) -> None:
        self.bus: Bus | None = None
        self._said: str | None = None

    async def on_error(self, exc: Exception) -> None:
        # A denied publish raises nothing in nats-py: this is its only trace.
        reason = f"{type(exc).__name__}: {exc}"
        if _VIOLATION in reason.lower():
            _violations.add(1)
        is_attempt = self.bus is None or not self.bus.is_connected
        if is_attempt and reason == self._said:
            return
        self._said = reason if is_attempt else None
        log.error("NATS reported an error", extra={"error": type(exc).__name__, "reason": str(exc)})

    async def on_disconnected(self) -> None:
        if self.bus is None or not self.bus.is_leaving:
            log.warning("NATS connection lost")
        if self.bus is not None:
            self.bus.fail_waiting()

    async def on_reconnected(self) -> None:
        self._said = None
        if self.bus is not None:
            tell_expiry(self.bus.client)
        log.info("NATS connection is back")


def servers_of(url: str) -> list[str]:
    """The servers of a cluster. Each needs its credentials: nats-py has none for those that it only hears of."""
    return [server.strip() for server in url.split(",")]


def inbox_of(url: str) -> str:
    """The prefix of all inboxes of the user that `url` names."""
    return inbox_prefix(unquote(urlsplit(servers_of(url)[0]).username or ""))


def trust_in(ca_file: Path | None) -> ssl.SSLContext | None:
    """For TLS with servers that this authority vouches for. Raises `BusError` when it cannot be read."""
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as exc:  # what is no certificate is an OSError, too
        raise BusError(f"the NATS authority {ca_file} cannot be used: {exc}") from exc


def tell_expiry(client: Client) -> None:
    """Measure until when the server's certificate is good, if there is one: after that nobody connects any more."""
    writer = getattr(client._transport, "_io_writer", None)
    shown = writer.get_extra_info("peercert") if writer is not None else None
    if shown:
        _expiry.set(ssl.cert_time_to_seconds(shown["notAfter"]))


@asynccontextmanager
async def connect(
    url: str, *, name: str, instance: str, ca_file: Path | None = None, wait_seconds: float = 30.0
) -> AsyncIterator[Bus]:
    """A connection for as long as the block runs. It reconnects for ever; the first connect gives up after a while.

    `url` may name several servers of a cluster, separated by commas. With `ca_file` the first byte is TLS already: a
    server that is not vouched for hears nothing.
    """
    watch = _Watch()
    trust = trust_in(ca_file)
    try:
        client = await asyncio.wait_for(
            nats.connect(
                servers_of(url),
                name=f"{name} {instance}",
                inbox_prefix=inbox_of(url),
                tls=trust,
                tls_handshake_first=trust is not None,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.25,
                ping_interval=5,
                max_outstanding_pings=2,
                error_cb=watch.on_error,
                disconnected_cb=watch.on_disconnected,
                reconnected_cb=watch.on_reconnected,
                skip_subject_validation=True,
            ),
            wait_seconds,
        )
    except TimeoutError as exc:
        raise BusError(f"NATS did not answer within {wait_seconds:g} s") from exc
    tell_expiry(client)
    bus = watch.bus = Bus(client, instance=instance)
    await bus.open_inbox()
    try:
        yield bus
    finally:
        await bus.drain()
