"""Cookies that we sign: of devices that a user has signed in with, and of browsers that asked for an account."""

import base64
import hmac
import secrets

from gateway.portal.visit import cookie

DEVICE_COOKIE = "__Host-smartroute_device"
SIGN_UP_COOKIE = "__Host-smartroute_sign_up"

DEVICE_SECONDS = 180 * 86_400

_DEVICE = b"portal device\0"
_SIGN_UP = b"portal sign-up\0"
_NONCE_LENGTH = 22


def device_cookie(key: bytes, email: str) -> str:
    """The `set-cookie` of a device that has just signed in. It says who to nobody but us."""
    nonce = secrets.token_urlsafe(16)
    return cookie(DEVICE_COOKIE, f"{nonce}.{_signed(key, _DEVICE, f'{nonce}.{email}')}", max_age_seconds=DEVICE_SECONDS)


def device_of(key: bytes, value: str | None, *, email: str) -> str | None:
    """The device behind a cookie, when this user has signed in with it."""
    nonce, _, signature = (value or "").partition(".")
    if len(nonce) != _NONCE_LENGTH or not _is(_signed(key, _DEVICE, f"{nonce}.{email}"), signature):
        return None
    return nonce


def sign_up_cookie(key: bytes, link_digest: bytes, *, seconds: int) -> str:
    """The `set-cookie` of a browser that has just asked for an account, bound to the link in the mail."""
    return cookie(SIGN_UP_COOKIE, _signed(key, _SIGN_UP, link_digest.hex()), max_age_seconds=seconds)


def has_signed_up(key: bytes, value: str | None, *, link_digest: bytes) -> bool:
    return _is(_signed(key, _SIGN_UP, link_digest.hex()), value or "")


def _signed(key: bytes, purpose: bytes, text: str) -> str:
    made = hmac.digest(key, purpose + text.encode(), "sha256")
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def _is(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode(errors="replace"))
