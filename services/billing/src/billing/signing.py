"""The Ed25519 key that signs daily closes: made once, kept in a file that others cannot read.

A signature is made over the 64 characters of a close's digest. A key is named by the first 16 hex digits of the
SHA-256 of its public half.
"""

import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from billing.errors import KeyRefused

# The group may read it (mounted secrets are shared that way); nobody else may, and only the owner may write.
_FORBIDDEN = stat.S_IWGRP | stat.S_IRWXO


class CloseKey:
    """Signs closes, and checks signatures of its own."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @property
    def key_id(self) -> str:
        return self.public.key_id

    def sign(self, digest: str) -> str:
        """The signature in hex."""
        return self._key.sign(digest.encode()).hex()


class PublicKey:
    """The half that anyone may have."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self.key_id = hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]

    @property
    def pem(self) -> str:
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def is_signed(self, digest: str, signature: str) -> bool:
        """Whether the signature (hex) of this digest was made with the other half."""
        try:
            self._key.verify(bytes.fromhex(signature), digest.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


def read_key(path: Path) -> CloseKey:
    """The private key in a PEM file. Raises `KeyRefused`; nothing of the key is in the text."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _FORBIDDEN:
                raise KeyRefused(path, "others can read or change this key; make it yours alone: chmod 600")
            pem = file.read()
    except OSError as exc:
        raise KeyRefused(path, exc.strerror or "cannot be read") from exc
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as exc:
        raise KeyRefused(path, "not an unencrypted private key in PEM") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyRefused(path, "a private key, but not of Ed25519")
    return CloseKey(key)


def new_key(path: Path) -> CloseKey:
    """Make a key in a new file (mode 600). Raises `KeyRefused`; a file that is there is never replaced."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as exc:
        raise KeyRefused(path, "there is a file already; keys are never overwritten") from exc
    except OSError as exc:
        raise KeyRefused(path, exc.strerror or "cannot be written") from exc
    return CloseKey(key)


def required_key(path: Path | None) -> CloseKey:
    """The key of the setting. Raises `KeyRefused`, also when there is none."""
    if path is None:
        raise KeyRefused(
            None, "days cannot be closed: BILLING_CLOSE_KEY_FILE names no key (close-key new PATH makes one)"
        )
    return read_key(path)
