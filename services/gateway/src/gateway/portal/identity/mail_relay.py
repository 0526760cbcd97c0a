"""The SMTP server that takes our mails: how its address is read, and which addresses get mail at all."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

# A dot-atom of at most 64 characters at a domain, in ASCII (RFC 5321, 4.1.2 and 4.5.3.1): quoted names do not exist.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_LONGEST_ADDRESS = 254


class MailSettingsBad(ValueError):
    """The address of the relay, or of the sender, cannot be used. The text does not quote it: it has a password."""


@dataclass(frozen=True, slots=True)
class Relay:
    """The SMTP server that takes our mails, and whom they are from.

    `smtps://` is TLS from the first byte. `smtp://` begins TLS when the server offers it, and insists on it when there
    is a password to send; certificates are checked in both cases.
    """

    host: str
    port: int
    sender: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    is_tls: bool = False

    @classmethod
    def read(cls, url: str, *, sender: str) -> "Relay":
        """`smtp[s]://[user:password@]host[:port]`. Raises `MailSettingsBad`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as exc:
            raise MailSettingsBad("the address of the mail relay is not a URL") from exc
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise MailSettingsBad("the address of the mail relay is written smtp://host:port or smtps://host:port")
        if (parts.username is None) != (parts.password is None):
            raise MailSettingsBad("the mail relay takes a user and a password, or neither")
        if not is_address(sender):
            raise MailSettingsBad("the sender of mails is not an e-mail address")
        is_tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=port or (465 if is_tls else 587 if parts.password else 25),
            sender=sender,
            user=unquote(parts.username) if parts.username is not None else None,
            password=unquote(parts.password) if parts.password is not None else None,
            is_tls=is_tls,
        )

    @property
    def domain(self) -> str:
        return self.sender.rpartition("@")[2]

    @property
    def begins_tls(self) -> bool | None:
        """Whether TLS is begun after the greeting: None is "if it is offered"."""
        return False if self.is_tls else True if self.password is not None else None


def is_address(text: str) -> bool:
    """Whether a mail can be sent to it: one address and nothing besides, no header hidden in it."""
    return len(text) <= _LONGEST_ADDRESS and _ADDRESS.fullmatch(text) is not None
