"""How deep a JSON document is nested, at the speed of C."""

import re

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def is_deeper_than(levels: int, document: bytes) -> bool:
    """Whether arrays and objects are nested deeper than `levels`. The document must be valid JSON."""
    if document.count(b"[") + document.count(b"{") <= levels:
        return False
    brackets = _STRING.sub(b"", document).translate(_AS_SQUARE, _ALL_BUT_BRACKETS)
    for _ in range(levels):
        brackets = brackets.replace(b"[]", b"")  # takes away the innermost level everywhere
        if not brackets:
            return False
    return True
