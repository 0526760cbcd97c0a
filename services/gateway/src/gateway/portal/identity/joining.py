"""Which user an identity at the provider is: known, new, or somebody whose account has to be connected first.

The same e-mail is not enough to enter an account that there is: whoever can make the provider say an e-mail (a former
owner of the address, an administrator there, a provider that is careless) would be in. The identity is connected to it
only by a user who is signed in to it, and has proven it not long ago (Sudhodanan and Paverd, "Pre-hijacked accounts",
USENIX Security 2022).
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.ids import new_id
from gateway.portal.identity.boxes import Box
from gateway.portal.identity.enrolment import Enrolment
from gateway.portal.identity.id_token import OidcIdentity
from gateway.portal.visit import Visitor, cookie
from gateway.store.users import UserExists, UserStore
from gateway.tables import Account, User

COOKIE = "__Host-smartroute_connect"
PENDING_SECONDS = 600


class EmailUnverified(Exception):
    """The provider does not vouch for an e-mail, and without one there is no account to open or to connect."""


class SignUpClosed(Exception):
    """There is no user for this identity, and accounts are opened by staff alone."""


class EmailKnown(Exception):
    """There is an account with this e-mail; its user has to sign in to it to connect the identity."""

    def __init__(self, email: str) -> None:
        super().__init__("email known")
        self.email = email


@dataclass(frozen=True, slots=True)
class Joining:
    users: UserStore
    enrolment: Enrolment
    is_open: bool
    key: bytes = field(repr=False)

    async def user_of(self, identity: OidcIdentity) -> User:
        """The user, who has got an account if there was none.

        Raises `EmailUnverified`, `EmailKnown`, `SignUpClosed`, `StoreAway`.
        """
        known = await self.users.by_subject(identity.issuer, identity.subject)
        if known is not None:
            return known
        if identity.email is None:
            raise EmailUnverified
        if await self.users.by_email(identity.email) is not None:
            raise EmailKnown(identity.email)
        if not self.is_open:
            raise SignUpClosed
        return await self._opened(identity, identity.email)

    async def _opened(self, identity: OidcIdentity, email: str) -> User:
        now = datetime.now(UTC)
        account = Account(account_id=new_id(), name=email, opened_at=now)
        user = User(
            user_id=new_id(),
            account_id=account.account_id,
            email=email,
            oidc_issuer=identity.issuer,
            oidc_subject=identity.subject,
            created_at=now,
        )
        try:
            opened = await self.users.open(account, user)
        except UserExists:  # another tab was faster, or somebody signed up with the e-mail
            known = await self.users.by_subject(identity.issuer, identity.subject)
            if known is None:
                raise EmailKnown(email) from None
            return known
        await self.enrolment.announce(opened)
        return user

    def pending(self, identity: OidcIdentity) -> str:
        """The `set-cookie` of an identity that waits to be connected by the user who has its e-mail."""
        content = {"issuer": identity.issuer, "subject": identity.subject, "email": identity.email or ""}
        return cookie(COOKIE, self._box.close(content), max_age_seconds=PENDING_SECONDS)

    def pending_of(self, kept: str | None) -> OidcIdentity | None:
        content = self._box.open(kept)
        return OidcIdentity(**content) if content is not None else None

    async def connect(self, visitor: Visitor, identity: OidcIdentity) -> bool:
        """From now on the visitor may sign in with the identity, too, and is told so by mail.

        False when it is somebody else's, or when the visitor has another one already. Raises `StoreAway`.
        """
        if identity.email != visitor.email:
            return False
        try:
            is_joined = await self.users.join_subject(visitor.user_id, issuer=identity.issuer, subject=identity.subject)
        except UserExists:
            return False
        if is_joined:
            letters, postman = self.enrolment.letters, self.enrolment.postman
            postman.post(letters.provider_connected(visitor.email, at=datetime.now(UTC)))
        return is_joined

    @property
    def _box(self) -> Box:
        return Box(self.key, purpose="identity to be connected", seconds=PENDING_SECONDS)
