"""What a provider needs back with the next request (its thoughts, their signatures), opaque for the client in between.

AES-256-GCM (NIST SP 800-38D) under a key derived from the gateway's signing key (HKDF, RFC 5869), so that every replica
can read it, with account and target as associated data: what one provider said for one customer is never sent to
another one. The text is `sr1.` and base64url over nonce (12 bytes), ciphertext and tag.
"""

import base64
import binascii
import os
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PREFIX = "sr1."

_NONCE_BYTES = 12
_KEY_BYTES = 32
_PURPOSE = b"smart-route sealed state v1"
# For what belongs to no single target: a summary of a conversation.
ANY_TARGET = "*"


class Sealing:
    """Seals with the key, reads with the key or the previous one."""

    def __init__(self, key: bytes, *, previous_key: bytes | None = None) -> None:
        self._cipher = _cipher(key)
        self._ciphers = [self._cipher] if previous_key is None else [self._cipher, _cipher(previous_key)]

    def of(self, account_id: UUID, target: str = ANY_TARGET) -> "Seal":
        """The seal of one account and one target (or of none in particular)."""
        return Seal(self, account_id.bytes + target.encode())

    def seal(self, state: str, *, associated: bytes) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, state.encode(), associated)
        return PREFIX + base64.urlsafe_b64encode(sealed).decode()

    def unseal(self, sealed: str, *, associated: bytes) -> str | None:
        if not sealed.startswith(PREFIX):
            return None
        try:
            raw = base64.b64decode(sealed[len(PREFIX) :], altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], associated).decode()
            except (InvalidTag, ValueError):
                continue
        return None


@dataclass(frozen=True, slots=True)
class Seal:
    """A `wire.lane.Sealer`."""

    sealing: Sealing
    associated: bytes

    def seal(self, state: str) -> str:
        return self.sealing.seal(state, associated=self.associated)

    def unseal(self, sealed: str) -> str | None:
        """None for what was not sealed here."""
        return self.sealing.unseal(sealed, associated=self.associated)


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), _KEY_BYTES, salt=None, info=_PURPOSE).derive(key))
