"""What the portal gives a browser to keep for a while, and nobody but the portal can read, change or make.

AES-256-GCM under a key derived from the gateway's signing key (HKDF, RFC 5869), so that every replica can open it; what
it is for is bound to it, so that a box of one purpose is worth nothing for another.
"""

import base64
import binascii
import json
import os
import time
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12
_KEY_BYTES = 32
_UNTIL = "until"


class Box:
    """Boxes of one purpose, each good for `seconds`."""

    def __init__(self, key: bytes, *, purpose: str, seconds: int, clock: Callable[[], float] = time.time) -> None:
        derived = HKDF(SHA256(), _KEY_BYTES, salt=None, info=f"smart-route portal {purpose} v1".encode()).derive(key)
        self.seconds = seconds
        self._cipher = AESGCM(derived)
        self._clock = clock

    def close(self, content: Mapping[str, str]) -> str:
        """As text for a cookie."""
        nonce = os.urandom(_NONCE_BYTES)
        written = json.dumps({**content, _UNTIL: f"{self._clock() + self.seconds:.0f}"}).encode()
        return base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, written, None)).decode()

    def open(self, text: str | None) -> dict[str, str] | None:
        """What was put in; None for what is not a box of this purpose, or whose time is over."""
        try:
            raw = base64.b64decode(text or "", altchars=b"-_", validate=True)
            if base64.urlsafe_b64encode(raw).decode() != text:
                return None  # bits that decoding drops: another text of the same box
            content = json.loads(self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], None))
        except (binascii.Error, InvalidTag, ValueError):
            return None
        if self._clock() > float(content.pop(_UNTIL)):
            return None
        return dict(content)
