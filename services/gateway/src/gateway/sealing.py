"""What a provider needs back with the next request (its thoughts, their signatures), opaque for the client in between.

AES-256-GCM (NIST SP 800-38D) under a key derived from the gateway's signing key (HKDF, RFC 5869), so that every replica
can read it, with the account as associated data: what one provider said for one customer is never sent to another one.
The text is `sr2.` and base64url over nonce (12 bytes), ciphertext and tag. Inside, before the state, is the target that
it came from, padded so that the length does not tell its name: only the gateway can say whose state it is, and it gives
it to nobody else. What was sealed before (`sr1.`) had account and target as associated data, and is still read.
"""

import base64
import binascii
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PREFIX = "sr2."
FIRST_PREFIX = "sr1."

_NONCE_BYTES = 12
_KEY_BYTES = 32
_PURPOSE = b"smart-route sealed state v2"
_FIRST_PURPOSE = b"smart-route sealed state v1"
_NAMING = b"smart-route pseudonyms v1"
_PSEUDONYM_BYTES = 16
# Whether the state binds (1 byte), the length of the target's name (2), the name, and zeros up to a multiple of this.
_TARGET_BYTES = 64
_HEAD_BYTES = 3
# For what belongs to no single target: a summary of a conversation.
ANY_TARGET = "*"


class Sealing:
    """Seals with the key, reads with the key or the previous one."""

    def __init__(self, key: bytes, *, previous_key: bytes | None = None) -> None:
        keys = [key] if previous_key is None else [key, previous_key]
        self._ciphers = [AESGCM(_derived(key, _PURPOSE)) for key in keys]
        self._first_ciphers = [AESGCM(_derived(key, _FIRST_PURPOSE)) for key in keys]
        self._naming_key = _derived(key, _NAMING)

    def of(self, account_id: UUID, target: str = ANY_TARGET, *, binds: bool = True) -> "Seal":
        """The seal of one account and one target (or of none in particular).

        `binds`: only this target can go on from the state. Thoughts that are mere text bind nobody: another target is
        told what can be read of them.
        """
        return Seal(self, account_id, target, binds and target != ANY_TARGET)

    def seal(self, state: str, *, account_id: UUID, target: str, binds: bool = True) -> str:
        """Opaque text, another one each time."""
        nonce = os.urandom(_NONCE_BYTES)
        head = _head(target, binds=binds)
        sealed = nonce + self._ciphers[0].encrypt(nonce, head + state.encode(), account_id.bytes)
        return PREFIX + base64.urlsafe_b64encode(sealed).decode()

    def unseal(self, sealed: str, *, account_id: UUID, target: str) -> str | None:
        """The state, if it was sealed for this account and this target."""
        if sealed.startswith(FIRST_PREFIX):
            opened = _opened(self._first_ciphers, sealed, account_id.bytes + target.encode())
            return _text(opened) if opened is not None else None
        found = self._found(sealed, account_id)
        return found.state if found is not None and found.target == target else None

    def target_of(self, account_id: UUID, sealed: str) -> str | None:
        """The target that a state of this account is bound to; None for what binds to no single one, and for what was
        sealed before seals told it, for somebody else, or not here."""
        found = self._found(sealed, account_id)
        return found.target if found is not None and found.binds else None

    def pseudonym(self, account_id: UUID, value: bytes) -> str:
        """32 hexadecimal characters that stand for a value of this account: no other account's are the same, and
        nobody without the key can try out which value it is."""
        return blake2b(value, digest_size=_PSEUDONYM_BYTES, key=self._naming_key, salt=account_id.bytes).hexdigest()

    def _found(self, sealed: str, account_id: UUID) -> "_Found | None":
        opened = _opened(self._ciphers, sealed, account_id.bytes) if sealed.startswith(PREFIX) else None
        return _parted(opened) if opened is not None else None


@dataclass(frozen=True, slots=True)
class Seal:
    """A `wire.lane.Sealer`."""

    sealing: Sealing
    account_id: UUID
    target: str
    binds: bool

    def seal(self, state: str) -> str:
        return self.sealing.seal(state, account_id=self.account_id, target=self.target, binds=self.binds)

    def unseal(self, sealed: str) -> str | None:
        """None for what was not sealed here."""
        return self.sealing.unseal(sealed, account_id=self.account_id, target=self.target)


@dataclass(frozen=True, slots=True)
class _Found:
    target: str
    state: str
    binds: bool


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=purpose).derive(key)


def _head(target: str, *, binds: bool) -> bytes:
    name = target.encode()
    head = bytes([binds]) + len(name).to_bytes(2, "big") + name
    return head + bytes(-len(head) % _TARGET_BYTES)


def _parted(opened: bytes) -> _Found | None:
    end = _HEAD_BYTES + int.from_bytes(opened[1:_HEAD_BYTES], "big")
    target, state = _text(opened[_HEAD_BYTES:end]), _text(opened[end + -end % _TARGET_BYTES :])
    return _Found(target, state, binds=bool(opened[0])) if target is not None and state is not None else None


def _opened(ciphers: Sequence[AESGCM], sealed: str, associated: bytes) -> bytes | None:
    """What is inside; None for what was not sealed with one of the keys and the same associated data."""
    encoded = sealed[len(PREFIX) :]
    try:
        raw = base64.b64decode(encoded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    # One seal, one spelling: the last character may have bits to spare.
    if base64.urlsafe_b64encode(raw).decode() != encoded:
        return None
    for cipher in ciphers:
        try:
            return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], associated)
        except (InvalidTag, ValueError):
            continue
    return None


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None
