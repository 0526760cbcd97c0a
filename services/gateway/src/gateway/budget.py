"""How many calls beyond one per request may be made: what keeps retries from doubling the load on a failing upstream.

A bucket of tokens (Finagle, "Retry Budgets"): every request puts in a part of one, every second puts in some, and every
extra call takes a whole one. It starts full. Time is an argument: seconds of one monotonic clock.
"""


class Budget:
    """At most `ratio` extra calls per request and `per_second` besides; `burst` of them may be saved up.

    Over any stretch of `t` seconds with `n` requests no more than `ratio * n + per_second * t + burst` are allowed.
    """

    def __init__(self, *, ratio: float, per_second: float, burst: float) -> None:
        if not (ratio >= 0 and per_second >= 0 and burst >= 0):
            raise ValueError("a budget is made of numbers that are not negative")
        self._ratio = ratio
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._seen_at: float | None = None

    def deposit(self, now: float) -> None:
        """One request has come."""
        self._pass_time(now)
        self._tokens = min(self._tokens + self._ratio, self._burst)

    def withdraw(self, now: float) -> bool:
        """Take what one extra call costs. False when there is not enough: it is not to be made."""
        self._pass_time(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _pass_time(self, now: float) -> None:
        if self._seen_at is None:
            self._seen_at = now
        elif now > self._seen_at:  # a clock that is read out of order earns nothing twice
            self._tokens = min(self._tokens + (now - self._seen_at) * self._per_second, self._burst)
            self._seen_at = now
