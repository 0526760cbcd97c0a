"""From a plan to an answer: its candidates one after the other until one begins to speak, then its words as they come.

At most one is called beside a silent first one (`race`). Calls beyond the first have budgets: when they are spent, the
failure of the first is the answer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chassis import failpoints, telemetry
from contracts.router import Chosen, Prices, RequestClass
from gateway.attempt import Attempt, Errand
from gateway.budget import Budget
from gateway.candidates import Candidates, Writing
from gateway.client import ClientResponse, encoded
from gateway.errors import (
    ContextTooLong,
    GatewayError,
    RequestInvalid,
    UpstreamBroken,
    UpstreamTimedOut,
    UpstreamUnavailable,
)
from gateway.race import race
from gateway.reports import Reports
from gateway.routes import ROUTE_HEADER, spelled_route, taken
from gateway.upstream import AttemptFailed, RequestRefused, Upstream
from gateway.wire.lane import Answer, ClientRequest, Lane, Unservable
from gateway.wire.lanes import param_of
from gateway.wire.usage import Usage

hedges = telemetry.meter.create_counter(
    "smartroute.hedges", unit="{call}", description="Calls beside a silent first one, by what became of them"
)
refused_retries = telemetry.meter.create_counter(
    "smartroute.retries.refused", unit="{call}", description="Second tries that were not made: their budget was spent"
)


@dataclass(frozen=True, slots=True)
class Calls:
    """What the requests of a process call providers with. The budgets are for calls beyond the first of a request."""

    upstream: Upstream
    reports: Reports
    retries: Budget
    hedges: Budget


class Relay:
    """One answer to one client. After `run`, `finish` gives what is still to be sent.

    `has_begun`: something of the answer has left, so that no other candidate can take over. `target` and `prices` are
    those of the last attempt, which `usage` belongs to. `headers` are those of the answer; they are added to.
    """

    def __init__(
        self,
        calls: Calls,
        response: ClientResponse,
        *,
        request: ClientRequest,
        writing: Writing,
        headers: dict[str, str],
        affinity: tuple[str, ...] = (),
        request_class: RequestClass | None = None,
    ) -> None:
        self.attempts = 0
        self.hedges = 0
        self.target: str | None = None
        self.prices: Prices | None = None
        self.has_begun = False
        self._calls = calls
        self._response = response
        self._request = request
        self._writing = writing
        self._headers = headers
        self._affinity = affinity
        self._request_class = request_class
        self._chosen: Chosen
        self._candidates: Candidates
        self._current: Attempt | None = None
        self._made: list[Attempt] = []
        self._failures: list[AttemptFailed] = []
        self._last_bytes: bytes | None = None

    @property
    def answer(self) -> Answer | None:
        """That of the candidate that spoke last."""
        return self._current.answer if self._current is not None else None

    @property
    def completed(self) -> Callable[[], dict[str, Any]] | None:
        """The object that the answer ends with, if such answers can be stored."""
        return self._current.lane.completed if self._current is not None else None

    @property
    def first_content_at(self) -> float | None:
        """Of `time.perf_counter()`."""
        return self._current.first_content_at if self._current is not None else None

    @property
    def place(self) -> int | None:
        """The place in the plan, from 1, of the candidate whose words have left, or are to leave."""
        attempt = self._current
        return attempt.place if attempt is not None and attempt.is_ready else None

    @property
    def has_calls(self) -> bool:
        """Whether the answer has tool calls, that a client will go on with."""
        return self._current is not None and self._current.has_calls

    @property
    def has_content(self) -> bool:
        """Whether the model said anything."""
        return self.answer is not None and self.answer.has_content

    @property
    def finish_reason(self) -> str | None:
        return self.answer.finish_reason if self.answer is not None else None

    @property
    def has_failed(self) -> bool:
        """Whether the answer, although the provider finished it, ends as a failed one."""
        return self.completed is not None and self.completed()["status"] == "failed"

    @property
    def usage(self) -> Usage | None:
        """What the provider of the answer counted, as far as it said so."""
        return self.answer.usage if self.answer is not None else None

    def finish(self) -> bytes:
        """The end of a good answer, or all of it if it is not streamed."""
        if self._last_bytes is None:
            assert self.answer is not None, "an answer that ended well"
            self._last_bytes = self.answer.finish()
        return self._last_bytes

    def fail(self, error: GatewayError) -> bytes:
        """The end of an answer that broke off."""
        assert self.answer is not None, "an answer that has begun"
        return self.answer.fail(error.code, error.message)

    async def run(self, chosen: Chosen) -> None:
        """Raises the customer's errors: a refused request, no answer from anyone, an answer that broke off."""
        calls = self._calls
        now = asyncio.get_running_loop().time()
        calls.retries.deposit(now)
        calls.hedges.deposit(now)
        self._chosen = chosen
        errand = Errand(
            calls.upstream, calls.reports, self._request, chosen.bucket, self._affinity, self._request_class
        )
        self._candidates = Candidates(chosen, errand, self._writing, may_leave=self._may_leave)
        hedge_after = chosen.hedge_after_seconds
        while (attempt := self._candidates.next(self._may_retry)) is not None:
            self._call(attempt)
            if hedge_after is None:
                await attempt.begin(number=self.attempts)
            else:
                attempt, hedge_after = await self._race(attempt, hedge_after), None
            if attempt.failure is None:
                await self._pass_on(attempt)
            match attempt.failure:
                case None:
                    return
                case RequestRefused() as refused:
                    raise _refused(refused, self._request)
                case AttemptFailed() as failed:
                    if self.has_begun:
                        raise UpstreamBroken
                    self._failures.append(failed)
        self._current = None
        raise _given_up(self._failures, self._candidates.unservable, self._request)

    def _may_retry(self) -> bool:
        """The first call is free; those after it have a budget."""
        if not self.attempts or self._calls.retries.withdraw(asyncio.get_running_loop().time()):
            return True
        refused_retries.add(1)
        return False

    def _may_hedge(self) -> bool:
        return self._calls.hedges.withdraw(asyncio.get_running_loop().time())

    def _may_leave(self, attempt: Attempt) -> bool:
        """Whether somebody else is there for one whose time is over. Who has been promised its place is called next."""
        if any(other.is_waiting for other in self._made if other is not attempt):
            return True
        return self._candidates.promise(self._may_retry)

    def _call(self, attempt: Attempt) -> None:
        """It is called now."""
        self.attempts += 1
        self._made.append(attempt)
        self._settle_on(attempt)

    def _settle_on(self, attempt: Attempt) -> None:
        self._current = attempt
        self.target, self.prices = attempt.candidate.target, attempt.candidate.prices

    async def _race(self, first: Attempt, after_seconds: float) -> Attempt:
        best, other = await race(first, self._hedge, after_seconds=after_seconds)
        self._settle_on(best)
        if other is not None:
            if isinstance(other.failure, AttemptFailed):
                self._failures.append(other.failure)
            second = other if best is first else best
            result = "failed" if second.failure is not None else "won" if second is best else "lost"
            hedges.add(1, {"result": result})
        return best

    def _hedge(self) -> Attempt | None:
        """The one beside the first, if there is one and its budget allows it."""
        try:
            second = self._candidates.next(self._may_hedge)
        except RequestInvalid:
            return None
        if second is not None:
            self.attempts += 1
            self.hedges += 1
            self._made.append(second)
        return second

    async def _pass_on(self, attempt: Attempt) -> None:
        self._note_ignored(attempt.lane)
        route = taken(self._chosen, place=attempt.place, hedges=self.hedges)
        if route is not None:
            self._headers[ROUTE_HEADER] = spelled_route(route)
        await attempt.go_on(self._send)

    def _note_ignored(self, lane: Lane) -> None:
        """What has no effect with this target, beside what has none with any."""
        ignored = tuple(dict.fromkeys((*self._request.ignored, *lane.ignored)))
        if ignored:
            self._headers["x-smartroute-ignored"] = ", ".join(ignored)

    async def _send(self, sent: bytes) -> None:
        if not self.has_begun:
            self.has_begun = True
            assert self.answer is not None, "an answer that speaks"
            await self._response.start_stream(encoded(self._headers), heartbeat=self.answer.heartbeat)
        await self._response.send(sent)
        failpoints.reach("gateway.streaming")


def _refused(refused: RequestRefused, request: ClientRequest) -> ContextTooLong | RequestInvalid:
    if refused.is_context_too_long:
        return ContextTooLong(param=param_of(request, "messages"))
    return RequestInvalid("The model refused the request.", code="request_refused", param=refused.param)


def _given_up(failures: list[AttemptFailed], unservable: list[Unservable], request: ClientRequest) -> GatewayError:
    """Why no candidate answered. What none of them could take is the request's fault."""
    if unservable and not failures:
        param = param_of(request, unservable[0].param)
        return RequestInvalid(f"This model cannot take `{param}`.", code="unsupported_value", param=param)
    if failures and all(failure.result == "timed_out" for failure in failures):
        return UpstreamTimedOut()
    return UpstreamUnavailable()
