"""Everything that pages need to know who somebody is, built once; and how a visitor arrives as a user."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.bus import Bus
from gateway.portal.identity import links
from gateway.portal.identity.addresses import Network, client_address, networks
from gateway.portal.identity.devices import DEVICE_COOKIE, device_cookie
from gateway.portal.identity.endings import Endings
from gateway.portal.identity.enrolment import Enrolment
from gateway.portal.identity.letters import Letters
from gateway.portal.identity.mail import Postman
from gateway.portal.identity.passwords import Passwords
from gateway.portal.identity.proof import Proofs
from gateway.portal.identity.recovery import Recovery
from gateway.portal.identity.throttle import Throttle
from gateway.portal.sessions import Sessions
from gateway.portal.site import Site
from gateway.portal.visit import visit_of
from gateway.settings import PortalSettings
from gateway.store import Store
from gateway.store.mail_links import MailLinkStore, Purpose
from gateway.store.throttle import ThrottleStore
from gateway.store.users import UserStore
from gateway.tables import MailLink, User


@dataclass(frozen=True, slots=True)
class Given:
    """What this part is given by the portal."""

    engine: AsyncEngine
    bus: Bus
    site: Site
    sessions: Sessions
    letters: Letters
    postman: Postman
    signing_key: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """`key` signs our cookies and hides what the counters are of; `trusted` are the proxies before us."""

    enrolment: Enrolment
    recovery: Recovery
    proofs: Proofs
    endings: Endings
    throttle: Throttle
    users: UserStore
    links: MailLinkStore
    counters: ThrottleStore
    sessions: Sessions
    postman: Postman
    trusted: Sequence[Network]
    key: bytes
    is_open: bool

    async def arrive(self, request: Request, user: User) -> None:
        """Sign a user in with this browser, which is known as one of the user's from now on. Raises `StoreAway`."""
        visit = visit_of(request.scope)
        if visit.visitor is not None:
            await self.endings.end(visit.visitor.user_id, visit.visitor.session_id)
        await self.sessions.begin(request, user)
        visit.set_cookies.append(device_cookie(self.key, user.email))

    def address(self, request: Request) -> str:
        return client_address(request.scope, self.trusted)

    def device(self, request: Request) -> str | None:
        return request.cookies.get(DEVICE_COOKIE)

    async def link(self, request: Request, purpose: Purpose, secret: str) -> MailLink | None:
        """The link that a visitor followed, while it is good. Raises `TooManyTries`, `StoreAway`."""
        tried = await self.throttle.link(address=self.address(request))
        digest = links.digest_of(secret)
        found = await self.links.find(digest, purpose) if digest is not None else None
        if found is not None:
            await self.throttle.succeeded(tried)
        return found


def build_identity(settings: PortalSettings, given: Given) -> Identity:
    users, mail_links = UserStore(given.engine), MailLinkStore(given.engine)
    counters, store = ThrottleStore(given.engine), Store(given.engine)
    passwords, throttle = Passwords(), Throttle(counters, given.signing_key)
    letters, postman, site = given.letters, given.postman, given.site
    timeout = settings.portal_ask_timeout_seconds
    endings = Endings(users, store, given.bus, timeout)
    return Identity(
        enrolment=Enrolment(users, mail_links, store, passwords, letters, postman, site, given.bus, timeout),
        recovery=Recovery(users, mail_links, passwords, letters, postman, throttle, endings, site),
        proofs=Proofs(users, passwords, throttle, letters, postman, endings, given.signing_key),
        endings=endings,
        throttle=throttle,
        users=users,
        links=mail_links,
        counters=counters,
        sessions=given.sessions,
        postman=postman,
        trusted=networks(settings.trusted_proxies),
        key=given.signing_key,
        is_open=settings.sign_up_open,
    )
