"""Service tokens as text: `sr_live_`, 32 base62 characters of secret, 6 of checksum. Pure; nothing here is a secret.

The checksum lets scanners of leaked secrets recognise a token, and lets us refuse a typo without asking the database.
It proves nothing: only the digest that is stored does.
"""

import hashlib
import secrets
import string
import zlib

PREFIX = b"sr_live_"
SECRET_LENGTH = 32
CHECKSUM_LENGTH = 6

_ALPHABET = (string.digits + string.ascii_uppercase + string.ascii_lowercase).encode()
_LENGTH = len(PREFIX) + SECRET_LENGTH + CHECKSUM_LENGTH


def mint() -> str:
    """A new token (190 bits of randomness)."""
    body = PREFIX + bytes(secrets.choice(_ALPHABET) for _ in range(SECRET_LENGTH))
    return (body + _checksum(body)).decode()


def derived(seed: bytes) -> str:
    """The token that belongs to a seed: the same for the same seed (190 bits of it). The seed must be secret."""
    rest = int.from_bytes(hashlib.sha256(seed).digest())
    secret = bytearray()
    for _ in range(SECRET_LENGTH):
        rest, digit = divmod(rest, len(_ALPHABET))
        secret.append(_ALPHABET[digit])
    body = PREFIX + bytes(secret)
    return (body + _checksum(body)).decode()


def is_well_formed(token: bytes) -> bool:
    """Whether this could be one of ours: length, prefix and checksum. Says nothing about validity."""
    if len(token) != _LENGTH or not token.startswith(PREFIX):
        return False
    return _checksum(token[:-CHECKSUM_LENGTH]) == token[-CHECKSUM_LENGTH:]


def digest(token: bytes) -> bytes:
    """What is stored in place of a token. Without a salt: 190 random bits need none, and it must be found by value."""
    return hashlib.sha256(token).digest()


def _checksum(body: bytes) -> bytes:
    """CRC-32 (IEEE) in base62, most significant digit first: 62^6 > 2^32."""
    rest = zlib.crc32(body)
    digits = bytearray()
    for _ in range(CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return bytes(reversed(digits))
