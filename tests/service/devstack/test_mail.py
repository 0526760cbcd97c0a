"""The mail server of the stack: mails are kept and told, none is sent on, nothing is left behind."""

from email.message import EmailMessage
from pathlib import Path

import aiosmtplib

from devstack.mail import MailServer, Received, mail_server
from devstack.ports import is_free


async def _send(server: MailServer, to: str, text: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "us@smartroute.example", to, "Confirm your e-mail address"
    message.set_content(text)
    port = int(server.url.rpartition(":")[2])
    await aiosmtplib.send(message, hostname="127.0.0.1", port=port)


async def test_a_mail_is_kept_in_a_file_and_told_with_its_link_on_a_line_of_its_own(tmp_path: Path) -> None:
    told: list[Received] = []
    async with mail_server(tmp_path / "mail", on_mail=told.append) as server:
        await _send(server, "ada@example.com", "Follow this:\n\nhttp://127.0.0.1:8080/sign-up/confirm?link=x\n\nBye\n")
    assert [mail.told() for mail in told] == [
        "mail to ada@example.com: Confirm your e-mail address\nhttp://127.0.0.1:8080/sign-up/confirm?link=x"
    ]
    assert [path.name for path in (tmp_path / "mail").iterdir()] == [told[0].file.name]
    assert told[0].file.suffix == ".eml"
    assert (tmp_path / "mail").stat().st_mode & 0o077 == 0
    assert told[0].file.stat().st_mode & 0o077 == 0


async def test_mails_of_one_reader_are_found_in_their_order(tmp_path: Path) -> None:
    async with mail_server(tmp_path / "mail") as server:
        for to in ("ada@example.com", "bob@example.com", "ada@example.com"):
            await _send(server, to, f"http://127.0.0.1/{len(server.mails)}\n")
        assert (await server.next_to("ada@example.com")).link == "http://127.0.0.1/0"
        assert (await server.next_to("ada@example.com", after=1)).link == "http://127.0.0.1/2"
    assert sorted(mail.file for mail in server.mails) == [mail.file for mail in server.mails]


async def test_a_client_that_stays_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with mail_server(tmp_path / "mail") as server:
        port = int(server.url.rpartition(":")[2])
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port)
        await client.connect()
    assert is_free(port)
    client.close()
