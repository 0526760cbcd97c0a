"""A text as numbers: hashed words and pairs of words, and a few counts. Training and scoring share every line of it.

The same text gives the same features in every process, on every machine: CRC-32, integers for what has levels, no
`hash()`. Whoever changes what `features` returns for any text raises VERSION: weights of another version are refused.
"""

import re
from collections import Counter
from math import log, sqrt
from operator import mul
from zlib import crc32

VERSION = 1
BUCKETS = 1 << 16
# Characters read at the beginning and at the end of a text: what is asked stands in one of the two.
HALF = 1500
# The value of one level of a count. Words share a length of 1, so their values are around 0.1.
LEVEL_VALUE = 0.3

_MASK = BUCKETS - 1
_WORD = re.compile(rb"[a-z_\x80-\xff]+|[0-9]+|[^\sa-z0-9_\x80-\xff]+")
_OPTION = re.compile(r"^\(?[A-J][.):] ", re.MULTILINE)
_COUNTED = ",.?%$(=\\{;'"
_NAMES = ("characters", "digits", "words", "lines", "options", *_COUNTED)
# A capped text has at most 3,001 words and as many pairs, so this is beyond any count but that of characters.
_LARGEST = (1 << 13) - 1
_DAMPED = (0.0, *(1.0 + log(count) for count in range(1, _LARGEST + 1)))


def _level(count: int) -> int:
    """⌊2·log₂(1 + count)⌋, in integers."""
    return ((1 + count) ** 2).bit_length() - 1


def _levels(name: str) -> tuple[tuple[int, ...], ...]:
    """By level: the buckets of all levels up to it. A weight per step can follow any curve, so nothing is scaled."""
    # No word holds a NUL beside other characters of a name, so a level is no word.
    buckets = [crc32(f"\0{name} {level}".encode()) & _MASK for level in range(1, _level(_LARGEST) + 1)]
    return tuple(tuple(buckets[:level]) for level in range(len(buckets) + 1))


_LEVELS = tuple(_levels(name) for name in _NAMES)
_LEVEL_OF = tuple(_level(count) for count in range(_LARGEST + 1))


def capped(text: str) -> str:
    """The first and last 1,500 characters of a longer text, joined by a line break."""
    return text if len(text) <= 2 * HALF else f"{text[:HALF]}\n{text[-HALF:]}"


def features(text: str) -> dict[int, float]:
    """Bucket (0 to 65,535) -> value above 0. Empty for a text without a word. Any `str` will do, lone surrogates too.

    Words are runs of letters, of digits or of signs, in lower case; a pair is a word and the next. A count c is damped
    to 1 + ln c, then all values are divided by their Euclidean length. The counts of `_NAMES` follow as levels.
    """
    read = capped(text)
    raw = read.lower().encode("utf-8", "surrogatepass")
    words = _WORD.findall(raw)
    if not words:
        return {}
    hashes = list(map(crc32, words))
    buckets = [value & _MASK for value in hashes]
    # The second word goes on from the CRC of the first: a pair costs one call.
    buckets += [crc32(word, crc32(b" ", first)) & _MASK for first, word in zip(hashes, words[1:], strict=False)]
    counts = Counter(buckets)
    damped = [_DAMPED[count] for count in counts.values()]
    length = sqrt(sum(map(mul, damped, damped)))
    found = {bucket: value / length for bucket, value in zip(counts, damped, strict=True)}
    digits = len(raw) - len(raw.translate(None, b"0123456789"))
    measured = (min(len(text), _LARGEST), digits, len(words), read.count("\n"), len(_OPTION.findall(read)))
    for levels, count in zip(_LEVELS, (*measured, *map(read.count, _COUNTED)), strict=True):
        for bucket in levels[_LEVEL_OF[count]]:
            found[bucket] = found.get(bucket, 0.0) + LEVEL_VALUE
    return found
