"""The simulation: requests arrive, a policy places them, upstreams serve them, the gateway's rules execute the plan.

Discrete events in a heap of (time, order, action, subject). The rules of the gateway are those of the product: failover
only before the first byte, at most three attempts, a retry budget of 20 % and 10 per second, a hedge budget; the loser
of a hedge is given up at the winner's first byte. The budgets are the gateway's own code.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from gateway.budget import Budget
from tests.routing.draws import Request
from tests.routing.upstreams import REFUSED_AFTER_SECONDS, Attempt, Journey, Result, Upstream

MOST_ATTEMPTS = 3


class Clock(Protocol):
    """What a policy may use of the simulation: the time, and to be called later."""

    now: float

    def at(self, when: float, act: Callable[[Any], None], subject: Any) -> None: ...


class Policy(Protocol):
    """Who places requests. It is told what a gateway sees, and never what is drawn."""

    def begin(self, clock: Clock) -> None:
        """The simulation starts."""

    def choose(self, journey: Journey, now: float) -> int | None:
        """The upstream of the next attempt, which has none of `journey.tried`; None: there is no other."""

    def first_byte_seconds(self, journey: Journey) -> float:
        """How long the attempt that was just chosen may take to its first byte at most."""

    def patience_seconds(self, journey: Journey) -> float | None:
        """How long it may take if another one can be asked by then."""

    def hedge_after_seconds(self, journey: Journey) -> float | None:
        """When a second attempt may start beside a silent first one."""

    def started(self, attempt: Attempt, now: float) -> None: ...

    def began(self, attempt: Attempt, now: float) -> None:
        """The first byte came."""

    def ended(self, attempt: Attempt, now: float, retry_after: float | None) -> None:
        """`attempt.result` says how."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the gateway does beside the plan. Ratios are extra calls per request."""

    attempts: int = MOST_ATTEMPTS
    retry_ratio: float = 0.2
    retries_per_second: float = 10.0
    retry_burst: float = 100.0
    hedge_ratio: float = 0.01
    hedge_burst: float = 20.0


class Simulation:
    """One run. `journeys` are all requests that arrived, in the order of their arrival."""

    def __init__(
        self, upstreams: Sequence[Upstream], policy: Policy, *, gateways: int, rules: Rules | None = None
    ) -> None:
        rules = rules or Rules()
        self.now = 0.0
        self.upstreams = upstreams
        self.journeys: list[Journey] = []
        self.on_end: Callable[[Journey], None] | None = None
        self._policy = policy
        self._attempts = rules.attempts
        self._retries = [
            Budget(ratio=rules.retry_ratio, per_second=rules.retries_per_second, burst=rules.retry_burst)
            for _ in range(gateways)
        ]
        self._hedges = [
            Budget(ratio=rules.hedge_ratio, per_second=0.0, burst=rules.hedge_burst) for _ in range(gateways)
        ]
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._order = count()

    def at(self, when: float, act: Callable[[Any], None], subject: Any) -> None:
        """Do it then. What is due at the same time happens in the order in which it was asked for."""
        heapq.heappush(self._heap, (when, next(self._order), act, subject))

    def run(self, arrivals: Iterable[Request], *, until: float) -> None:
        """Let the requests arrive, and go on until none is under way or the time is `until`.

        Requests that are under way at the end have no `ended_at`.
        """
        self._policy.begin(self)
        for request in arrivals:
            self.at(request.at, self.arrive, request)
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, act, subject = heapq.heappop(heap)
            act(subject)

    def arrive(self, request: Request) -> None:
        """A request reaches its gateway now."""
        journey = Journey(request)
        self.journeys.append(journey)
        self._retries[request.gateway].deposit(self.now)
        self._hedges[request.gateway].deposit(self.now)
        if not self._try_next(journey):
            self._end(journey, is_failed=True)
            return
        patience = self._policy.hedge_after_seconds(journey)
        if patience is not None:
            self.at(self.now + patience, self._hedge, journey)

    def _try_next(self, journey: Journey) -> bool:
        now = self.now
        index = self._policy.choose(journey, now)
        if index is None:
            return False
        attempt = Attempt(journey, index, now)
        journey.attempts.append(attempt)
        self._policy.started(attempt, now)
        upstream = self.upstreams[index]
        refusal = upstream.accept(attempt, now)
        if refusal is not None:
            self.at(now + REFUSED_AFTER_SECONDS, self._refused, (attempt, refusal.result, refusal.retry_after))
            return True
        if attempt.stands == "slot":
            self._serve(attempt)
        patience = self._policy.patience_seconds(journey)
        if patience is not None:
            self.at(now + patience, self._impatient, attempt)
        self.at(now + self._policy.first_byte_seconds(journey), self._late, attempt)
        return True

    def _serve(self, attempt: Attempt) -> None:
        seconds = self.upstreams[attempt.upstream].service_seconds(attempt, self.now)
        self.at(self.now + seconds, self._first_byte, attempt)

    def _first_byte(self, attempt: Attempt) -> None:
        if attempt.result is not None:
            return  # it was given up before
        now = self.now
        journey = attempt.journey
        attempt.first_byte_at = now
        journey.ttft = now - journey.request.at
        journey.answered_by = attempt.upstream
        self._policy.began(attempt, now)
        for other in journey.attempts:
            if other.result is None and other is not attempt:
                self._over(other, "cancelled")
        self.at(now + journey.request.stream_seconds, self._streamed, attempt)

    def _streamed(self, attempt: Attempt) -> None:
        self._over(attempt, "ok")
        self._end(attempt.journey, is_failed=False)

    def _refused(self, told: tuple[Attempt, Result, float | None]) -> None:
        attempt, result, retry_after = told
        if attempt.result is None:
            self._over(attempt, result, retry_after)
            self._fail_over(attempt.journey)

    def _late(self, attempt: Attempt) -> None:
        if attempt.result is None and attempt.first_byte_at is None:
            self._over(attempt, "timed_out")
            self._fail_over(attempt.journey)

    def _impatient(self, attempt: Attempt) -> None:
        """As long as there is nobody else to ask, or no budget for it, waiting on is better."""
        if attempt.result is not None or attempt.first_byte_at is not None:
            return
        journey = attempt.journey
        if any(other.result is None for other in journey.attempts if other is not attempt):
            self._over(attempt, "timed_out")
        elif self._policy.choose(journey, self.now) is not None and self._may_retry(journey):
            self._over(attempt, "timed_out")
            self._try_next(journey)

    def _may_retry(self, journey: Journey) -> bool:
        return len(journey.attempts) < self._attempts and self._retries[journey.request.gateway].withdraw(self.now)

    def _over(self, attempt: Attempt, result: Result, retry_after: float | None = None) -> None:
        attempt.result = result
        following = self.upstreams[attempt.upstream].release(attempt)
        if following is not None:
            self._serve(following)
        self._policy.ended(attempt, self.now, retry_after)

    def _fail_over(self, journey: Journey) -> None:
        if any(attempt.result is None for attempt in journey.attempts):
            return  # a hedge is out: it may still answer
        if not self._may_retry(journey) or not self._try_next(journey):
            self._end(journey, is_failed=True)

    def _hedge(self, journey: Journey) -> None:
        # Only beside a first attempt that is silent: one that failed has been followed already.
        is_silent = len(journey.attempts) == 1 and journey.ttft is None and journey.ended_at is None
        if is_silent and self._hedges[journey.request.gateway].withdraw(self.now) and self._try_next(journey):
            journey.hedges += 1

    def _end(self, journey: Journey, *, is_failed: bool) -> None:
        assert journey.ended_at is None, "a request ends once"
        journey.ended_at = self.now
        journey.is_failed = is_failed
        if self.on_end is not None:
            self.on_end(journey)
