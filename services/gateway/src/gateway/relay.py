"""From candidates to an answer: one after the other until one begins to speak, then its words as they come."""

import time
from collections.abc import Sequence

from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from chassis import attributes, failpoints, telemetry
from contracts.gateway import AttemptFinished
from contracts.router import Candidate, Prices
from gateway.client import ClientResponse
from gateway.errors import ContextTooLong, RequestInvalid, UpstreamBroken, UpstreamTimedOut, UpstreamUnavailable
from gateway.peers import AttemptReports
from gateway.upstream import AttemptFailed, Reply, RequestRefused, Upstream
from gateway.wire.chat.decode import ChatRequest, Policy, to_provider_request
from gateway.wire.chat.encode import Completion, Identity, UnusableAnswer, to_chat_completion
from gateway.wire.chat.stream import ChatStream
from gateway.wire.chat.toolcalls import Mint
from gateway.wire.usage import Usage

# After the model has said why it stopped, usage and the end are due; an answer is complete without them.
END_SECONDS = 2.0


class Relay:
    """One answer to one client. After `run`, `last_bytes` are what is still to be sent.

    `has_begun`: something of the answer has left, so that no other candidate can take over. `target` and `prices` are
    those of the last attempt, which `usage` belongs to.
    """

    def __init__(
        self,
        upstream: Upstream,
        reports: AttemptReports,
        response: ClientResponse,
        *,
        request: ChatRequest,
        identity: Identity,
        mint: Mint,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        self.attempts = 0
        self.target: str | None = None
        self.prices: Prices | None = None
        self.has_begun = False
        self.first_content_at: float | None = None
        self.last_bytes = b""
        self._upstream = upstream
        self._reports = reports
        self._response = response
        self._request = request
        self._identity = identity
        self._mint = mint
        self._headers = headers
        self._answer: ChatStream | Completion | None = None

    @property
    def has_content(self) -> bool:
        """Whether the model said anything."""
        return self._answer is not None and self._answer.has_content

    @property
    def finish_reason(self) -> str | None:
        return self._answer.finish_reason if self._answer is not None else None

    @property
    def usage(self) -> Usage | None:
        """What the provider of the answer counted, as far as it said so."""
        return self._answer.usage if self._answer is not None else None

    async def run(self, candidates: Sequence[Candidate]) -> None:
        """Raises the customer's errors: a refused request, no answer from anyone, an answer that broke off."""
        failures: list[AttemptFailed] = []
        for candidate in candidates:
            failure = await self._attempt(candidate)
            if failure is None:
                return
            if isinstance(failure, RequestRefused):
                raise _refused(failure)
            if self.has_begun:
                raise UpstreamBroken
            failures.append(failure)
        self._answer = None
        if failures and all(failure.result == "timed_out" for failure in failures):
            raise UpstreamTimedOut
        raise UpstreamUnavailable

    async def _attempt(self, candidate: Candidate) -> AttemptFailed | RequestRefused | None:
        """One call, reported to the routers. Failures are values: the span names them in its own way."""
        self.attempts += 1
        self.target = candidate.target
        self.prices = candidate.prices
        self._answer = None
        with telemetry.span("POST", SpanKind.CLIENT, values=self._described(candidate)) as span:
            began = time.perf_counter()
            try:
                await self._call(candidate)
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
            first_ms = (first - began) * 1000
            self._reports.add(AttemptFinished(target=candidate.target, result="ok", status=200, first_byte_ms=first_ms))
        return None

    def _described(self, candidate: Candidate) -> dict[str, AttributeValue]:
        values: dict[str, AttributeValue] = {attributes.HTTP_METHOD: "POST", attributes.TARGET: candidate.target}
        if self.attempts > 1:
            values[attributes.HTTP_RESEND_COUNT] = self.attempts - 1
        return values

    async def _call(self, candidate: Candidate) -> None:
        request, parameters = self._request, candidate.parameters
        policy = Policy(parameters.drop, parameters.rename, parameters.max_output_tokens)
        body = to_provider_request(request, model=candidate.model, policy=policy)
        reply = await self._upstream.post_chat(
            candidate, body, is_stream=request.is_stream, fields=request.fields.keys()
        )
        try:
            if reply.is_event_stream != request.is_stream:
                raise AttemptFailed("broken", "wrong_content_type", status=200)
            await (self._pass_stream(reply) if request.is_stream else self._take_whole(reply))
        finally:
            reply.close()

    async def _take_whole(self, reply: Reply) -> None:
        body = await reply.read_whole()
        try:
            completion = to_chat_completion(body, self._identity, self._mint)
        except UnusableAnswer as exc:
            raise AttemptFailed("broken", exc.reason, status=200) from exc
        self._answer = completion
        self.first_content_at = time.perf_counter()
        self.last_bytes = completion.body

    async def _pass_stream(self, reply: Reply) -> None:
        stream = ChatStream(self._identity, self._mint, wants_usage=self._request.wants_usage)
        self._answer = stream
        events = 0
        is_ending = False
        while not stream.is_done:
            read = await _read(reply, stream)
            sent = stream.feed(read) if read else stream.end()
            # What came together with a failure is not worth giving up the next candidate for.
            if sent and (self.has_begun or stream.failure is None):
                await self._send(sent)
            if stream.failure is not None:
                raise AttemptFailed("broken", stream.failure, status=200)
            if not read:
                break
            if stream.has_finished:
                if not is_ending:
                    reply.expect_end_within(END_SECONDS)
                is_ending = True
            elif stream.events > events:
                reply.heard()
            events = stream.events
        self.last_bytes = stream.finish()

    async def _send(self, sent: bytes) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.first_content_at = time.perf_counter()
            await self._response.start_stream(self._headers)
        await self._response.send(sent)
        failpoints.reach("gateway.streaming")


async def _read(reply: Reply, stream: ChatStream) -> bytes:
    """The next read. A provider that fails after the model has finished has only failed to say goodbye."""
    try:
        return await reply.read()
    except AttemptFailed:
        if stream.has_finished:
            return b""
        raise


def _mark(span: Span, status: int | None, reason: str) -> None:
    if status is not None:
        span.set_attribute(attributes.HTTP_STATUS, status)
    telemetry.mark_failed(span, reason if status in (None, 200) else str(status))


def _report(target: str, failed: AttemptFailed) -> AttemptFinished:
    return AttemptFinished(
        target=target, result=failed.result, status=failed.status, retry_after_seconds=failed.retry_after_seconds
    )


def _refused(refused: RequestRefused) -> ContextTooLong | RequestInvalid:
    if refused.is_context_too_long:
        return ContextTooLong()
    return RequestInvalid("The model refused the request.", code="request_refused", param=refused.param)
