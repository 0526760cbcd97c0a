"""The policies that ours is held against: what others do, and an oracle that nobody can be.

Each router replica has its own state and hears at once of its own requests, of nobody else's. All of them fail over;
the first byte may take 15 s. The oracle knows every queue and every fault, but not what is drawn for a request.
"""

import math
import random
from collections import deque
from collections.abc import Sequence

from tests.routing.engine import Clock
from tests.routing.upstreams import Attempt, Journey, Upstream

FIRST_BYTE_SECONDS = 15.0
DECAY_SECONDS = 10.0
# Finagle: an upstream that has not answered yet costs this much per open call.
UNKNOWN_COST = 1e6
FAILURES_IN_A_ROW = 3
FIRST_PERIOD_SECONDS = 1.0
LONGEST_PERIOD_SECONDS = 30.0


class _Baseline:
    """What the baselines share: nobody is hedged, the first byte has its time, nothing is learnt."""

    def __init__(self, upstreams: int, replicas: int) -> None:
        self._upstreams = range(upstreams)
        self._in_flight = [[0] * upstreams for _ in range(replicas)]

    def begin(self, clock: Clock) -> None:
        pass

    def first_byte_seconds(self, journey: Journey) -> float:
        return FIRST_BYTE_SECONDS

    def patience_seconds(self, journey: Journey) -> float | None:
        return None

    def hedge_after_seconds(self, journey: Journey) -> float | None:
        return None

    def started(self, attempt: Attempt, now: float) -> None:
        self._in_flight[attempt.journey.request.replica][attempt.upstream] += 1

    def began(self, attempt: Attempt, now: float) -> None:
        pass

    def ended(self, attempt: Attempt, now: float, retry_after: float | None) -> None:
        self._in_flight[attempt.journey.request.replica][attempt.upstream] -= 1

    def _untried(self, journey: Journey) -> list[int]:
        tried = journey.tried
        return [index for index in self._upstreams if index not in tried]


class RoundRobin(_Baseline):
    """Each in its turn."""

    def __init__(self, upstreams: int, replicas: int) -> None:
        super().__init__(upstreams, replicas)
        self._turns = [replica % upstreams for replica in range(replicas)]

    def choose(self, journey: Journey, now: float) -> int | None:
        tried, replica = journey.tried, journey.request.replica
        for _ in self._upstreams:
            turn = self._turns[replica]
            self._turns[replica] = (turn + 1) % len(self._upstreams)
            if turn not in tried:
                return turn
        return None


class LeastBusy(_Baseline):
    """Whoever has the fewest calls of this replica open, of all or of `look_at` random ones; of equals, by chance."""

    def __init__(self, upstreams: int, replicas: int, *, seed: int | str = 0, look_at: int | None = None) -> None:
        super().__init__(upstreams, replicas)
        self._look_at = look_at
        self._chance = random.Random(f"least busy {seed}")

    def choose(self, journey: Journey, now: float) -> int | None:
        counts = self._in_flight[journey.request.replica]
        free = self._untried(journey)
        self._chance.shuffle(free)
        return min(free[: self._look_at], key=counts.__getitem__, default=None)


class LowestLatency(_Baseline):
    """Whoever had the lowest mean time to the first byte in its last ten answers; time-outs count, errors do not."""

    def __init__(self, upstreams: int, replicas: int) -> None:
        super().__init__(upstreams, replicas)
        self._last: list[list[deque[float]]] = [[deque(maxlen=10) for _ in range(upstreams)] for _ in range(replicas)]

    def choose(self, journey: Journey, now: float) -> int | None:
        last = self._last[journey.request.replica]
        return min(
            self._untried(journey),
            key=lambda index: sum(last[index]) / len(last[index]) if last[index] else 0.0,
            default=None,
        )

    def began(self, attempt: Attempt, now: float) -> None:
        self._last[attempt.journey.request.replica][attempt.upstream].append(now - attempt.started_at)

    def ended(self, attempt: Attempt, now: float, retry_after: float | None) -> None:
        super().ended(attempt, now, retry_after)
        if attempt.result == "timed_out":
            self.began(attempt, now)


class _Peak:
    """Finagle's peak EWMA of one upstream: up at once, down with the decay; reading it lets it decay as well."""

    __slots__ = ("at", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.at = 0.0

    def observe(self, seconds: float, now: float) -> None:
        if seconds > self.seconds:
            self.seconds = seconds
        else:
            weight = math.exp(-(now - self.at) / DECAY_SECONDS)
            self.seconds = self.seconds * weight + seconds * (1.0 - weight)
        self.at = now

    def cost(self, open_calls: int, now: float) -> float:
        self.observe(0.0, now)
        if self.seconds == 0.0 and open_calls:
            return UNKNOWN_COST + open_calls
        return self.seconds * (open_calls + 1)


class _Breaker:
    """Opens after three failures in a row, for a second doubling to thirty; then one call at a time tries."""

    __slots__ = ("failures", "period", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.period = 0.0
        self.until = 0.0

    def is_open(self, now: float) -> bool:
        return self.failures >= FAILURES_IN_A_ROW and now < self.until

    def tries(self, now: float) -> None:
        """A call goes out: when the breaker had been open it is the only one for a while."""
        if self.failures >= FAILURES_IN_A_ROW:
            self.until = now + FIRST_BYTE_SECONDS

    def learn(self, *, is_good: bool, now: float) -> None:
        if is_good:
            self.failures, self.period = 0, 0.0
            return
        self.failures += 1
        if self.failures >= FAILURES_IN_A_ROW:
            self.period = min(max(self.period * 2, FIRST_PERIOD_SECONDS), LONGEST_PERIOD_SECONDS)
            self.until = now + self.period


class PeakEwma(_Baseline):
    """The better of two random ones by peak EWMA of the first byte times (open calls + 1); with a breaker, if so."""

    def __init__(
        self,
        upstreams: int,
        replicas: int,
        *,
        seed: int | str = 0,
        has_breaker: bool = False,
    ) -> None:
        super().__init__(upstreams, replicas)
        self._chance = random.Random(f"two choices {seed}")
        self._peaks = [[_Peak() for _ in range(upstreams)] for _ in range(replicas)]
        self._breakers = [[_Breaker() for _ in range(upstreams)] for _ in range(replicas)] if has_breaker else None

    def choose(self, journey: Journey, now: float) -> int | None:
        replica = journey.request.replica
        free = self._untried(journey)
        if self._breakers is not None:
            breakers = self._breakers[replica]
            free = [index for index in free if not breakers[index].is_open(now)] or free
        if len(free) > 2:
            free = self._chance.sample(free, 2)
        counts, peaks = self._in_flight[replica], self._peaks[replica]
        return min(free, key=lambda index: peaks[index].cost(counts[index], now), default=None)

    def started(self, attempt: Attempt, now: float) -> None:
        super().started(attempt, now)
        if self._breakers is not None:
            self._breakers[attempt.journey.request.replica][attempt.upstream].tries(now)

    def began(self, attempt: Attempt, now: float) -> None:
        self._learn(attempt, now, is_good=True)

    def ended(self, attempt: Attempt, now: float, retry_after: float | None) -> None:
        super().ended(attempt, now, retry_after)
        if attempt.result != "ok":  # a fast refusal looks fast: that is its blind spot
            self._learn(attempt, now, is_good=False)

    def _learn(self, attempt: Attempt, now: float, *, is_good: bool) -> None:
        replica = attempt.journey.request.replica
        self._peaks[replica][attempt.upstream].observe(now - attempt.started_at, now)
        if self._breakers is not None:
            self._breakers[replica][attempt.upstream].learn(is_good=is_good, now=now)


class Oracle(_Baseline):
    """The least expected time to the first byte, by true queues, true medians and true faults."""

    def __init__(self, upstreams: Sequence[Upstream], medians: Sequence[float], *, hold_seconds: float) -> None:
        super().__init__(len(upstreams), 1)
        self._all = upstreams
        self._medians = medians
        self._hold_seconds = hold_seconds

    def choose(self, journey: Journey, now: float) -> int | None:
        return min(self._untried(journey), key=lambda index: self._expected(index, now), default=None)

    def started(self, attempt: Attempt, now: float) -> None:
        pass

    def ended(self, attempt: Attempt, now: float, retry_after: float | None) -> None:
        pass

    def _expected(self, index: int, now: float) -> float:
        upstream = self._all[index]
        fault = upstream.fault(now)
        factor = 1.0
        if fault is not None:
            if fault.kind != "slow":
                return math.inf
            factor = fault.factor
        wait = 0.0
        if upstream.busy >= upstream.slots:
            wait = (upstream.waiting + 1) * self._hold_seconds / upstream.slots
        return wait + self._medians[index] * factor
