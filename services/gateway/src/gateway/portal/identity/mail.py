"""Mails to users of the portal: queued in memory, sent beside requests, tried again while the relay is away.

`Postman.post` answers at once in every case, so that no page tells by its time whether a mail is on its way. What is
said in a mail is made in `letters`.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import localtime, make_msgid

import aiosmtplib

from chassis import telemetry
from gateway.portal.identity.mail_relay import Relay, is_address
from gateway.settings import PortalSettings

log = logging.getLogger(__name__)

# Before each try but the first. A relay that is away for a minute costs no mail; greylisting ends earlier, too.
PAUSES_SECONDS = (1.0, 5.0, 20.0, 60.0)
WAITING_LIMIT = 1000
AT_ONCE = 4
STEP_TIMEOUT_SECONDS = 10.0
TRY_TIMEOUT_SECONDS = 30.0
GOODBYE_SECONDS = 1.0
DRAIN_SECONDS = 5.0

_PERMANENT = 500
# A link must stay on one line as it is; mail allows lines of 998 characters (RFC 5322, 2.1.1).
_POLICY = EmailPolicy(max_line_length=900, linesep=SMTP.linesep)

_mails = telemetry.meter.create_counter(
    "smartroute.portal.mails", unit="{mail}", description="Mails to users of the portal, by what became of them"
)


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail in plain text. It carries a secret (the link): neither shown nor logged."""

    to: str = field(repr=False)
    subject: str
    text: str = field(repr=False)


def composed(mail: Mail, *, sender: str) -> EmailMessage:
    """The message as it is sent. Raises `ValueError` for what would be more than one address or one line."""
    if not is_address(mail.to):
        raise ValueError("not one address")
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address("Smart Route", addr_spec=sender)
    message["To"] = Address(addr_spec=mail.to)
    message["Subject"] = mail.subject
    message["Date"] = localtime()
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    # No out-of-office answers, please (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text, charset="utf-8")
    return message


def relay_of(settings: PortalSettings) -> Relay | None:
    """The relay of these settings; None: nobody sends our mails. Raises `MailSettingsBad`."""
    if settings.smtp_url is None or settings.mail_from is None:
        return None
    return Relay.read(settings.smtp_url.get_secret_value(), sender=settings.mail_from)


class Postman:
    """Sends mails while `running`. Without a relay there is none to send: pages ask `can_send` and say so."""

    def __init__(
        self,
        relay: Relay | None,
        *,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
        waiting_limit: int = WAITING_LIMIT,
        drain_seconds: float = DRAIN_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._relay = relay
        self._pauses = tuple(pauses_seconds)
        self._waiting_limit = waiting_limit
        self._drain_seconds = drain_seconds
        # Made once: reading the certificates of the authorities takes the event loop tens of milliseconds.
        self._tls = tls or (ssl.create_default_context() if relay is not None else None)
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._deliveries: set[asyncio.Task[bool]] = set()
        self._is_stopping = asyncio.Event()

    @property
    def can_send(self) -> bool:
        return self._relay is not None

    def post(self, mail: Mail) -> None:
        """Queue a mail. Never waits; what cannot be queued is counted, and a user asks for another one."""
        if self._relay is None or self._is_stopping.is_set() or len(self._deliveries) >= self._waiting_limit:
            log.warning("mail not queued", extra={"waiting": len(self._deliveries)})
            _mails.add(1, {"result": "refused"})
            return
        delivery = asyncio.create_task(self._deliver(mail, self._relay), name="send a mail")
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def deliver(self, mail: Mail) -> bool:
        """Send a mail now, with all its tries; whether it was taken. For commands, whose user waits for it."""
        return self._relay is not None and await self._deliver(mail, self._relay)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """On the way out every mail that waits is tried once more, at once, as long as the grace lasts."""
        try:
            yield
        finally:
            self._is_stopping.set()
            await self._drain()

    async def _drain(self) -> None:
        if not self._deliveries:
            return
        _, late = await asyncio.wait(set(self._deliveries), timeout=self._drain_seconds)
        for delivery in late:
            delivery.cancel()
        if late:
            await asyncio.wait(late)
            log.warning("mails not sent before the end", extra={"mails": len(late)})
            _mails.add(len(late), {"result": "dropped"})

    async def _deliver(self, mail: Mail, relay: Relay) -> bool:
        for pause_seconds in (*self._pauses, None):
            is_last = pause_seconds is None or self._is_stopping.is_set()
            failed = await self._tried(mail, relay)
            if failed is None:
                _mails.add(1, {"result": "sent"})
                return True
            if failed.is_final or is_last:
                log.warning("mail not sent", extra={"reason": failed.what})
                _mails.add(1, {"result": "failed"})
                return False
            await self._pause(pause_seconds or 0)
        return False

    async def _pause(self, seconds: float) -> None:
        """Cut short when we stop: then comes the last try."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_stopping.wait()

    async def _tried(self, mail: Mail, relay: Relay) -> "_Failed | None":
        """Nothing when it was taken. What the relay said is not kept: it quotes addresses."""
        try:
            async with self._at_once:
                await self._send(composed(mail, sender=relay.sender), mail.to, relay)
        except aiosmtplib.SMTPRecipientsRefused as exc:
            return _Failed(type(exc).__name__, is_final=all(each.code >= _PERMANENT for each in exc.recipients))
        except aiosmtplib.SMTPResponseException as exc:
            return _Failed(f"{type(exc).__name__} {exc.code}", is_final=exc.code >= _PERMANENT)
        except (aiosmtplib.SMTPNotSupported, ValueError) as exc:
            return _Failed(type(exc).__name__, is_final=True)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as exc:
            return _Failed(type(exc).__name__, is_final=False)
        return None

    async def _send(self, message: EmailMessage, to: str, relay: Relay) -> None:
        client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.user,
            password=relay.password,
            # Our own name is nobody's business, and asking for it can take a resolver's time-out.
            local_hostname=relay.domain,
            timeout=STEP_TIMEOUT_SECONDS,
            use_tls=relay.is_tls,
            start_tls=relay.begins_tls,
            tls_context=self._tls,
        )
        try:
            async with asyncio.timeout(TRY_TIMEOUT_SECONDS):
                await client.connect()
                await client.send_message(message, sender=relay.sender, recipients=[to])
            # It is taken: whatever becomes of the goodbye, it is not sent twice.
            with contextlib.suppress(aiosmtplib.SMTPException):
                await client.quit(timeout=GOODBYE_SECONDS)
        finally:
            # Not as a context manager: that one says goodbye even when it is cancelled, and waits for the answer.
            client.close()


@dataclass(frozen=True, slots=True)
class _Failed:
    what: str
    is_final: bool
