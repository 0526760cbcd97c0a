"""Links that are sent by mail: 256 random bits, kept by their digest, written with the address of our settings."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from gateway.portal.site import Site
from gateway.portal.visit import digest, is_secret, new_secret
from gateway.store.mail_links import Purpose
from gateway.tables import MailLink

FIELD = "link"
SIGN_UP_VALID = timedelta(hours=24)
RESET_VALID = timedelta(minutes=30)

_PATHS: dict[Purpose, str] = {"sign_up": "/sign-up/confirm", "reset": "/reset"}


def made(purpose: Purpose, email: str, *, valid: timedelta, password_hash: str | None = None) -> tuple[str, MailLink]:
    """A new secret, which exists here and in the mail alone, and the row that knows it again."""
    secret = new_secret()
    now = datetime.now(UTC)
    link = MailLink(
        digest=digest(secret),
        purpose=purpose,
        email=email,
        password_hash=password_hash,
        created_at=now,
        expires_at=now + valid,
    )
    return secret, link


def url(site: Site, purpose: Purpose, secret: str) -> str:
    """In the query, because paths are in traces and queries are nowhere. `Host` has no say in it."""
    return f"{site.origin}{_PATHS[purpose]}?{urlencode({FIELD: secret})}"


def digest_of(text: str) -> bytes | None:
    """The digest of what a visitor brings back, if it can be one of ours at all."""
    return digest(text) if is_secret(text) else None
