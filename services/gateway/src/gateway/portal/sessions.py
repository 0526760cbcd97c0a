"""Sessions of signed-in users: begun, found by their cookie, proven anew, ended."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from starlette.requests import Request

from gateway.ids import new_id
from gateway.portal.visit import SESSION_COOKIE, VISITOR_COOKIE, Visit, Visitor, cookie, digest, new_secret, visit_of
from gateway.store import KnownSession, SessionStore
from gateway.tables import Session, User

# One write per session in so long at most: when it was last seen need not be exact.
SEEN_EVERY = timedelta(minutes=1)
_BROWSER_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Sessions:
    """`lifetime` is how long a session lasts at most, `proof` how long the user's last proof is good for."""

    store: SessionStore
    lifetime: timedelta
    proof: timedelta

    async def find(self, secret: str) -> Visitor | None:
        """Who is signed in with this cookie. Raises `StoreAway`."""
        known = await self.store.find(digest(secret))
        if known is None:
            return None
        if known.now - known.session.last_seen_at >= SEEN_EVERY:
            await self.store.note_seen(known.session.session_id)
        return self._visitor(known)

    async def begin(self, request: Request, user: User) -> UUID:
        """Sign a user in: always under a new cookie, so that none that was planted before is worth anything.

        Ending a session that this browser had is the caller's: its tokens end with it (`endings`).
        """
        secret = new_secret()
        now = datetime.now(UTC)
        session = Session(
            session_id=new_id(),
            user_id=user.user_id,
            digest=digest(secret),
            browser=request.headers.get("user-agent", "")[:_BROWSER_LENGTH].replace("\0", ""),
            created_at=now,
            authenticated_at=now,
            last_seen_at=now,
            expires_at=now + self.lifetime,
        )
        await self.store.add(session)
        self._hand_out(visit_of(request.scope), secret)
        return session.session_id

    async def prove(self, request: Request, visitor: Visitor) -> None:
        """The user has proven anew who it is: the session goes on under a new cookie."""
        secret = new_secret()
        await self.store.note_proof(visitor.session_id, digest=digest(secret))
        self._hand_out(visit_of(request.scope), secret)

    def forget(self, request: Request) -> None:
        """Take the cookie from the browser. Ending the session is the store's."""
        visit = visit_of(request.scope)
        visit.visitor, visit.secret = None, None
        visit.set_cookies.append(cookie(SESSION_COOKIE, "", max_age_seconds=0))

    def _hand_out(self, visit: Visit, secret: str) -> None:
        visit.secret = secret
        lasting = round(self.lifetime.total_seconds())
        visit.set_cookies.append(cookie(SESSION_COOKIE, secret, max_age_seconds=lasting))
        visit.set_cookies.append(cookie(VISITOR_COOKIE, "", max_age_seconds=0))

    def _visitor(self, known: KnownSession) -> Visitor:
        session, user = known.session, known.user
        return Visitor(
            session_id=session.session_id,
            user_id=user.user_id,
            account_id=user.account_id,
            email=user.email,
            has_password=user.password_hash is not None,
            preferred_token_id=user.preferred_token_id,
            authenticated_at=session.authenticated_at,
            is_recent=known.now - session.authenticated_at < self.proof,
        )
