"""How a forgotten password is replaced: by whoever can read the mail of the user's e-mail address."""

from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.portal.identity import links
from gateway.portal.identity.endings import Endings
from gateway.portal.identity.letters import Letters
from gateway.portal.identity.mail import Postman
from gateway.portal.identity.passwords import Passwords
from gateway.portal.identity.throttle import Throttle
from gateway.portal.site import Site
from gateway.store.mail_links import MailLinkStore
from gateway.store.users import UserStore
from gateway.tables import MailLink, User


@dataclass(frozen=True, slots=True)
class Recovery:
    """Sends links for a new password. What it says and does is the same for e-mails that nobody has."""

    users: UserStore
    links: MailLinkStore
    passwords: Passwords
    letters: Letters
    postman: Postman
    throttle: Throttle
    endings: Endings
    site: Site

    async def ask(self, email: str) -> None:
        """The link is written in any case, and told only to a user. Raises `StoreAway`."""
        user = await self.users.by_email(email)
        secret, link = links.made("reset", email, valid=links.RESET_VALID)
        await self.links.add(link)
        if user is not None:
            to = links.url(self.site, "reset", secret)
            self.postman.post(self.letters.reset(email, link=to, valid=links.RESET_VALID))

    async def reset(self, link: MailLink, password: str) -> User | None:
        """A new password; every session of the user ends. None when the link was used up meanwhile.

        Raises `StoreAway`, `ServiceUnavailable`.
        """
        password_hash = await self.passwords.hash(password)
        done = await self.users.reset_by_link(link.digest, password_hash=password_hash)
        if done is None:
            return None
        user, tokens = done
        await self.endings.block(tokens)
        await self.throttle.clear_account(user.email)
        self.postman.post(self.letters.password_changed(user.email, at=datetime.now(UTC)))
        return user
