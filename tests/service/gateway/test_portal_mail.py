"""The postman against a real SMTP server: at once for who posts, patient with the relay, silent about content."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from devstack.mail import mail_server
from devstack.ports import LOOPBACK, free_port
from gateway.portal.identity.mail import Mail, Postman
from gateway.portal.identity.mail_relay import Relay

SENDER = "no-reply@smartroute.example"
MAIL = Mail("ada@example.com", "Confirm", "Follow https://smartroute.example/canary-link\n")


class ScriptedRelay:
    """Answers the next mails as told, then takes them; can wait for `opens`."""

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.tries = 0
        self.taken: list[Envelope] = []
        self.logins: list[bytes] = []
        self.opens = asyncio.Event()
        self.opens.set()
        self.tried = asyncio.Event()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.tries += 1
        self.tried.set()
        await self.opens.wait()
        if self.replies:
            return self.replies.pop(0)
        self.taken.append(envelope)
        return "250 taken"

    def authenticator(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        self.logins.append(getattr(data, "password", b""))
        return AuthResult(success=True)


@asynccontextmanager
async def _listening(connection: Callable[[], SMTP], *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    port = free_port()
    server = await asyncio.get_running_loop().create_server(connection, LOOPBACK, port, ssl=tls)
    try:
        yield port
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def _relay(scripted: ScriptedRelay) -> AsyncIterator[Relay]:
    async with _listening(lambda: SMTP(scripted, hostname="relay")) as port:
        yield Relay.read(f"smtp://{LOOPBACK}:{port}", sender=SENDER)


@asynccontextmanager
async def _postman(relay: Relay | None, **limits: float) -> AsyncIterator[Postman]:
    postman = Postman(relay, pauses_seconds=(0.01, 0.01), **limits)  # type: ignore[arg-type]
    async with postman.running():
        yield postman


async def test_a_posted_mail_arrives_whole_and_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    async with mail_server(tmp_path / "mail") as server, _postman(Relay.read(server.url, sender=SENDER)) as postman:
        postman.post(MAIL)
        mail = await server.next_to("ada@example.com")
    assert (mail.to, mail.subject, mail.link) == (
        ("ada@example.com",),
        "Confirm",
        "https://smartroute.example/canary-link",
    )
    assert mail.file.stat().st_mode & 0o777 == 0o600
    assert mail.told().splitlines() == [
        "mail to ada@example.com: Confirm",
        "https://smartroute.example/canary-link",
    ]


async def test_posting_does_not_wait_for_a_relay_that_hangs() -> None:
    scripted = ScriptedRelay()
    scripted.opens.clear()
    async with _relay(scripted) as relay, _postman(relay) as postman:
        postman.post(MAIL)
        await asyncio.wait_for(scripted.tried.wait(), 10)
        assert scripted.taken == []
        scripted.opens.set()
    assert len(scripted.taken) == 1


async def test_a_relay_that_is_busy_gets_the_mail_later() -> None:
    scripted = ScriptedRelay("451 greylisted", "421 busy")
    async with _relay(scripted) as relay, _postman(relay) as postman:
        postman.post(MAIL)
        await _all_delivered(postman)
    assert scripted.tries == 3
    assert len(scripted.taken) == 1


async def test_a_mail_that_is_refused_for_good_is_not_sent_again_and_the_log_names_neither_it_nor_its_reader(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scripted = ScriptedRelay("550 no ada@example.com here, nor /canary-link")
    with caplog.at_level(logging.DEBUG):
        async with _relay(scripted) as relay, _postman(relay) as postman:
            postman.post(MAIL)
            await _all_delivered(postman)
    assert scripted.tries == 1
    told = [record for record in caplog.records if record.name.startswith("gateway")]
    assert [record.getMessage() for record in told] == ["mail not sent"]
    assert "ada" not in str(told[0].__dict__)
    assert "canary" not in str(told[0].__dict__)


async def test_a_relay_that_is_away_is_tried_again_and_then_given_up(caplog: pytest.LogCaptureFixture) -> None:
    relay = Relay.read(f"smtp://{LOOPBACK}:{free_port()}", sender=SENDER)
    async with _postman(relay) as postman:
        postman.post(MAIL)
        await _all_delivered(postman)
    assert [record.getMessage() for record in caplog.records] == ["mail not sent"]


async def test_a_mail_that_waits_for_its_next_try_goes_out_when_the_gateway_stops() -> None:
    scripted = ScriptedRelay("451 later")
    async with _relay(scripted) as relay:
        postman = Postman(relay, pauses_seconds=(600.0,))
        async with postman.running():
            postman.post(MAIL)
            await asyncio.wait_for(scripted.tried.wait(), 10)
    assert len(scripted.taken) == 1


async def test_a_stop_does_not_wait_longer_than_its_grace(caplog: pytest.LogCaptureFixture) -> None:
    scripted = ScriptedRelay()
    scripted.opens.clear()
    async with _relay(scripted) as relay:
        postman = Postman(relay, drain_seconds=0.05)
        async with asyncio.timeout(5), postman.running():
            postman.post(MAIL)
            await scripted.tried.wait()
        scripted.opens.set()
    assert "mails not sent before the end" in [record.getMessage() for record in caplog.records]


async def test_no_more_mails_wait_than_the_limit_allows() -> None:
    scripted = ScriptedRelay()
    scripted.opens.clear()
    async with _relay(scripted) as relay:
        postman = Postman(relay, waiting_limit=2)
        async with postman.running():
            for _ in range(5):
                postman.post(MAIL)
            scripted.opens.set()
    assert len(scripted.taken) == 2


async def test_without_a_relay_the_postman_says_that_it_cannot_send() -> None:
    async with _postman(None) as postman:
        assert not postman.can_send
        postman.post(MAIL)


async def test_a_password_is_only_sent_once_the_connection_is_encrypted() -> None:
    certificate, trusted = _certificate()
    scripted = ScriptedRelay()

    def without_tls() -> SMTP:
        return SMTP(scripted, hostname="relay", authenticator=scripted.authenticator)

    def offering_tls() -> SMTP:
        return SMTP(scripted, hostname="relay", tls_context=certificate, authenticator=scripted.authenticator)

    for connection, arrived in ((without_tls, 0), (offering_tls, 1)):
        async with _listening(connection) as port:
            relay = Relay.read(f"smtp://user:hunter2@{LOOPBACK}:{port}", sender=SENDER)
            async with _postman(relay, tls=trusted) as postman:  # type: ignore[arg-type]
                postman.post(MAIL)
                await _all_delivered(postman)
        assert (len(scripted.taken), len(scripted.logins)) == (arrived, arrived)
    assert scripted.logins == [b"hunter2"]


async def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    certificate, trusted = _certificate()
    scripted = ScriptedRelay()
    async with _listening(lambda: SMTP(scripted, hostname="relay"), tls=certificate) as port:
        relay = Relay.read(f"smtps://{LOOPBACK}:{port}", sender=SENDER)
        for tls in (None, trusted):
            async with _postman(relay, tls=tls) as postman:  # type: ignore[arg-type]
                postman.post(MAIL)
                await _all_delivered(postman)
            assert len(scripted.taken) == (0 if tls is None else 1)


async def _all_delivered(postman: Postman) -> None:
    """The end of all deliveries, with their own pauses: not cut short as by a stop."""
    async with asyncio.timeout(20):
        while waiting := [task for task in asyncio.all_tasks() if task.get_name() == "send a mail"]:
            await asyncio.wait(waiting)


def _certificate() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context, and a client's that trusts it."""
    import ipaddress
    import tempfile

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.write(made.public_bytes(Encoding.PEM))
        file.flush()
        server.load_cert_chain(file.name)
    client = ssl.create_default_context(cadata=made.public_bytes(Encoding.PEM).decode())
    return server, client
