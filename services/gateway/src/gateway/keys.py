"""Keys of providers, by reference: `env:NAME` or `file:/path`. The bus and the profiles only carry the reference."""

import os
from pathlib import Path

_MAX_BYTES = 16_384

_Stamp = tuple[int, int, int]


class KeyMissing(Exception):
    """The reference leads to no usable key. The text names the reference, never a key."""


class ProviderKeys:
    """Resolves references. A file is read again when it has changed, so that mounted secrets can be rotated."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[_Stamp, str]] = {}

    def value(self, reference: str) -> str:
        """The key. Raises `KeyMissing`."""
        kind, _, place = reference.partition(":")
        if kind == "env":
            return _checked(os.environ.get(place, ""), reference)
        if kind == "file":
            return self._from_file(place, reference)
        raise KeyMissing(f"{reference}: neither env: nor file:")

    def _from_file(self, place: str, reference: str) -> str:
        try:
            status = Path(place).stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._files.get(place)
            if known is not None and known[0] == stamp:
                return known[1]
            with Path(place).open(encoding="utf-8") as file:
                key = _checked(file.read(_MAX_BYTES), reference)
        except (OSError, UnicodeDecodeError) as exc:
            raise KeyMissing(f"{reference}: {type(exc).__name__}") from exc
        self._files[place] = (stamp, key)
        return key


def _checked(key: str, reference: str) -> str:
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise KeyMissing(f"{reference}: empty or not printable")
    return key
