"""How a target's results set it aside, and what takes it back.

A target is set aside after three failures in a row, or when fewer than half of at least ten attempts succeed: for one
second, doubling to thirty while probes fail. A refused key sets it aside for a minute, and an upstream's own
Retry-After is obeyed at once. When the time is over, one request of the whole fleet tries the target first (the probe);
its first byte takes the target back. Time is an argument everywhere: seconds of one monotonic clock.
"""

import math
from dataclasses import dataclass, replace

from contracts.gateway import AttemptFinished

FAILURES_IN_A_ROW = 3
SUCCESS_FLOOR = 0.5
SUCCESS_WEIGHT = 0.1
ATTEMPTS_TO_JUDGE = 10
FIRST_PERIOD_SECONDS = 1.0
LONGEST_PERIOD_SECONDS = 30.0
REFUSED_KEY_SECONDS = 60.0
# A provider that says "come back tomorrow" is asked again sooner: a probe costs one failover, a mistake costs a day.
LONGEST_RETRY_AFTER_SECONDS = 600.0
PROBE_SECONDS = 10.0
# A target that failed and was not tried since is believed to be ordinary again: somebody has to try it.
FORGIVING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one target since it was last taken back. `until` is None unless it is set aside."""

    success: float = 1.0
    attempts: int = 0
    failures_in_a_row: int = 0
    until: float | None = None
    period_seconds: float = 0.0
    probe_until: float | None = None

    @property
    def is_set_aside(self) -> bool:
        """Whether requests go elsewhere: until a probe has succeeded, also when the time is over."""
        return self.until is not None

    def is_due(self, now: float) -> bool:
        """Whether a request should probe the target: its time is over and no probe is out."""
        return self.until is not None and now >= self.until and (self.probe_until is None or now >= self.probe_until)


HEALTHY = Health()


def after(health: Health, attempt: AttemptFinished, *, now: float) -> Health:
    """The health once `attempt` is known."""
    if attempt.result == "ok":
        return _after_success(health)
    if health.until is not None:
        return _after_failure_aside(health, attempt, health.until, now)
    failed = replace(
        health,
        success=health.success * (1 - SUCCESS_WEIGHT),
        attempts=health.attempts + 1,
        failures_in_a_row=health.failures_in_a_row + 1,
    )
    is_judged = failed.attempts >= ATTEMPTS_TO_JUDGE and failed.success < SUCCESS_FLOOR
    asked = _asked_seconds(attempt)
    if asked is not None:
        return replace(failed, until=now + asked, period_seconds=FIRST_PERIOD_SECONDS)
    if failed.failures_in_a_row >= FAILURES_IN_A_ROW or is_judged:
        return replace(failed, until=now + FIRST_PERIOD_SECONDS, period_seconds=FIRST_PERIOD_SECONDS)
    return failed


def probing(health: Health, *, now: float) -> Health:
    """The health while a probe is out. Without a result it is given up: the request may never have been sent."""
    return replace(health, probe_until=now + PROBE_SECONDS)


def answering(health: Health, *, now: float) -> Health:
    """The health once the target has begun to answer: for a probe that is proof enough, a stream may last minutes.

    What is known of its successes stays: one answer does not undo many failures.
    """
    if health.until is None or now < health.until:
        return health
    return Health(success=_raised(health.success), attempts=health.attempts + 1)


def forgiven(success: float, *, idle_seconds: float) -> float:
    """What to expect of a target that was not tried for so long."""
    return 1.0 - (1.0 - success) * math.exp(-max(idle_seconds, 0.0) / FORGIVING_SECONDS)


def _after_success(health: Health) -> Health:
    if health.until is not None:
        # The end of an answer that may have begun before the trouble proves nothing; a first byte does (`answering`).
        return health
    return replace(health, success=_raised(health.success), attempts=health.attempts + 1, failures_in_a_row=0)


def _raised(success: float) -> float:
    return success * (1 - SUCCESS_WEIGHT) + SUCCESS_WEIGHT


def _after_failure_aside(health: Health, attempt: AttemptFinished, until: float, now: float) -> Health:
    asked = _asked_seconds(attempt)
    if now < until:
        # Requests that were under way when it was set aside: they fail together and count once.
        return health if asked is None else replace(health, until=max(until, now + asked))
    period = min(health.period_seconds * 2, LONGEST_PERIOD_SECONDS)
    return replace(health, until=now + (period if asked is None else asked), period_seconds=period, probe_until=None)


def _asked_seconds(attempt: AttemptFinished) -> float | None:
    """For how long the upstream itself, or a refused key, keeps us away; None when we decide."""
    if attempt.result == "refused_key":
        return REFUSED_KEY_SECONDS
    seconds = attempt.retry_after_seconds
    if seconds is None or not seconds > 0:
        return None
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS)
