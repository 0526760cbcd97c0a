"""Upstreams with slots and a queue, and what can go wrong with them.

An upstream serves as many calls as it has slots, first come first served; a call holds its slot from the start of its
service to the end of its stream. Faults:

- `slow`: services that start during the fault take `factor` times as long to the first byte.
- `silent`: calls that arrive are accepted and never answered. They take no slot: what hangs is a connection or a proxy
  in front of the slots, so an upstream that recovers is not full of the dead. Calls accepted before are served.
- `errors`: a share of the calls that arrive is refused with 503 after 50 ms.
- `limited`: calls that arrive are refused with 429 and Retry-After after 50 ms.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tests.routing.draws import Request

REFUSED_AFTER_SECONDS = 0.05

Kind = Literal["slow", "silent", "errors", "limited"]
Result = Literal["ok", "timed_out", "http_error", "rate_limited", "cancelled"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with some upstreams from `begin` to `end`, all the time or in turns of `period` seconds."""

    kind: Kind
    upstreams: frozenset[int]
    begin: float
    end: float
    factor: float = 10.0
    share: float = 1.0
    retry_after: float = 5.0
    period: float | None = None

    def holds(self, upstream: int, now: float) -> bool:
        """Whether the upstream is at fault now. With a period: on, off, on, …"""
        if upstream not in self.upstreams or not self.begin <= now < self.end:
            return False
        return self.period is None or int((now - self.begin) / self.period) % 2 == 0


class Journey:
    """The way of one request through one simulation. It ends once."""

    __slots__ = ("answered_by", "attempts", "ended_at", "hedges", "is_failed", "request", "ttft")

    def __init__(self, request: "Request") -> None:
        self.request = request
        self.attempts: list[Attempt] = []
        self.ttft: float | None = None
        self.ended_at: float | None = None
        self.is_failed = False
        self.answered_by: int | None = None
        self.hedges = 0

    @property
    def tried(self) -> list[int]:
        return [attempt.upstream for attempt in self.attempts]


class Attempt:
    """One call of one upstream. `result` is None while it is open; `stands` is where it is at the upstream."""

    __slots__ = ("first_byte_at", "journey", "result", "stands", "started_at", "upstream")

    def __init__(self, journey: Journey, upstream: int, started_at: float) -> None:
        self.journey = journey
        self.upstream = upstream
        self.started_at = started_at
        self.stands: Literal["nowhere", "queue", "slot"] = "nowhere"
        self.first_byte_at: float | None = None
        self.result: Result | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call is refused, `REFUSED_AFTER_SECONDS` after it arrived."""

    result: Result
    retry_after: float | None = None


class Upstream:
    """One upstream in one simulation."""

    def __init__(self, index: int, slots: int, faults: Sequence[Fault] = ()) -> None:
        self.index = index
        self.slots = slots
        self.busy = 0
        self.waiting = 0
        self.most_busy = 0
        self._faults = faults
        self._queue: deque[Attempt] = deque()

    def fault(self, now: float) -> Fault | None:
        """What is wrong with it now."""
        for fault in self._faults:
            if fault.holds(self.index, now):
                return fault
        return None

    def accept(self, attempt: Attempt, now: float) -> Refusal | None:
        """Take a call that arrives, or say how it is refused. Taken, it has a slot, waits for one, or hangs."""
        fault = self.fault(now)
        if fault is not None:
            if fault.kind == "silent":
                return None
            if fault.kind == "errors" and attempt.journey.request.refusals[self.index] < fault.share:
                return Refusal("http_error")
            if fault.kind == "limited":
                return Refusal("rate_limited", fault.retry_after)
        if self.busy < self.slots:
            self._serve(attempt)
        else:
            attempt.stands = "queue"
            self.waiting += 1
            self._queue.append(attempt)
        return None

    def release(self, attempt: Attempt) -> Attempt | None:
        """A call is over or given up: the call that has its slot now, if one waited for it."""
        stood, attempt.stands = attempt.stands, "nowhere"
        if stood == "queue":
            self.waiting -= 1  # it stays in the queue as one that is passed over
        if stood != "slot":
            return None
        self.busy -= 1
        while self._queue:
            following = self._queue.popleft()
            if following.stands == "queue":
                self.waiting -= 1
                self._serve(following)
                return following
        return None

    def service_seconds(self, attempt: Attempt, now: float) -> float:
        """From the start of the service, which is now, to the first byte."""
        seconds = attempt.journey.request.first_byte[self.index]
        fault = self.fault(now)
        return seconds * fault.factor if fault is not None and fault.kind == "slow" else seconds

    def _serve(self, attempt: Attempt) -> None:
        attempt.stands = "slot"
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
