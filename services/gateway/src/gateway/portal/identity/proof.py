"""Who a user is, proven by the password: to sign in, to go on after a long time, to choose another password."""

from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.portal.identity.devices import device_of
from gateway.portal.identity.endings import Endings
from gateway.portal.identity.letters import Letters
from gateway.portal.identity.mail import Postman
from gateway.portal.identity.passwords import Passwords
from gateway.portal.identity.throttle import Throttle
from gateway.portal.visit import Visitor
from gateway.store.users import UserStore
from gateway.tables import MailLink, User


@dataclass(frozen=True, slots=True)
class Proofs:
    """Every method that takes a password raises `TooManyTries`, `StoreAway` and `ServiceUnavailable`."""

    users: UserStore
    passwords: Passwords
    throttle: Throttle
    letters: Letters
    postman: Postman
    endings: Endings
    key: bytes

    async def sign_in(self, email: str, password: str, *, address: str, device_cookie: str | None) -> User | None:
        """The user, or None for whatever reason: each takes the same statements and the same hash."""
        device = device_of(self.key, device_cookie, email=email)
        tried = await self.throttle.sign_in(email=email, address=address, device=device)
        user = await self.users.by_email(email)
        if not await self.passwords.verify(user.password_hash if user is not None else None, password):
            return None
        await self.throttle.succeeded(tried)
        if user is not None and user.password_hash is not None and self.passwords.is_outdated(user.password_hash):
            renewed = await self.passwords.hash(password)
            await self.users.rehash(user.user_id, before=user.password_hash, after=renewed)
        return user

    async def is_visitor(self, visitor: Visitor, password: str, *, address: str) -> bool:
        """Whether who is signed in knows the password, too."""
        tried = await self.throttle.proof(user=str(visitor.user_id), address=address)
        user = await self.users.find(visitor.user_id)
        is_right = await self.passwords.verify(user.password_hash if user is not None else None, password)
        if is_right:
            await self.throttle.succeeded(tried)
        return is_right

    async def is_asker(self, link: MailLink, password: str, *, address: str) -> bool:
        """Whether who follows a sign-up link is who asked for it: by the password that was chosen then."""
        tried = await self.throttle.proof(user=link.digest.hex(), address=address)
        is_right = await self.passwords.verify(link.password_hash, password)
        if is_right:
            await self.throttle.succeeded(tried)
        return is_right

    async def change(self, visitor: Visitor, password: str) -> None:
        """Another password, or the first one. All other sessions end, and links for a new one are worth nothing."""
        password_hash = await self.passwords.hash(password)
        ended = await self.users.change_password(
            visitor.user_id, password_hash=password_hash, session_id=visitor.session_id
        )
        await self.endings.block(ended)
        self.postman.post(self.letters.password_changed(visitor.email, at=datetime.now(UTC)))
