"""Where the mails of the stack go: an SMTP server on loopback that keeps every mail in a folder and sends none on."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, Envelope, Session

from devstack.folders import make_folder
from devstack.ports import LOOPBACK, free_port

_LINK = re.compile(r"https?://\S+")
_SIZE_LIMIT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Received:
    """A mail that came."""

    to: tuple[str, ...]
    subject: str
    text: str = field(repr=False)
    file: Path

    @property
    def link(self) -> str | None:
        """The first address in it: what its reader is asked to follow."""
        found = _LINK.search(self.text)
        return found.group() if found else None

    def told(self) -> str:
        """For the screen: who, what, and the link on a line of its own."""
        told = f"mail to {', '.join(self.to)}: {self.subject}"
        return f"{told}\n{self.link}" if self.link else told


class MailServer:
    """Keeps what it gets. `mails` are those of this run, oldest first."""

    def __init__(self, folder: Path, port: int, *, on_mail: Callable[[Received], None] | None = None) -> None:
        self.url = f"smtp://{LOOPBACK}:{port}"
        self.mails: list[Received] = []
        self._folder = folder
        self._on_mail = on_mail
        self._came = asyncio.Condition()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002
        """Called by aiosmtpd, by this name, when a mail has come."""
        content = envelope.content
        raw = content if isinstance(content, bytes) else (content or "").encode()
        mail = _read(raw, to=tuple(envelope.rcpt_tos), file=self._keep(raw))
        self.mails.append(mail)
        if self._on_mail is not None:
            self._on_mail(mail)
        async with self._came:
            self._came.notify_all()
        return "250 kept"

    async def next_to(self, address: str, *, after: int = 0, within_seconds: float = 10.0) -> Received:
        """The first mail to `address` after the first `after` mails to it, waited for. Raises `TimeoutError`."""

        def found() -> list[Received]:
            return [mail for mail in self.mails if address in mail.to][after:]

        async with asyncio.timeout(within_seconds), self._came:
            await self._came.wait_for(lambda: bool(found()))
        return found()[0]

    def _keep(self, raw: bytes) -> Path:
        file = self._folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{len(self.mails) + 1:04}.eml"
        with open(file, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
            stream.write(raw)
        return file


@asynccontextmanager
async def mail_server(
    folder: Path, *, port: int | None = None, on_mail: Callable[[Received], None] | None = None
) -> AsyncIterator[MailServer]:
    """A server while the block runs; the mails stay in `folder`."""
    make_folder(folder, mode=0o700)
    port = port or free_port()
    keeper = MailServer(folder, port, on_mail=on_mail)
    opened: WeakSet[SMTP] = WeakSet()

    def connection() -> SMTP:
        made = SMTP(keeper, hostname="localhost", ident="Smart Route", data_size_limit=_SIZE_LIMIT_BYTES)
        opened.add(made)
        return made

    server = await asyncio.get_running_loop().create_server(connection, LOOPBACK, port)
    try:
        yield keeper
    finally:
        server.close()
        # A client that is still there does not hold up the end.
        for each in opened:
            if each.transport is not None:
                each.transport.close()
        await server.wait_closed()


def _read(raw: bytes, *, to: tuple[str, ...], file: Path) -> Received:
    message = message_from_bytes(raw, policy=default)
    body = message.get_body(("plain",))
    return Received(to, str(message["subject"] or ""), body.get_content() if body is not None else "", file)
