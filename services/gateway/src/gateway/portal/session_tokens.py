"""Tokens of sessions: what the tester and the doctor call the public endpoint with, in the place of a signed-in user.

Their text is stored nowhere, not even at the browser: it follows from the session's cookie and the hour, so every
gateway makes the same one. Like of all tokens, the database has the digest.
"""

import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gateway import tokens
from gateway.auth import SCOPES
from gateway.ids import new_id
from gateway.portal.errors import SignInNeeded
from gateway.portal.visit import Visit, Visitor
from gateway.store import TokenStore
from gateway.tables import Token

NAME = "Live tester"
# Of the hour that they are made for, and one more: whoever gets one can use it for an hour at least.
LIFETIME = timedelta(hours=2)

_HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class SessionToken:
    """`text` is what is sent as the bearer token, until `expires_at`."""

    text: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SessionTokens:
    """Mints them. `key` is the gateway's signing key. When a session ends, its tokens are revoked with it."""

    tokens: TokenStore
    key: bytes = field(repr=False)

    async def mint(self, visit: Visit) -> SessionToken:
        """The token of this session for this hour. Raises `SignInNeeded`, also when the session has just ended."""
        if visit.visitor is None or visit.secret is None:
            raise SignInNeeded
        now = datetime.now(UTC)
        minted = derived(self.key, visit.secret, now=now)
        if not await self.tokens.add_of_session(_row(minted, visit.visitor, now=now)):
            raise SignInNeeded
        return minted


def derived(key: bytes, secret: str, *, now: datetime) -> SessionToken:
    hour = int(now.timestamp()) // _HOUR_SECONDS
    seed = hmac.digest(key, b"session token\0" + secret.encode() + b"\0" + str(hour).encode(), "sha256")
    begun = datetime.fromtimestamp(hour * _HOUR_SECONDS, UTC)
    return SessionToken(tokens.derived(seed), begun + LIFETIME)


def _row(minted: SessionToken, visitor: Visitor, *, now: datetime) -> Token:
    return Token(
        token_id=new_id(),
        account_id=visitor.account_id,
        digest=tokens.digest(minted.text.encode()),
        name=NAME,
        scopes=list(SCOPES),
        last_four=minted.text[-4:],
        created_at=now,
        expires_at=minted.expires_at,
        session_id=visitor.session_id,
    )
