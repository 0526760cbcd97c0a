"""One request to the portal: its nonce, who sent it, and the secret that its forms are bound to.

The guard makes it, before any page; pages and templates read it.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast
from uuid import UUID

from starlette.types import Scope

VISIT_KEY = "smartroute.visit"
SESSION_COOKIE = "__Host-smartroute_session"
VISITOR_COOKIE = "__Host-smartroute_visitor"

_SECRET_BYTES = 32
_SECRET_LENGTH = 43


@dataclass(frozen=True, slots=True)
class Visitor:
    """A user who is signed in. `is_recent`: the user has proven who it is not long ago."""

    session_id: UUID
    user_id: UUID
    account_id: UUID
    email: str
    has_password: bool
    preferred_token_id: UUID | None
    authenticated_at: datetime
    is_recent: bool


@dataclass(slots=True)
class Visit:
    """`key` signs what forms carry.

    `secret` is the session's cookie, or that of a visitor who is not signed in; None until one is needed.
    `set_cookies` are the values of `set-cookie` headers that the response gets. `is_store_away`: nobody can be known.
    """

    nonce: str
    key: bytes = field(repr=False)
    visitor: Visitor | None = None
    secret: str | None = None
    is_store_away: bool = False
    set_cookies: list[str] = field(default_factory=list)

    def csrf_token(self) -> str:
        """What the forms of this page carry. A visitor without a secret gets one.

        Signed double submit, bound to the session (OWASP CSRF Prevention Cheat Sheet).
        """
        if self.secret is None:
            self.secret = new_secret()
            self.set_cookies.append(cookie(VISITOR_COOKIE, self.secret))
        return _csrf_token(self.key, self.secret)

    def is_csrf_token(self, token: str) -> bool:
        return self.secret is not None and hmac.compare_digest(
            _csrf_token(self.key, self.secret).encode(), token.encode()
        )


def visit_of(scope: Scope) -> Visit:
    return cast(Visit, scope[VISIT_KEY])


def new_secret() -> str:
    """256 random bits (ASVS 5.0 7.2.3 asks for 128), as 43 characters of base64url."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def is_secret(text: str | None) -> bool:
    """Whether a cookie can be one of ours."""
    return text is not None and len(text) == _SECRET_LENGTH and text.isascii()


def digest(secret: str) -> bytes:
    """What is stored in place of a secret: with 256 random bits it needs no salt, and it is found by value."""
    return hashlib.sha256(secret.encode()).digest()


def cookie(name: str, value: str, *, max_age_seconds: int | None = None) -> str:
    """The value of a `set-cookie` header. Of this host alone, by the `__Host-` prefix (RFC 6265bis §4.1.3.2)."""
    lasting = f"; Max-Age={max_age_seconds}" if max_age_seconds is not None else ""
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{lasting}"


def _csrf_token(key: bytes, secret: str) -> str:
    made = hmac.digest(key, b"portal form\0" + secret.encode(), "sha256")
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()
