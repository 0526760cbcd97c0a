"""How long a target takes to its first byte: a peak-sensitive average, quantiles, and what makes requests comparable.

The average is Finagle's peak EWMA: a slower answer counts at once, faster ones with the decay of `TAU_SECONDS`.
Long prompts take longer, and so do requests that ask for thoughts. They are told apart in buckets, and a bucket's times
are divided by its scale, so that they do not look like faults.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

TAU_SECONDS = 10.0
# A target that was slow and got no requests since is believed to be ordinary again: somebody has to try it.
FORGIVING_SECONDS = 20.0
LEAST_SECONDS = 0.15

# Input tokens up to which a request is in the bucket; the last bucket has no limit. Those that ask for thoughts follow,
# then all of these again for answers that are not streamed.
LIMITS = (2_000, 16_000, 64_000)
SIZES = len(LIMITS) + 1
KINDS = 2 * SIZES
BUCKETS = 2 * KINDS
# Until enough is known: times of the bucket against those of the first one.
_GUESSED_SCALES = (1.0, 1.5, 3.0, 6.0, 4.0, 5.0, 7.0, 10.0, 5.0, 5.5, 7.0, 10.0, 20.0, 21.0, 23.0, 26.0)
GUESSED_P95_SECONDS = 2.0
GUESSED_MEDIAN_SECONDS = 0.5
P95_TO_MEDIAN = 2.5
SAMPLES_TO_KNOW = 20


def bucket_of(input_tokens: int, *, is_reasoning: bool, is_stream: bool) -> int:
    """The kind of a request, 0 to `BUCKETS` - 1, that first-byte times are compared within."""
    size = sum(input_tokens > limit for limit in LIMITS)
    return size + (SIZES if is_reasoning else 0) + (0 if is_stream else KINDS)


def is_reasoning_bucket(bucket: int) -> bool:
    """Whether requests of this bucket ask for thoughts."""
    return bucket % KINDS >= SIZES


def is_whole_bucket(bucket: int) -> bool:
    """Whether answers of this bucket are not streamed: the first byte comes with the last."""
    return bucket >= KINDS


@dataclass(frozen=True, slots=True)
class Peak:
    """A peak EWMA: `seconds` as of `at`."""

    seconds: float
    at: float

    def after(self, seconds: float, *, now: float) -> "Peak":
        """With one more observation."""
        if seconds >= self.seconds:
            return Peak(seconds, now)
        weight = math.exp(-max(now - self.at, 0.0) / TAU_SECONDS)
        return Peak(seconds + (self.seconds - seconds) * weight, now)

    def now(self, now: float, *, ordinary: float) -> float:
        """What to expect now: without news, an unusually slow target drifts to what is `ordinary`."""
        if self.seconds <= ordinary:
            return self.seconds
        return ordinary + (self.seconds - ordinary) * math.exp(-max(now - self.at, 0.0) / FORGIVING_SECONDS)


@dataclass(slots=True)
class Quantiles:
    """Median and 95th percentile of a stream of positive values, by stochastic approximation of their logarithms.

    One step moves an estimate by at most 10 %, so single outliers do not. The median follows a lasting change within
    some twenty values, the percentile likewise upwards, and downwards within some hundreds (Robbins and Monro, "A
    Stochastic Approximation Method", 1951).
    """

    median: float
    p95: float
    count: int = 0

    def add(self, value: float) -> None:
        """Take one value into account."""
        # Large steps at first: a guess must not be believed for longer than the data.
        first = 0.5 / (1.0 + self.count / 8.0)
        self.count += 1
        self.median *= math.exp(max(first, 0.05) * (0.5 if value > self.median else -0.5))
        # Downwards a step is a twentieth of one upwards: larger ones, or a slow hour would be remembered for a day.
        self.p95 *= math.exp(max(first, 0.1) * (0.95 if value > self.p95 else -0.05))
        if self.p95 < self.median:
            self.p95 = self.median


class Times:
    """Quantiles by bucket, of one target or of all."""

    __slots__ = ("by_bucket",)

    def __init__(self) -> None:
        self.by_bucket: dict[int, Quantiles] = {}

    def add(self, bucket: int, seconds: float) -> None:
        """Take the time to a first byte into account."""
        known = self.by_bucket.get(bucket)
        if known is None:
            # The first value is a better guess than ours; of what a service takes 95 % are below some 2.5 medians.
            known = self.by_bucket[bucket] = Quantiles(seconds, P95_TO_MEDIAN * seconds)
        known.add(seconds)

    def known(self, bucket: int) -> Quantiles | None:
        """The quantiles of a bucket, once there were enough times."""
        found = self.by_bucket.get(bucket)
        return found if found is not None and found.count >= SAMPLES_TO_KNOW else None


def scale_of(bucket: int, times: Times) -> float:
    """Times of this bucket against those of small requests without thoughts, over all targets."""
    if bucket == 0:
        return 1.0
    base, own = times.known(0), times.known(bucket)
    if base is None or own is None:
        return _guessed_scale(bucket)
    return max(own.median / base.median, 0.2)


def p95_of(bucket: int, own: Times, fleet: Times) -> float:
    """The 95th percentile of a target's first byte in this bucket: its own, else that of all, else a guess. Seconds."""
    known = own.known(bucket) or fleet.known(bucket)
    return known.p95 if known is not None else GUESSED_P95_SECONDS * _guessed_scale(bucket)


def is_known(bucket: int, own: Times) -> bool:
    """Whether the target itself has answered enough requests of this bucket."""
    return own.known(bucket) is not None


def overdue_seconds(oldest_since: Mapping[int, float], own: Times, fleet: Times, *, now: float) -> float:
    """The longest age of an attempt that waits for its first byte and should have it, scaled; 0: none is overdue."""
    longest = 0.0
    for bucket, since in oldest_since.items():
        age = now - since
        if age > median_of(bucket, own, fleet):
            longest = max(longest, age / scale_of(bucket, fleet))
    return longest


def median_of(bucket: int, own: Times, fleet: Times) -> float:
    """The median of a target's first byte in this bucket: its own, else that of all, else a guess. Seconds."""
    known = own.known(bucket) or fleet.known(bucket)
    return known.median if known is not None else GUESSED_MEDIAN_SECONDS * _guessed_scale(bucket)


def _guessed_scale(bucket: int) -> float:
    return _GUESSED_SCALES[bucket] if 0 <= bucket < BUCKETS else 1.0
