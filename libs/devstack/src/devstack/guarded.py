"""A NATS cluster guarded as in production: the users of `deploy/nats/users.conf`, and TLS from the first byte."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contracts.nats_users import password_variable
from contracts.permissions import STAFF, users
from devstack import repository
from devstack.certificates import Certificates, certificates
from devstack.folders import Keepsakes, write_whole

# A node that drains says so, hands its streams over, and a second later sends its clients away one by one.
_ACCESS = """\
include "users.conf"
tls {{ cert_file: "{certificate}", key_file: "{key}", handshake_first: true }}
lame_duck_grace_period: "1s"
lame_duck_duration: "30s"
"""
_ROUTES = 'tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{ca_file}", verify: true }}'


@dataclass(frozen=True, slots=True)
class Guard:
    """Who is let in, and what the nodes show."""

    passwords: Mapping[str, str] = field(repr=False)
    shown: Certificates

    @property
    def access(self) -> str:
        """The lines of a node's configuration that let clients in."""
        return _ACCESS.format(certificate=self.shown.certificate, key=self.shown.key)

    @property
    def routes(self) -> str:
        """The line of a node's cluster block that lets other nodes in."""
        shown = self.shown
        return _ROUTES.format(certificate=shown.certificate, key=shown.key, ca_file=shown.ca_file)

    @property
    def environment(self) -> Mapping[str, str]:
        """Where the users' file finds its passwords."""
        return {password_variable(user): password for user, password in self.passwords.items()}

    @property
    def first(self) -> str:
        """The user of whoever looks at the bus from outside."""
        return STAFF

    def place(self, folder: Path) -> None:
        """Put the users' file where a node's configuration includes it from."""
        write_whole(folder / "users.conf", repository.NATS_USERS.read_text(encoding="utf-8"))


def guard(folder: Path, kept: Keepsakes) -> Guard:
    """Passwords are those of the last time, certificates are new."""
    # The server reads them as values of its configuration: a letter first, and nothing but letters and digits.
    passwords = {user.name: f"p{kept.secret(f'password of {user.name}').encode().hex()}" for user in users()}
    return Guard(passwords, certificates(folder / "certificates"))
