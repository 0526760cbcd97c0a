"""Mails as they are composed: one recipient, one subject, links whole; and how the relay's address is read."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default

import pytest

from gateway.portal.identity.letters import Letters
from gateway.portal.identity.mail import Mail, composed
from gateway.portal.identity.mail_relay import MailSettingsBad, Relay, is_address
from gateway.portal.site import Site

SENDER = "no-reply@smartroute.example"
LINK = "https://smartroute.example/sign-up/confirm?link=" + "a" * 86


def _letters() -> Letters:
    return Letters(Site("https://smartroute.example", oidc_name="Company sign-in"))


def test_a_link_is_on_one_line_however_the_mail_is_sent() -> None:
    mail = _letters().sign_up("ada@example.com", link=LINK, valid=timedelta(hours=24))
    raw = composed(mail, sender=SENDER).as_bytes()
    assert LINK.encode() in raw.splitlines()
    assert LINK in message_from_bytes(raw, policy=default).get_content().splitlines()


def test_a_mail_says_that_a_program_wrote_it_and_when() -> None:
    message = composed(Mail("ada@example.com", "Hello", "Ünïcode\n"), sender=SENDER)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@smartroute.example>")
    assert message["Date"] is not None
    assert message.get_content_type() == "text/plain"
    assert message.get_content() == "Ünïcode\n"


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@example.com\n",
        "ada@example.com, eve@example.com",
        "Ada <ada@example.com>",
        '"a b"@example.com',
        "ada@example.com eve@example.com",
        "a..b@example.com",
        "ada@-example.com",
        "ada@exämple.com",
        "a" * 65 + "@example.com",
        "ada@" + "a." * 130 + "com",
        "@example.com",
        "ada",
        "",
    ],
)
def test_what_is_not_one_plain_address_gets_no_mail(address: str) -> None:
    assert not is_address(address)
    with pytest.raises(ValueError, match="not one address"):
        composed(Mail(address, "Hello", "text"), sender=SENDER)


@pytest.mark.parametrize("address", ["ada@example.com", "o'neil+x.y@mail.example.co", "a@b"])
def test_usual_addresses_get_mail(address: str) -> None:
    assert composed(Mail(address, "Hello", "text"), sender=SENDER)["To"] == address


def test_a_subject_cannot_carry_a_header() -> None:
    with pytest.raises(ValueError, match="linefeed or carriage return"):
        composed(Mail("ada@example.com", "Hello\r\nBcc: eve@example.com", "text"), sender=SENDER)


def test_every_letter_has_a_subject_and_names_only_our_own_address() -> None:
    letters, to, at = _letters(), "ada@example.com", datetime(2026, 11, 28, 9, 5, tzinfo=UTC)
    written = [
        letters.sign_up(to, link=LINK, valid=timedelta(hours=24)),
        letters.already_known(to),
        letters.reset(to, link=LINK, valid=timedelta(minutes=30)),
        letters.invitation(to, link=LINK, valid=timedelta(days=3)),
        letters.password_changed(to, at=at),
        letters.provider_connected(to, at=at),
    ]
    for mail in written:
        assert mail.subject
        assert mail.text.startswith("Hello,\n")
        assert "{{" not in mail.text
        for word in mail.text.split():
            assert not word.startswith("http") or word.startswith("https://smartroute.example/")
    assert "28 November 2026, 09:05 UTC" in written[4].text
    assert "30 minutes" in written[2].text


def test_who_is_greeted_is_nobody_that_a_form_named() -> None:
    mail = _letters().already_known("<b>ada</b>@example.com")
    assert "ada" not in mail.text


def test_the_ports_and_the_kind_of_encryption_follow_from_the_address() -> None:
    plain, submission, tls = (
        Relay.read(url, sender=SENDER)
        for url in ("smtp://relay", "smtp://us%40er:p%2Fw@relay", "smtps://us%40er:p%2Fw@relay")
    )
    assert (plain.port, plain.is_tls, plain.begins_tls) == (25, False, None)
    assert (submission.port, submission.is_tls, submission.begins_tls) == (587, False, True)
    assert (tls.port, tls.is_tls, tls.begins_tls) == (465, True, False)
    assert (tls.user, tls.password) == ("us@er", "p/w")


@pytest.mark.parametrize(
    "url",
    ["", "relay:25", "http://relay", "smtp://", "smtp://user@relay", "smtp://relay:x", "smtp://u:secret@relay/path"],
)
def test_a_bad_address_of_the_relay_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(MailSettingsBad) as caught:
        Relay.read(url, sender=SENDER)
    assert "secret" not in str(caught.value)


def test_a_bad_sender_is_refused() -> None:
    with pytest.raises(MailSettingsBad):
        Relay.read("smtp://relay", sender="Smart Route")


def test_neither_a_mail_nor_a_relay_shows_its_secrets() -> None:
    mail = _letters().reset("ada@example.com", link=LINK, valid=timedelta(minutes=30))
    relay = Relay.read("smtp://user:hunter2@relay", sender=SENDER)
    assert "ada" not in repr(mail)
    assert LINK not in repr(mail)
    assert "hunter2" not in repr(relay)
