"""What a replica holds of every target: its health, its times, and the load that all gateways report of it.

Every replica folds the reports of all gateways, so each has the fleet's view. A load is a state, not a change: the
latest report of a gateway replaces the one before, so a lost one is made good by the next, and a gateway that is heard
of no more counts no more.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contracts.decisions import KnownTarget
from contracts.gateway import AttemptFinished, AttemptsFinished, FirstByte, TargetLoad
from router.domain import breaker, latency
from router.domain.breaker import HEALTHY, Health
from router.domain.deciding import Seen
from router.domain.latency import Peak, Quantiles, Times

# A gateway with open calls reports every second.
SILENT_SECONDS = 3.0
# A decision of ours is part of the gateways' loads after so long: until then it is counted here.
ECHO_SECONDS = 0.1
MINUTE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Change:
    """A target was set aside for `seconds`, or taken back (`seconds` is None)."""

    target: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class _Load:
    """One gateway's open calls of one target. Times are of our clock."""

    in_flight: int
    waiting: int
    oldest_since: Mapping[int, float]


class _LastMinute:
    """How many calls were begun in the last minute, by whole seconds."""

    __slots__ = ("_seconds", "_sum")

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()
        self._sum = 0

    def add(self, count: int, *, now: float) -> None:
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += count
        else:
            self._seconds.append([second, count])
        self._sum += count

    def count(self, now: float) -> int:
        while self._seconds and self._seconds[0][0] <= now - MINUTE_SECONDS:
            self._sum -= self._seconds.popleft()[1]
        return self._sum


@dataclass(slots=True)
class _Target:
    health: Health = HEALTHY
    peak: Peak | None = None
    times: Times = field(default_factory=Times)
    loads: dict[str, _Load] = field(default_factory=dict)
    in_flight: int = 0
    waiting: int = 0
    oldest_since: dict[int, float] = field(default_factory=dict)
    sent: deque[float] = field(default_factory=deque)
    started: _LastMinute = field(default_factory=_LastMinute)
    may_probe_until: float | None = None
    ended_at: float = 0.0

    def sum_up(self) -> None:
        """What all gateways have open together."""
        loads = self.loads.values()
        self.in_flight = sum(load.in_flight for load in loads)
        self.waiting = sum(load.waiting for load in loads)
        self.oldest_since = {}
        for load in loads:
            for bucket, since in load.oldest_since.items():
                self.oldest_since[bucket] = min(since, self.oldest_since.get(bucket, since))


class Fleet:
    """All targets of the configuration. Callers pass the time: seconds of one monotonic clock."""

    def __init__(self, targets: Iterable[str]) -> None:
        self._targets = {name: _Target() for name in targets}
        self._times = Times()
        self._heard_at: dict[str, float] = {}
        self._checked_at = -math.inf

    @property
    def health(self) -> dict[str, Health]:
        """A copy: the health of every target by name."""
        return {name: target.health for name, target in self._targets.items()}

    def keep(self, targets: Mapping[str, bool]) -> None:
        """Go on with these targets; False starts one afresh."""
        self._targets = {
            name: self._targets[name] if is_kept and name in self._targets else _Target()
            for name, is_kept in targets.items()
        }

    def hear(self, report: AttemptsFinished, *, now: float) -> list[tuple[Change, AttemptFinished]]:
        """Fold what one gateway tells. What changed for the order of targets, and because of what."""
        changes = []
        for first in report.first_bytes:
            change = self._fold_first_byte(first, now)
            if change is not None:
                changes.append((change, AttemptFinished(target=first.target, result="ok")))
        if report.loads is not None:
            self._fold_loads(report.gateway, report.loads, now)
        for attempt in report.attempts:
            change = self.fold(attempt, now=now)
            if change is not None:
                changes.append((change, attempt))
        return changes

    def fold(self, attempt: AttemptFinished, *, now: float) -> Change | None:
        """Learn from the end of one attempt."""
        target = self._targets.get(attempt.target)
        if target is None:
            return None  # a gateway still works with targets of another version of the file
        if attempt.fault == "resubmitted":
            return None  # of an answer that is long over: it says nothing of how the target is now
        if attempt.first_byte_ms is not None:
            self._fold_time(target, 0, attempt.first_byte_ms / 1000, now=now)
        target.ended_at = now
        health = breaker.answering(target.health, now=now) if _has_just_begun(attempt) else target.health
        return self._put(attempt.target, target, breaker.after(health, attempt, now=now), now)

    def see(self, name: str, *, now: float) -> Seen:
        """A target as a decision needs it."""
        self._forget_silent(now)
        target = self._targets[name]
        _drop_older(target.sent, now - ECHO_SECONDS)
        sent = len(target.sent)
        health = target.health
        may_probe = target.may_probe_until is not None and now < target.may_probe_until and health.is_due(now)
        return Seen(
            latency_seconds=self._latency(target, now),
            waiting=target.waiting + sent,
            in_flight=target.in_flight + sent,
            success=breaker.forgiven(health.success, idle_seconds=now - target.ended_at),
            starts_last_minute=target.started.count(now) + sent,
            is_failing=health.is_set_aside,
            may_probe=may_probe,
        )

    def sent(self, name: str, *, now: float) -> None:
        """A request was just sent there by a decision of this replica."""
        self._targets[name].sent.append(now)

    def p95(self, name: str, bucket: int) -> float:
        """What 95 % of a target's answers to such requests take to their first byte, in seconds."""
        return latency.p95_of(bucket, self._targets[name].times, self._times)

    def is_timed(self, name: str, bucket: int) -> bool:
        """Whether the target's own answers to such requests are known well enough to judge it by them."""
        return latency.is_known(bucket, self._targets[name].times)

    def wanted_probes(self, now: float) -> tuple[str, ...]:
        """Targets that somebody should try again, and this replica may not yet."""
        return tuple(
            name
            for name, target in self._targets.items()
            if target.health.is_due(now) and (target.may_probe_until is None or now >= target.may_probe_until)
        )

    def permit(self, name: str, *, until: float) -> None:
        """This replica, and no other, may probe the target, until then."""
        if name in self._targets:
            self._targets[name].may_probe_until = until

    def probing(self, name: str, *, now: float) -> None:
        """The probe goes out now."""
        target = self._targets[name]
        target.may_probe_until = None
        target.health = breaker.probing(target.health, now=now)

    def known(self, *, now: float) -> tuple[KnownTarget, ...]:
        """What would be lost with this process."""
        return tuple(_known(name, target, now) for name, target in self._targets.items())

    def take_over(self, known: Iterable[KnownTarget], *, now: float) -> None:
        """Go on from what another replica knows."""
        for one in known:
            target = self._targets.get(one.target)
            if target is None:
                continue
            until = one.set_aside_for_seconds
            target.health = Health(
                success=one.success,
                attempts=one.attempts,
                failures_in_a_row=one.failures_in_a_row,
                until=now + until if until is not None else None,
                period_seconds=one.period_seconds,
            )
            if one.latency_seconds is not None:
                target.peak = Peak(one.latency_seconds, now - one.latency_age_seconds)
            for bucket, median, p95, count in one.quantiles:
                target.times.by_bucket[bucket] = Quantiles(median, p95, count)
                self._times.by_bucket.setdefault(bucket, Quantiles(median, p95, count))

    def _latency(self, target: _Target, now: float) -> float:
        known = self._times.known(0)
        ordinary = known.median if known is not None else latency.GUESSED_MEDIAN_SECONDS
        expected = ordinary if target.peak is None else target.peak.now(now, ordinary=ordinary)
        overdue = latency.overdue_seconds(target.oldest_since, target.times, self._times, now=now)
        return max(expected, overdue, latency.LEAST_SECONDS)

    def _fold_first_byte(self, first: FirstByte, now: float) -> Change | None:
        target = self._targets.get(first.target)
        if target is None:
            return None
        self._fold_time(target, first.bucket, first.seconds, now=now, is_censored=first.is_censored)
        if first.is_censored:
            return None
        return self._put(first.target, target, breaker.answering(target.health, now=now), now)

    def _fold_time(
        self, target: _Target, bucket: int, seconds: float, *, now: float, is_censored: bool = False
    ) -> None:
        """Time waited in vain is a least bound: it counts for the average, where it can only make a target slower."""
        scaled = seconds / latency.scale_of(bucket, self._times)
        if not is_censored:
            target.times.add(bucket, seconds)
            self._times.add(bucket, seconds)
        elif target.peak is not None and scaled < target.peak.seconds:
            return
        target.peak = Peak(scaled, now) if target.peak is None else target.peak.after(scaled, now=now)

    def _fold_loads(self, gateway: str, loads: Iterable[TargetLoad], now: float) -> None:
        self._heard_at[gateway] = now
        told = {load.target: load for load in loads if load.target in self._targets}
        for name, target in self._targets.items():
            load = told.get(name)
            if load is None or not load.in_flight:
                if target.loads.pop(gateway, None) is not None:
                    target.sum_up()
            else:
                since = {bucket: now - age for bucket, age in load.oldest_seconds.items()}
                target.loads[gateway] = _Load(load.in_flight, load.waiting, since)
                target.sum_up()
            if load is not None and load.started:
                target.started.add(load.started, now=now)
                # What a gateway has begun is in its load: no need to count our own decision beside it.
                for _ in range(min(load.started, len(target.sent))):
                    target.sent.popleft()

    def _put(self, name: str, target: _Target, found: Health, now: float) -> Change | None:
        before = target.health
        target.health = found
        if found.until == before.until:
            return None
        if found.until is None:
            return Change(name, None)
        # Requests that fail together while it is set aside prolong it at most: one event, one log line.
        is_prolonged = before.until is not None and now < before.until
        return None if is_prolonged else Change(name, found.until - now)

    def _forget_silent(self, now: float) -> None:
        if now - self._checked_at < 1.0:
            return
        self._checked_at = now
        silent = [gateway for gateway, heard in self._heard_at.items() if now - heard > SILENT_SECONDS]
        for gateway in silent:
            del self._heard_at[gateway]
            for target in self._targets.values():
                if target.loads.pop(gateway, None) is not None:
                    target.sum_up()


def _has_just_begun(attempt: AttemptFinished) -> bool:
    """Whether the end of an attempt is also the news that it was answered: it refused the request, or the gateway is of
    the release before, which tells first bytes only so."""
    is_refusal = attempt.status is not None and attempt.status != 200
    return attempt.result == "ok" and (is_refusal or attempt.first_byte_ms is not None)


def _drop_older(times: deque[float], than: float) -> None:
    while times and times[0] < than:
        times.popleft()


def _known(name: str, target: _Target, now: float) -> KnownTarget:
    health, peak = target.health, target.peak
    return KnownTarget(
        target=name,
        success=health.success,
        attempts=health.attempts,
        failures_in_a_row=health.failures_in_a_row,
        set_aside_for_seconds=max(health.until - now, 0.0) if health.until is not None else None,
        period_seconds=health.period_seconds,
        latency_seconds=peak.seconds if peak is not None else None,
        latency_age_seconds=now - peak.at if peak is not None else 0.0,
        in_flight=target.in_flight,
        waiting=target.waiting,
        starts_last_minute=target.started.count(now),
        quantiles=tuple((bucket, q.median, q.p95, q.count) for bucket, q in target.times.by_bucket.items()),
        is_probing=health.probe_until is not None and now < health.probe_until,
    )
