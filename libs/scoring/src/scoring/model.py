"""Weights as a file, and the score that they give a text.

The file: one line of JSON, 65,536 signed bytes, and the SHA-256 of both. It holds no text and can be sent as it is.

    BadWeights (ValueError)    damaged, foreign, or made for other features
"""

import json
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from math import isfinite
from operator import mul
from typing import Any, Final, Literal, Self, get_args

from scoring.features import BUCKETS, VERSION, features

Target = Literal["weakfail", "gain"]
TARGETS: Final[tuple[Target, ...]] = get_args(Target)
SHIPPED = "weakfail.weights"

_FORMAT = "smartroute-weights"
_DIGEST_BYTES = 32
_LONGEST_HEADER = 1 << 14
_QUANTILES = 101


class BadWeights(ValueError):
    """These bytes are no weights that this version can use; the message says why."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What was learned, and from how much.

    The weight of bucket b is `values[b] * scale` (values: 65,536 signed bytes). `quantiles[q]` is the score below which
    q percent of the training prompts lie, for q = 0 … 100.
    """

    target: Target
    values: bytes
    scale: float
    intercept: float
    quantiles: tuple[float, ...]
    rows: int
    pairs: tuple[str, ...]

    def to_bytes(self) -> bytes:
        header = {
            "format": _FORMAT,
            "features": VERSION,
            "target": self.target,
            "scale": self.scale,
            "intercept": self.intercept,
            "quantiles": self.quantiles,
            "rows": self.rows,
            "pairs": self.pairs,
        }
        data = json.dumps(header, sort_keys=True, allow_nan=False).encode() + b"\n" + self.values
        return data + sha256(data).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises BadWeights."""
        end = data.find(b"\n", 0, _LONGEST_HEADER)
        header = _header(data[: max(end, 0)])
        if len(data) != end + 1 + BUCKETS + _DIGEST_BYTES:
            raise BadWeights(f"{len(data)} bytes are too few or too many: the file was cut off or added to")
        if sha256(data[:-_DIGEST_BYTES]).digest() != data[-_DIGEST_BYTES:]:
            raise BadWeights("the checksum is wrong: the file was changed after it was made")
        if header.get("features") != VERSION:
            raise BadWeights(f"made for features of version {header.get('features')}, not {VERSION}: train anew")
        try:
            weights = cls(
                target=header["target"],
                values=data[end + 1 : -_DIGEST_BYTES],
                scale=float(header["scale"]),
                intercept=float(header["intercept"]),
                quantiles=tuple(float(value) for value in header["quantiles"]),
                rows=int(header["rows"]),
                pairs=tuple(str(pair) for pair in header["pairs"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadWeights(f"the first line lacks something or has it in another form: {error!r}") from None
        weights._check()
        return weights

    def _check(self) -> None:
        if self.target not in TARGETS:
            raise BadWeights(f"the target {self.target!r} is none of {', '.join(TARGETS)}")
        if not all(map(isfinite, (self.scale, self.intercept, *self.quantiles))):
            raise BadWeights("a number in the first line is not finite")
        if len(self.quantiles) != _QUANTILES or list(self.quantiles) != sorted(self.quantiles):
            raise BadWeights("the quantiles are not 101 rising numbers")


def _header(line: bytes) -> Mapping[str, Any]:
    try:
        header = json.loads(line)
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise BadWeights("not a weights file: it does not begin with a line that says so")
    return header


class Scorer:
    """Gives texts their scores. Immutable; may be shared by threads."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self._values = array("b", weights.values)

    @classmethod
    def shipped(cls) -> Self:
        """With the weights of this package: `weakfail`, learned from public examinations (see NOTICE.md)."""
        return cls.from_bytes(files("scoring").joinpath(SHIPPED).read_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises BadWeights."""
        return cls(Weights.from_bytes(data))

    def score(self, text: str) -> float:
        """The higher, the more a strong model is worth its price here. In [0, 1], to six decimals.

        For the target `weakfail` the estimated probability that a weak model fails; for `gain` a mean of 1 (only the
        strong one succeeds), 0 (only the weak one) and 0.5 (no difference). Read it as an order: it is shrunk towards
        the mean of the training rows, and a text without a word is given that mean.
        """
        found = features(text)
        total: float = sum(map(mul, map(self._values.__getitem__, found), found.values()))
        # Rounded, for `sum` adds floats in another way since Python 3.12.
        return round(min(max(self.weights.intercept + self.weights.scale * total, 0.0), 1.0), 6)

    def threshold(self, share: float) -> float:
        """The score that this share of the training prompts reaches. A start: traffic differs, so steer it from there.

        `share` is the wished share of strong answers, 0 to 1; 0 gives a score that no text reaches.
        """
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"a share is between 0 and 1, not {share}")
        if share == 0.0:
            return 2.0
        place = (1.0 - share) * (_QUANTILES - 1)
        below = min(int(place), _QUANTILES - 2)
        low, high = self.weights.quantiles[below : below + 2]
        return low + (high - low) * (place - below)
