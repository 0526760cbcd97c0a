"""The life of one request for an answer: admitted, answered, settled, and only then ended for the client.

Whatever happens after a reservation is granted (a crash included), exactly one settlement is recorded, before the last
bytes leave.
"""

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from opentelemetry import trace
from opentelemetry.trace import SpanKind

from chassis import failpoints, telemetry
from contracts.gateway import RequestSettled
from contracts.quota import Denied, Granted
from contracts.router import Chosen, Unroutable
from gateway import idempotency, measures
from gateway.admission import Admission, Desk, Wish, allowance_headers, refusal
from gateway.auth import Authenticator
from gateway.cache_keys import CacheKeys
from gateway.candidates import Writing
from gateway.client import ClientResponse, ClientWatch, encoded
from gateway.domain import Caller, End
from gateway.endurance import is_cancelled, take_cancellation, to_the_end
from gateway.errors import (
    ContextTooLong,
    GatewayError,
    GatewayStopping,
    InternalError,
    NotRecorded,
    RequestInvalid,
    ServiceUnavailable,
    UpstreamBroken,
    UpstreamTimedOut,
    UpstreamUnavailable,
)
from gateway.features import Reader, Reading
from gateway.held import Asked, Held, settled_of
from gateway.http import ClientDisconnected, send_json
from gateway.leases import Leases
from gateway.peers import PeerAway
from gateway.relay import Calls, Relay
from gateway.repeats import Repeats, class_of
from gateway.routes import ROUTE_HEADER, no_way, spelled_route
from gateway.sealing import Sealing
from gateway.settlement import Settler
from gateway.turns import ToolCall, ToolCallIds
from gateway.wire.lane import Identity

log = logging.getLogger(__name__)

# For those that were cut off at the grace limit: their settlements, or the journal when their stream does not answer.
STOP_SECONDS = 8.0
# For settlements that are kept: they are on the disk, and somebody else can publish them.
DRAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """`answer_seconds`: the longest answer. `stall_seconds`: how long a client may take nothing. `open_requests`: at
    once; it also bounds what can wait to be settled."""

    answer_seconds: float = 3600.0
    stall_seconds: float = 120.0
    open_requests: int = 10_000


class Exchange:
    """Answers requests in every format. One per process; `running` has to be entered around the HTTP server."""

    def __init__(
        self,
        desk: Desk,
        calls: Calls,
        settler: Settler,
        leases: Leases,
        reader: Reader,
        *,
        instance: str,
        authenticator: Authenticator,
        tool_call_ids: ToolCallIds,
        sealing: Sealing,
        limits: AnswerLimits,
    ) -> None:
        self._desk = desk
        self._calls = calls
        self._settler = settler
        self._leases = leases
        self._reader = reader
        self._instance = instance
        self._authenticator = authenticator
        self._tool_call_ids = tool_call_ids
        self._sealing = sealing
        self._cache_keys = CacheKeys()
        self._repeats = Repeats(calls.reports)
        self._limits = limits
        self._open = 0
        self._none_open = asyncio.Event()
        self._none_open.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """On the way out: requests that were cut off are settled, and what is kept is stored, each to a limit."""
        async with self._leases.renewing(), self._settler.repeating(drain_seconds=DRAIN_SECONDS):
            try:
                yield
            finally:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._none_open.wait(), STOP_SECONDS)
                await self._calls.reports.close()

    async def answer(self, asked: Asked) -> None:
        """Send the answer. Raises a `GatewayError` when nothing has been sent yet, and `ClientDisconnected`."""
        self._open += 1
        self._none_open.clear()
        try:
            held = await self._admit_counted(asked)
            await self._run(held)
            if asked.keep is not None and held.end is End.ANSWERED:
                await asked.keep.keep(held)
            await idempotency.conclude(held)
            self._note_served(held)
            await self._settle(held)
            measures.record_our_part(held, now=time.perf_counter())
            failpoints.reach("gateway.settled")
            await _finish(held)
        finally:
            # One that is not settled by now never will be here: its lease must end.
            if not self._settler.keeps(asked.context.request_id):
                self._leases.release(asked.context.request_id)
            self._open -= 1
            if self._open == 0:
                self._none_open.set()

    async def _admit_counted(self, asked: Asked) -> Held:
        try:
            return await self._admit(asked)
        except GatewayError as error:
            measures.count_rejected(error, alias=asked.request.model, endpoint=asked.request.endpoint)
            raise

    async def _admit(self, asked: Asked) -> Held:
        if not self._settler.is_recording or self._open > self._limits.open_requests:
            raise ServiceUnavailable
        caller, request = asked.caller, asked.request
        continues = self._tool_call_ids.continued(request.answered_calls, account_id=caller.account_id)
        reading = self._reader.read(caller, request, continues)
        wish = Wish(asked.context.request_id, request.model, request.endpoint, request.is_stream, reading, continues)
        try:
            admission = await to_the_end(self._desk.admit(caller, wish))
        except PeerAway as exc:
            log.warning("not admitted", extra={"subject": exc.subject, "reason": exc.reason})
            raise ServiceUnavailable from exc
        now = datetime.now(UTC)
        if isinstance(admission, Denied):
            measures.describe_denied(trace.get_current_span(), caller, reason=admission.reason, plan=admission.plan)
            if admission.reason == "token_blocked":
                self._authenticator.forget(caller.token_id)
            raise refusal(admission, now=now)
        return self._held(asked, admission, reading, now)

    def _held(self, asked: Asked, admission: Admission, reading: Reading, now: datetime) -> Held:
        granted, chosen, context = admission.granted, admission.chosen, asked.context
        if isinstance(chosen, Chosen):
            alias = chosen.alias
        else:
            alias = self._desk.effective_alias(granted.plan, asked.request.model)
        headers = allowance_headers(granted, now=now)
        response = ClientResponse(asked.send)
        request_class = class_of(reading)
        relay = Relay(
            self._calls,
            response,
            request=asked.request,
            writing=Writing(
                Identity(context.request_id, alias, int(context.started_at.timestamp())),
                partial(self._mint, granted, asked.caller),
                partial(self._sealing.of, asked.caller.account_id),
                partial(self._cache_key, reading.session),
            ),
            headers=headers,
            affinity=(str(granted.turn.turn_id), *(() if reading.session is None else (reading.session,))),
            request_class=request_class,
        )
        held = Held(asked, granted, chosen, alias, headers, time.perf_counter(), relay, response)
        if asked.claim is None:  # with an Idempotency-Key it is one request, however often it is sent
            held.question = self._repeats.asked(asked.caller.account_id, asked.request.brief, request_class)
        if held.route is not None:  # who speaks is added when somebody does
            headers[ROUTE_HEADER] = spelled_route(held.route)
        return held

    def _mint(self, granted: Granted, caller: Caller, place: int) -> str:
        made = ToolCall(granted.turn.turn_id, granted.turn.call, place)
        return self._tool_call_ids.mint(made, account_id=caller.account_id)

    def _cache_key(self, session: str | None, target: str) -> str | None:
        return self._cache_keys.next(session, target, time.monotonic()) if session is not None else None

    async def _run(self, held: Held) -> None:
        """Answer, and note how it ended. Raises nothing: a prompt is held, and has to be settled in any case."""
        if not isinstance(held.chosen, Chosen):
            _say_why(held)
            return
        if is_cancelled():  # while it was admitted, which is not interrupted
            take_cancellation()
            held.end, held.error = End.SHUTDOWN, GatewayStopping()
            return
        watch = ClientWatch(held.asked.receive, held.response, stall_seconds=self._limits.stall_seconds)
        labels = measures.labels_of(held)
        with telemetry.span(f"{measures.operation_of(held)} {held.alias}", SpanKind.CLIENT, values=labels) as span:
            began = time.perf_counter()
            try:
                async with asyncio.timeout(self._limits.answer_seconds):
                    await held.relay.run(held.chosen)
                if held.relay.has_failed:  # what the model said is no answer to this kind of request
                    raise UpstreamBroken if held.relay.has_begun else UpstreamUnavailable
                held.end = End.ANSWERED
            except (ContextTooLong, RequestInvalid) as error:
                held.end, held.error = End.REFUSED, error
            except GatewayError as error:
                held.error = error
            except TimeoutError:
                held.error = UpstreamTimedOut()
            except asyncio.CancelledError:
                take_cancellation()
                held.end, held.error = (End.CLIENT_GONE, None) if watch.is_gone else (End.SHUTDOWN, GatewayStopping())
            except Exception as exc:  # the prompt must not stay held because of a fault of ours
                log.error("answer crashed", extra={"error": type(exc).__name__, "at": _place_of(exc)})
                held.error = InternalError()
            finally:
                watch.stop()
            held.answered_at = time.perf_counter()
            measures.record_answer(span, held, labels=labels, seconds=held.answered_at - began)

    def _note_served(self, held: Held) -> None:
        """Remember who made tool calls, and have all routers know before the client can go on with them: what follows
        is sent on the same connection."""
        relay = held.relay
        if held.end is not End.ANSWERED or relay.target is None:
            return
        if held.question is not None:
            self._repeats.answered(held.question, relay.target)
        if relay.has_calls:
            self._desk.served.note(held.granted.turn.turn_id, relay.target)
            self._calls.reports.flush_now()

    async def _settle(self, held: Held) -> None:
        """Record how it ended. An answer that is recorded nowhere is a failed one: its client must not trust it."""
        failpoints.reach("gateway.upstream_ended")
        settled = self._settled(held)
        if not await self._settler.settle(settled):
            if held.end is End.ANSWERED:
                held.end, held.error = End.FAILED, NotRecorded()
                settled = self._settled(held)
                if held.asked.keep is not None:
                    await held.asked.keep.forget(held)
            self._settler.retry(settled)
        measures.count(settled.outcome, alias=held.alias, endpoint=held.asked.request.endpoint)
        measures.describe_server(trace.get_current_span(), settled)
        if held.relay.usage is not None and not held.relay.usage.is_plausible:
            log.warning("implausible usage corrected", extra={"target": held.relay.target})

    def _settled(self, held: Held) -> RequestSettled:
        return settled_of(held, instance=self._instance, now=datetime.now(UTC), clock=time.perf_counter())


def _say_why(held: Held) -> None:
    """There is nowhere to go: because of what the request wants, or because nobody could say where."""
    if isinstance(held.chosen, Unroutable):
        held.error = no_way(held.chosen, held.asked.request)
        if held.error.status == 400:
            held.end = End.REFUSED
    else:
        held.error = ServiceUnavailable()


async def _finish(held: Held) -> None:
    """The last bytes, or the error in their place."""
    relay, response = held.relay, held.response
    if held.end is End.CLIENT_GONE:
        raise ClientDisconnected
    if held.error is not None:
        if not relay.has_begun:
            held.error.headers.update(held.headers)
            raise held.error
        await response.send(relay.fail(held.error), is_last=True)
    elif held.asked.request.is_stream:
        if not relay.has_begun:
            await response.start_stream(encoded(held.headers), heartbeat=bytes)
        await response.send(relay.finish(), is_last=True)
    else:
        await send_json(held.asked.send, 200, relay.finish(), encoded(held.headers))


def _place_of(exc: Exception) -> list[str]:
    """Where it happened, without the exception's text: that may carry what a customer sent."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)][-20:]
