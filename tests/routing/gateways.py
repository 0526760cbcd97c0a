"""What a gateway tells of its upstream calls, and when: the product's messages, on the simulation's clock.

Whatever happens to a call is told at most a batch period later; while calls are open there is a report every second.
A report reaches the replicas one millisecond later. The silent one that another was called beside has timed out when
that one answers; if it answers itself, the other one is told as a time waited in vain, and is no failure.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from contracts.gateway import AttemptFinished, AttemptsFinished, FirstByte, TargetLoad
from tests.routing.engine import Clock
from tests.routing.upstreams import Attempt

BATCH_SECONDS = 0.05
OPEN_CALLS_SECONDS = 1.0
BUS_SECONDS = 0.001

Deliver = Callable[[AttemptsFinished], None]
_STATUS = {"http_error": 503, "rate_limited": 429}


@dataclass(slots=True)
class _Calls:
    """The open calls of one upstream. `silent` are those without a first byte, the oldest first."""

    in_flight: int = 0
    silent: dict[Attempt, float] = field(default_factory=dict)
    started: int = 0
    was_told: bool = False


class Gateway:
    """The reports of one gateway. `affinity` says what an attempt belonged to."""

    def __init__(
        self,
        name: str,
        targets: Sequence[str],
        *,
        clock: Clock,
        deliver: Deliver,
        affinity: Callable[[Attempt], tuple[str, ...]],
        batch_seconds: float = BATCH_SECONDS,
    ) -> None:
        self._name = name
        self._targets = targets
        self._clock = clock
        self._deliver = deliver
        self._affinity = affinity
        self._batch_seconds = batch_seconds
        self._calls = [_Calls() for _ in targets]
        self._finished: list[AttemptFinished] = []
        self._first_bytes: list[FirstByte] = []
        self._due = math.inf

    def started(self, attempt: Attempt, now: float) -> None:
        calls = self._calls[attempt.upstream]
        calls.in_flight += 1
        calls.started += 1
        calls.silent[attempt] = now
        self._report_by(now + self._batch_seconds)

    def began(self, attempt: Attempt, now: float) -> None:
        self._note_first_byte(attempt, now, is_censored=False)
        self._report_by(now + self._batch_seconds)

    def ended(self, attempt: Attempt, now: float, retry_after: float | None) -> None:
        """The call is over, by `attempt.result`."""
        calls, result = self._calls[attempt.upstream], attempt.result
        if result == "cancelled" and attempt.journey.attempts[:1] == [attempt]:
            result = "timed_out"
        assert result is not None, "it is over"
        calls.in_flight -= 1
        if result in ("timed_out", "cancelled"):
            self._note_first_byte(attempt, now, is_censored=True)
        calls.silent.pop(attempt, None)
        if result != "cancelled":
            self._finished.append(
                AttemptFinished(
                    target=self._targets[attempt.upstream],
                    result=result,
                    status=_STATUS.get(result),
                    retry_after_seconds=retry_after,
                    affinity=self._affinity(attempt),
                )
            )
        self._report_by(now + self._batch_seconds)

    def flush(self) -> None:
        """Tell now what there is to tell."""
        now = self._clock.now
        report = AttemptsFinished(
            gateway=self._name,
            attempts=tuple(self._finished),
            first_bytes=tuple(self._first_bytes),
            loads=tuple(self._loads(now)),
        )
        self._finished.clear()
        self._first_bytes.clear()
        self._clock.at(now + BUS_SECONDS, self._deliver, report)
        self._due = math.inf
        if any(calls.in_flight for calls in self._calls):
            self._report_by(now + OPEN_CALLS_SECONDS)

    def _note_first_byte(self, attempt: Attempt, now: float, *, is_censored: bool) -> None:
        started = self._calls[attempt.upstream].silent.pop(attempt)
        self._first_bytes.append(
            FirstByte(target=self._targets[attempt.upstream], bucket=0, seconds=now - started, is_censored=is_censored)
        )

    def _loads(self, now: float) -> list[TargetLoad]:
        told = []
        for target, calls in zip(self._targets, self._calls, strict=True):
            if calls.in_flight or calls.was_told:
                oldest = {0: now - next(iter(calls.silent.values()))} if calls.silent else {}
                told.append(
                    TargetLoad(
                        target=target,
                        in_flight=calls.in_flight,
                        waiting=len(calls.silent),
                        oldest_seconds=oldest,
                        started=calls.started,
                    )
                )
            calls.was_told = calls.in_flight > 0
            calls.started = 0
        return told

    def _report_by(self, due: float) -> None:
        if due < self._due:
            self._due = due
            self._clock.at(due, self._on_due, due)

    def _on_due(self, due: float) -> None:
        if due == self._due:  # else an earlier report has told it already
            self.flush()
