"""From candidates to an answer: one after the other until one begins to speak, then its words as they come."""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from chassis import attributes, failpoints, telemetry
from contracts.gateway import AttemptFinished
from contracts.router import Candidate, Dialect, Prices
from gateway.client import ClientResponse, encoded
from gateway.errors import (
    ContextTooLong,
    GatewayError,
    RequestInvalid,
    UpstreamBroken,
    UpstreamTimedOut,
    UpstreamUnavailable,
)
from gateway.peers import AttemptReports
from gateway.sealing import ANY_TARGET
from gateway.upstream import AttemptFailed, Reply, RequestRefused, Upstream
from gateway.wire.lane import (
    Answer,
    ClientRequest,
    Identity,
    Lane,
    Mint,
    Quirks,
    Sealer,
    Target,
    Unservable,
    UnusableAnswer,
    UnusableRequest,
)
from gateway.wire.lanes import open_lane, param_of
from gateway.wire.usage import Usage

# After the model has said why it stopped, usage and the end are due; an answer is complete without them.
END_SECONDS = 2.0
# A decoder's word for a refusal that came as an event.
CONTEXT_TOO_LONG = "context_length_exceeded"


class Relay:
    """One answer to one client. After `run`, `finish` gives what is still to be sent.

    `has_begun`: something of the answer has left, so that no other candidate can take over. `target` and `prices` are
    those of the last attempt, which `usage` belongs to. `answer` is that of the candidate that spoke last, and
    `completed` the object that it ends with, if such answers can be stored.
    """

    def __init__(
        self,
        upstream: Upstream,
        reports: AttemptReports,
        response: ClientResponse,
        *,
        request: ClientRequest,
        identity: Identity,
        mint: Mint,
        sealer_of: Callable[[str], Sealer],
        headers: dict[str, str],
        affinity: tuple[str, ...] = (),
    ) -> None:
        self.attempts = 0
        self.target: str | None = None
        self.prices: Prices | None = None
        self.has_begun = False
        self.first_content_at: float | None = None
        self.answer: Answer | None = None
        self.completed: Callable[[], dict[str, Any]] | None = None
        self._upstream = upstream
        self._reports = reports
        self._response = response
        self._request = request
        self._identity = identity
        self._mint = mint
        self._sealer_of = sealer_of
        self._headers = headers
        self._affinity = affinity
        self._last_bytes: bytes | None = None

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

    async def run(self, candidates: Sequence[Candidate]) -> None:
        """Raises the customer's errors: a refused request, no answer from anyone, an answer that broke off."""
        failures: list[AttemptFailed | Unservable] = []
        for candidate in candidates:
            failure = await self._try(candidate)
            if failure is None:
                return
            if isinstance(failure, RequestRefused):
                raise _refused(failure, self._request)
            if self.has_begun:
                raise UpstreamBroken
            failures.append(failure)
        self.answer = None
        raise _given_up(failures, self._request)

    async def _try(self, candidate: Candidate) -> AttemptFailed | RequestRefused | Unservable | None:
        """One candidate. Failures are values; one that cannot take the request is not called."""
        self.answer = None
        target = _target(candidate)
        try:
            lane = open_lane(
                self._request,
                target,
                self._identity,
                self._mint,
                sealer=self._sealer_of(candidate.target),
                summaries=self._sealer_of(ANY_TARGET),
            )
        except Unservable as cannot:
            return cannot
        except UnusableRequest as exc:
            raise RequestInvalid(exc.message, code=exc.code, param=exc.param) from exc
        self.answer, self.completed = lane.answer, lane.completed
        return await self._attempt(candidate, lane)

    async def _attempt(self, candidate: Candidate, lane: Lane) -> AttemptFailed | RequestRefused | None:
        """One call, reported to the routers; the span names a failure in its own way."""
        self.attempts += 1
        self.target = candidate.target
        self.prices = candidate.prices
        with telemetry.span("POST", SpanKind.CLIENT, values=self._described(candidate)) as span:
            began = time.perf_counter()
            try:
                await self._call(candidate, lane)
            except AttemptFailed as failed:
                _mark(span, failed.status, failed.reason)
                self._reports.add(_report(candidate.target, failed))
                return failed
            except RequestRefused as refused:
                _mark(span, refused.status, str(refused.status))
                # It is there and reads requests: for the routers that is well.
                self._reports.add(AttemptFinished(target=candidate.target, result="ok", status=refused.status))
                return refused
            span.set_attribute(attributes.HTTP_STATUS, 200)
            first = self.first_content_at or time.perf_counter()
            self._reports.add(
                AttemptFinished(
                    target=candidate.target,
                    result="ok",
                    status=200,
                    first_byte_ms=(first - began) * 1000,
                    affinity=self._affinity,
                )
            )
        return None

    def _described(self, candidate: Candidate) -> dict[str, AttributeValue]:
        values: dict[str, AttributeValue] = {attributes.HTTP_METHOD: "POST", attributes.TARGET: candidate.target}
        if self.attempts > 1:
            values[attributes.HTTP_RESEND_COUNT] = self.attempts - 1
        return values

    async def _call(self, candidate: Candidate, lane: Lane) -> None:
        request = self._request
        reply = await self._upstream.post(candidate, lane, is_stream=request.is_stream, fields=request.fields)
        try:
            if reply.is_event_stream != request.is_stream:
                raise AttemptFailed("broken", "wrong_content_type", status=200)
            self._note_ignored(lane)
            await (self._pass_stream(reply, lane.answer) if request.is_stream else self._take_whole(reply, lane.answer))
        finally:
            reply.close()

    def _note_ignored(self, lane: Lane) -> None:
        """What has no effect with this target, beside what has none with any."""
        ignored = tuple(dict.fromkeys((*self._request.ignored, *lane.ignored)))
        if ignored:
            self._headers["x-smartroute-ignored"] = ", ".join(ignored)

    async def _take_whole(self, reply: Reply, answer: Answer) -> None:
        body = await reply.read_whole()
        try:
            answer.take(body)
        except UnusableAnswer as exc:
            raise _failure(exc.reason) from exc
        self.first_content_at = time.perf_counter()

    async def _pass_stream(self, reply: Reply, answer: Answer) -> None:
        events = 0
        is_ending = False
        while not answer.is_done:
            read = await _read(reply, answer)
            sent = answer.feed(read) if read else answer.end()
            # What came together with a failure is not worth giving up the next candidate for.
            if sent and (self.has_begun or answer.failure is None):
                await self._send(sent, answer)
            if answer.failure is not None:
                raise _failure(answer.failure)
            if not read:
                break
            if answer.has_finished:
                if not is_ending:
                    reply.expect_end_within(END_SECONDS)
                is_ending = True
            elif answer.events > events:
                reply.heard()
            events = answer.events

    async def _send(self, sent: bytes, answer: Answer) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.first_content_at = time.perf_counter()
            await self._response.start_stream(encoded(self._headers), heartbeat=answer.heartbeat)
        await self._response.send(sent)
        failpoints.reach("gateway.streaming")


async def _read(reply: Reply, answer: Answer) -> bytes:
    """The next read. A provider that fails after the model has finished has only failed to say goodbye."""
    try:
        return await reply.read()
    except AttemptFailed:
        if answer.has_finished:
            return b""
        raise


@lru_cache(maxsize=1000)
def _quirks(dialect: Dialect) -> Quirks:
    return Quirks(**dialect.model_dump())


def _target(candidate: Candidate) -> Target:
    """The candidate as the wire knows it."""
    return Target(
        model=candidate.model,
        format=candidate.format,
        quirks=_quirks(candidate.dialect),
        drop=candidate.parameters.drop,
        rename=candidate.parameters.rename,
        max_output_tokens=candidate.parameters.max_output_tokens,
        context_window=candidate.context_window,
    )


def _failure(reason: str) -> AttemptFailed | RequestRefused:
    """What a failed answer means: a request that is too long is not the target's fault, however it says so."""
    if reason == CONTEXT_TOO_LONG:
        return RequestRefused(status=200, is_context_too_long=True, param=None)
    return AttemptFailed("broken", reason, status=200)


def _mark(span: Span, status: int | None, reason: str) -> None:
    if status is not None:
        span.set_attribute(attributes.HTTP_STATUS, status)
    telemetry.mark_failed(span, reason if status in (None, 200) else str(status))


def _report(target: str, failed: AttemptFailed) -> AttemptFinished:
    return AttemptFinished(
        target=target, result=failed.result, status=failed.status, retry_after_seconds=failed.retry_after_seconds
    )


def _refused(refused: RequestRefused, request: ClientRequest) -> ContextTooLong | RequestInvalid:
    if refused.is_context_too_long:
        return ContextTooLong(param=param_of(request, "messages"))
    return RequestInvalid("The model refused the request.", code="request_refused", param=refused.param)


def _given_up(failures: Sequence[AttemptFailed | Unservable], request: ClientRequest) -> GatewayError:
    """Why no candidate answered. What none of them could take is the request's fault."""
    calls = [failure for failure in failures if isinstance(failure, AttemptFailed)]
    if failures and not calls:
        named = next(failure.param for failure in failures if isinstance(failure, Unservable))
        param = param_of(request, named)
        return RequestInvalid(f"This model cannot take `{param}`.", code="unsupported_value", param=param)
    if calls and all(failure.result == "timed_out" for failure in calls):
        return UpstreamTimedOut()
    return UpstreamUnavailable()
