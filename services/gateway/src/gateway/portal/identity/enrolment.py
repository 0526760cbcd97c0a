"""How an account is asked for and opened: by whoever can read the mail of its address, and knows the password."""

import logging
from dataclasses import dataclass

from chassis.bus import Bus, BusError
from gateway import accounts
from gateway.ids import new_id
from gateway.portal.identity import links
from gateway.portal.identity.letters import Letters
from gateway.portal.identity.mail import Postman
from gateway.portal.identity.passwords import Passwords
from gateway.portal.site import Site
from gateway.store import Store
from gateway.store.mail_links import MailLinkStore
from gateway.store.users import UserStore
from gateway.tables import Account, MailLink, User

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Opens accounts. Neither its answers nor the work that it does tell whether an e-mail is known."""

    users: UserStore
    links: MailLinkStore
    store: Store
    passwords: Passwords
    letters: Letters
    postman: Postman
    site: Site
    bus: Bus
    announce_timeout_seconds: float

    async def ask(self, email: str, password: str) -> MailLink:
        """Send a mail: with a link, or saying that there is an account. The link, which is written in both cases, so
        that both take the same; of one that nobody is told nobody can make use.

        Raises `StoreAway`, `ServiceUnavailable`.
        """
        password_hash = await self.passwords.hash(password)
        known = await self.users.by_email(email)
        secret, link = links.made("sign_up", email, valid=links.SIGN_UP_VALID, password_hash=password_hash)
        await self.links.add(link)
        if known is not None:
            self.postman.post(self.letters.already_known(email))
        else:
            to = links.url(self.site, "sign_up", secret)
            self.postman.post(self.letters.sign_up(email, link=to, valid=links.SIGN_UP_VALID))
        return link

    async def open(self, link: MailLink) -> User | None:
        """Open the account of a link, on the plan that new accounts have; None when it was used up meanwhile.

        Raises `UserExists`, `StoreAway`.
        """
        opened = await self.users.open_by_link(link.digest, account_id=new_id(), user_id=new_id())
        if opened is None:
            return None
        account, user = opened
        await self.announce(account)
        return user

    async def announce(self, account: Account) -> None:
        """At once, because the user wants to see the plan now. What fails is still owed, and told by the relay."""
        try:
            await accounts.announce(self.bus, self.store, account, timeout_seconds=self.announce_timeout_seconds)
        except BusError as exc:
            log.warning("account to be announced later", extra={"reason": type(exc).__name__})
