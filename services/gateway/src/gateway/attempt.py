"""One call of one candidate, in two parts: until the model says something, and what follows.

Nothing of an attempt leaves for the client in its first part, so two of them can be made beside each other, and one can
follow another. Its span is its own and is not made current: the first part may run in a task of its own.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from chassis import attributes, telemetry
from contracts.gateway import AttemptFinished
from contracts.router import Candidate, RequestClass
from gateway.quality import fault_of
from gateway.reports import Call, Reports
from gateway.upstream import AttemptFailed, Patience, Reply, RequestRefused, Upstream
from gateway.wire.lane import Answer, ClientRequest, Lane, Mint, UnusableAnswer

# After the model has said why it stopped, usage and the end are due; an answer is complete without them.
END_SECONDS = 2.0
# A decoder's word for a refusal that came as an event.
CONTEXT_TOO_LONG = "context_length_exceeded"

Send = Callable[[bytes], Awaitable[None]]


class NotedMint:
    """Mints ids of tool calls, and notes that there were any."""

    __slots__ = ("_mint", "has_minted")

    def __init__(self, mint: Mint) -> None:
        self._mint = mint
        self.has_minted = False

    def __call__(self, place: int) -> str:
        self.has_minted = True
        return self._mint(place)


@dataclass(frozen=True, slots=True)
class Errand:
    """What all attempts of a request have in common. `bucket`, `affinity` and `request_class` are for the routers."""

    upstream: Upstream
    reports: Reports
    request: ClientRequest
    bucket: int = 0
    affinity: tuple[str, ...] = ()
    request_class: RequestClass | None = None


class Attempt:
    """`begin` it, and if it has not failed, `go_on` or `drop` it. A failure is a value: `failure`.

    `place` is that of the candidate in the plan, from 1. `is_waiting`: it has begun and has nothing for the client yet;
    `is_ready`: it has, or it has ended. `patience_seconds`: how long it may take to its first byte if
    `may_leave` then says so. `has_lost` is set by whoever cancels `begin` because another one was faster,
    `is_late` by whoever calls another one because this one is silent.
    """

    def __init__(
        self,
        errand: Errand,
        candidate: Candidate,
        lane: Lane,
        mint: NotedMint,
        *,
        place: int,
        patience_seconds: float | None = None,
        may_leave: Callable[["Attempt"], bool],
    ) -> None:
        self.candidate = candidate
        self.lane = lane
        self.place = place
        self.failure: AttemptFailed | RequestRefused | None = None
        self.first_content_at: float | None = None
        self.is_waiting = False
        self.is_ready = False
        self.has_lost = False
        self.is_late = False
        self._errand = errand
        self._mint = mint
        self._patience_seconds = patience_seconds
        self._may_leave = may_leave if patience_seconds is not None else _nobody
        self._patience: Patience | None = None
        self._call: Call
        self._span: Span = trace.INVALID_SPAN
        self._reply: Reply | None = None
        self._first = b""
        self._events = 0
        self._is_ending = False
        self._is_read = False

    @property
    def answer(self) -> Answer:
        return self.lane.answer

    @property
    def has_calls(self) -> bool:
        """Whether its answer has tool calls."""
        return self._mint.has_minted

    async def begin(self, *, number: int) -> None:
        """Call the candidate, and read until there is something for the client, or the end. `number`: from 1."""
        self._span = _started_span(self.candidate, number)
        self._call = self._errand.reports.begin(self.candidate.target, self._errand.bucket)
        self.is_waiting = True
        if self._patience_seconds is not None:
            self._patience = Patience(self._patience_seconds, lambda: self._may_leave(self))
        try:
            await self._begin()
            self._call.answered()
            self.is_ready = True
        except (AttemptFailed, RequestRefused) as failed:
            self._fail(failed)
        except BaseException as exc:  # cancelled, or a fault of ours
            self._abandon(type(exc).__name__)
            raise
        finally:
            self.is_waiting = False
            if self._patience is not None:
                self._patience.end()
                # Nothing refers back to whoever made it: what a request leaves is gone with it, without a collection.
                self._patience, self._may_leave = None, _nobody

    async def go_on(self, send: Send) -> None:
        """Send what there is, and what comes, piece by piece, up to the end that is held back."""
        try:
            await self._go_on(send)
        except (AttemptFailed, RequestRefused) as failed:
            self._fail(failed)
        except BaseException as exc:
            self._abandon(type(exc).__name__)
            raise
        else:
            self._close()
            self._span.set_attribute(attributes.HTTP_STATUS, 200)
            self._span.end()
            self._call.ended(self._finished())

    def drop(self) -> None:
        """It was ready, and is not wanted."""
        self._abandon("not_wanted")

    async def _begin(self) -> None:
        errand, request, answer = self._errand, self._errand.request, self.answer
        reply = self._reply = await errand.upstream.post(
            self.candidate, self.lane, is_stream=request.is_stream, fields=request.fields, patience=self._patience
        )
        if reply.is_event_stream != request.is_stream:
            raise AttemptFailed("broken", "wrong_content_type", status=200)
        if not request.is_stream:
            await self._take_whole(reply)
            return
        while not (answer.is_done or self._is_read):
            sent = await self._read(reply)
            if self._patience is not None and self._patience.is_over:
                raise AttemptFailed("timed_out", "first_byte", status=200)  # what came last came too late
            if answer.failure is not None:
                # What came together with a failure is not worth giving up the next candidate for.
                raise _failure(answer.failure)
            if sent:
                self._first = sent
                self.first_content_at = time.perf_counter()
                return
            self._heard(reply)

    async def _go_on(self, send: Send) -> None:
        reply, answer, sent = self._reply, self.answer, self._first
        assert reply is not None, "an attempt that has begun"
        if not sent:
            return
        while True:
            if sent:
                await send(sent)
            if answer.failure is not None:
                raise _failure(answer.failure)
            if answer.is_done or self._is_read:
                return
            self._heard(reply)
            sent = await self._read(reply)

    async def _read(self, reply: Reply) -> bytes:
        """What the next read brings for the client. A provider that fails after the model has finished has only failed
        to say goodbye."""
        answer = self.answer
        try:
            read = await reply.read()
        except AttemptFailed:
            if self._patience is not None and self._patience.is_over:
                raise AttemptFailed("timed_out", "first_byte", status=200) from None
            if not answer.has_finished:
                raise
            read = b""
        if read:
            return answer.feed(read)
        self._is_read = True
        return answer.end()

    def _heard(self, reply: Reply) -> None:
        """Wait longer for one that speaks, and not long for the end of one that has finished."""
        answer = self.answer
        if answer.has_finished:
            if not self._is_ending:
                reply.expect_end_within(END_SECONDS)
            self._is_ending = True
        elif answer.events > self._events:
            reply.heard()
        self._events = answer.events

    async def _take_whole(self, reply: Reply) -> None:
        body = await reply.read_whole()
        try:
            self.answer.take(body)
        except UnusableAnswer as exc:
            raise _failure(exc.reason) from exc
        self.first_content_at = time.perf_counter()

    def _fail(self, failed: AttemptFailed | RequestRefused) -> None:
        self._close()
        self.failure = failed
        target = self.candidate.target
        if isinstance(failed, RequestRefused):
            _mark(self._span, failed.status, str(failed.status))
            # It is there and reads requests: for the routers that is well.
            self._call.ended(AttemptFinished(target=target, result="ok", status=failed.status))
            return
        _mark(self._span, failed.status, failed.reason)
        attempt = AttemptFinished(
            target=target,
            result=failed.result,
            status=failed.status,
            retry_after_seconds=failed.retry_after_seconds,
            request_class=self._errand.request_class if self.first_content_at is not None else None,
            fault="broken" if self.first_content_at is not None else None,
        )
        self._call.ended(attempt)

    def _finished(self) -> AttemptFinished:
        """A whole answer, with what is learnt from it."""
        errand = self._errand
        return AttemptFinished(
            target=self.candidate.target,
            result="ok",
            status=200,
            affinity=errand.affinity,
            request_class=errand.request_class,
            fault=fault_of(errand.request, self.answer),
        )

    def _abandon(self, reason: str) -> None:
        self._close()
        telemetry.mark_failed(self._span, reason)
        self._span.end()
        if self.has_lost and self.is_late and not self.is_ready:
            # Else a target that is silent would never fail where calls are made beside it, and go on to be chosen.
            self._call.ended(AttemptFinished(target=self.candidate.target, result="timed_out"))
        else:
            self._call.given_up(has_lost=self.has_lost)

    def _close(self) -> None:
        if self._reply is not None:
            self._reply.close()
            self._reply = None


def _nobody(_: Attempt) -> bool:
    return False


def _started_span(candidate: Candidate, number: int) -> Span:
    """In a trace that is not recorded there is nothing to pay for."""
    if not trace.get_current_span().get_span_context().trace_flags.sampled:
        return trace.INVALID_SPAN
    values: dict[str, AttributeValue] = {attributes.HTTP_METHOD: "POST", attributes.TARGET: candidate.target}
    if number > 1:
        values[attributes.HTTP_RESEND_COUNT] = number - 1
    return telemetry.tracer.start_span("POST", kind=SpanKind.CLIENT, attributes=values)


def _failure(reason: str) -> AttemptFailed | RequestRefused:
    """What a failed answer means: a request that is too long is not the target's fault, however it says so."""
    if reason == CONTEXT_TOO_LONG:
        return RequestRefused(status=200, is_context_too_long=True, param=None)
    return AttemptFailed("broken", reason, status=200)


def _mark(span: Span, status: int | None, reason: str) -> None:
    if status is not None:
        span.set_attribute(attributes.HTTP_STATUS, status)
    telemetry.mark_failed(span, reason if status in (None, 200) else str(status))
    span.end()
