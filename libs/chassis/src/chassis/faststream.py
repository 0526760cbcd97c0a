"""FastStream on our bus: the rarer asks (`answer`) and the event consumers (`follow`), run by `serving`.

It speaks over the connection that the bus has already. Asks and events never share a router: what turns a crash into a
reply would acknowledge the event that it failed to handle. FastStream's defaults are not relied upon: it creates
neither stream nor durable, and acknowledges nothing by itself.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Generic

from faststream import AckPolicy, BaseMiddleware
from faststream.message import StreamMessage
from faststream.nats import JStream, NatsBroker, NatsRouter, PullSub
from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from chassis import attributes, telemetry
from chassis.bus import Bus, TryLater, tracing
from chassis.bus.backlog import measured
from chassis.bus.events import give_up, retry_later
from chassis.bus.provisioning import require
from contracts import cloudevents
from contracts.endpoint import Event, PayloadT, ReplyT, RequestT, Rpc
from contracts.failures import Failure
from contracts.streams import Durable

log = logging.getLogger(__name__)

# How long one pull request stays open. After a reconnect the request that was lost costs this much once.
PULL_SECONDS = 2.0

# FastStream's own types leave the message open.
_Message = StreamMessage[Any]
_Next = Callable[[Any], Awaitable[Any]]


def answer(
    rpc: Rpc[RequestT, ReplyT], handler: Callable[[RequestT], Awaitable[ReplyT | Failure]], *, queue: str
) -> NatsRouter:
    """A router that answers `rpc`, one ask after the other. A crash or an unreadable request is answered, too."""
    asks = NatsRouter(middlewares=[partial(_Answering, rpc=rpc)])
    asks.subscriber(rpc.subject, queue=queue, description=rpc.description)(handler)
    return asks


def follow(
    bus: Bus, event: Event[PayloadT], durable: Durable, handler: Callable[[PayloadT], Awaitable[None]]
) -> NatsRouter:
    """A router that feeds `handler` with one event after the other, in stream order.

    Acknowledged after the handler returned; negatively, with a growing delay, when it raised; moved to DEAD_LETTERS
    when it cannot be read or has failed `durable.max_deliver` times.
    """
    events = NatsRouter(middlewares=[partial(_Following, bus=bus, event=event, durable=durable)])
    events.subscriber(
        event.subject,
        stream=JStream(durable.stream, declare=False),
        durable=durable.name,
        inbox_prefix=f"{bus.inbox_prefix}.".encode(),
        # One at a time: a larger fetch waits for its batch, and FastStream's batches lose messages to redelivery.
        pull_sub=PullSub(batch_size=1, timeout=PULL_SECONDS, batch=False),
        ack_policy=AckPolicy.MANUAL,
        description=event.description,
    )(handler)
    return events


@asynccontextmanager
async def serving(bus: Bus, *routers: NatsRouter, durables: tuple[Durable, ...] = ()) -> AsyncIterator[None]:
    """Run the routers while the block runs; on the way out answer what was asked and finish the event in hand.

    `durables` are those that the routers follow. Raises `BusError` when one is missing: FastStream would make it, with
    settings of its own.
    """
    for durable in durables:
        await require(bus, durable)
    broker = _BrokerOnBus(bus, routers)
    await broker.start()
    await bus.flush()  # from here on the server knows that we listen
    try:
        async with AsyncExitStack() as stack:
            for durable in durables:
                await stack.enter_async_context(measured(bus, durable))
            yield
    finally:
        await broker.finish()


class _BrokerOnBus(NatsBroker):
    """A broker that borrows the connection of the bus, and gives it back open."""

    def __init__(self, bus: Bus, routers: tuple[NatsRouter, ...]) -> None:
        super().__init__(logger=None, routers=routers)
        self._bus = bus

    async def _connect(self) -> Any:  # nats-py's client: only `chassis.bus` knows that type
        self.config.connect(self._bus.client)
        return self._bus.client

    async def finish(self) -> None:
        for subscriber in self.subscribers:
            subscription: Any = getattr(subscriber, "subscription", None)
            if subscription is None:
                continue
            if not self._bus.is_connected:
                subscriber.subscription = None  # type: ignore[attr-defined]  # nothing to unsubscribe from
            elif subscriber.ack_policy is not AckPolicy.MANUAL:
                # `stop` would drop the asks that wait in the queue; drained, they are answered first.
                await self._bus.end([subscription])
                subscriber.subscription = None  # type: ignore[attr-defined]
        self._connection = None  # the bus drains it, after everything else
        try:
            await self.stop()
        except ExceptionGroup as failed:  # the connection went away just now: there is nobody to say goodbye to
            log.warning("consumers not stopped cleanly", extra={"error": type(failed.exceptions[0]).__name__})


class _Answering(BaseMiddleware[Any, Any], Generic[RequestT, ReplyT]):
    """Reads the request, makes the span, and answers with a `Failure` what raised."""

    def __init__(self, message: Any, /, *, context: Any, rpc: Rpc[RequestT, ReplyT]) -> None:
        super().__init__(message, context=context)
        self._rpc = rpc

    async def consume_scope(self, call_next: _Next, msg: _Message) -> object:
        began = time.perf_counter()
        subject = self._rpc.subject
        values = tracing.values("process", "process", subject)
        parent = telemetry.parse_traceparent(msg.headers.get(telemetry.TRACEPARENT))
        with telemetry.span(f"process {subject}", SpanKind.CONSUMER, values=values, parent=parent) as span:
            reply = await self._reply(call_next, msg)
            if isinstance(reply, Failure):
                telemetry.mark_failed(span, reply.code)
        telemetry.message_process_duration.record(
            time.perf_counter() - began, {attributes.MESSAGING_DESTINATION: subject}
        )
        return reply

    async def _reply(self, call_next: _Next, msg: _Message) -> object:
        try:
            msg.set_decoder(_already(self._rpc.request.model_validate_json(msg.body)))
        except ValidationError:
            return Failure(code="malformed", message="the request is not what the contract says")
        try:
            return await call_next(msg)
        except TryLater as exc:
            log.warning("ask not answered, store away", extra={"subject": self._rpc.subject, "reason": str(exc)})
            return Failure(code="unavailable", message="a store is away")
        except Exception:  # the edge: whatever broke, the caller gets an answer now
            log.exception("handler crashed", extra={"subject": self._rpc.subject})
            return Failure(code="crashed", message="internal error")


class _Following(BaseMiddleware[Any, Any], Generic[PayloadT]):
    """Unwraps the CloudEvent, makes the spans, and decides what becomes of the message."""

    def __init__(self, message: Any, /, *, context: Any, bus: Bus, event: Event[PayloadT], durable: Durable) -> None:
        super().__init__(message, context=context)
        self._bus = bus
        self._event = event
        self._durable = durable

    async def consume_scope(self, call_next: _Next, msg: _Message) -> None:
        began = time.perf_counter()
        try:
            envelope, payload = cloudevents.unwrap(self._event, msg.body)
        except ValueError as exc:
            await give_up(self._bus, self._durable, msg.raw_message, reason=f"unreadable: {type(exc).__name__}")
            return
        msg.set_decoder(_already(payload))
        sender = telemetry.parse_traceparent(msg.headers.get(telemetry.TRACEPARENT) or envelope.traceparent)
        subject = self._event.subject
        with tracing.processing(subject, self._durable.name, [(envelope.id, sender)]) as spans:
            if await self._handled(call_next, msg):
                with telemetry.span(f"ack {subject}", SpanKind.CLIENT, values=tracing.values("ack", "settle", subject)):
                    await msg.ack()
            else:
                for span in spans:
                    telemetry.mark_failed(span, "handler_failed")
        telemetry.message_process_duration.record(
            time.perf_counter() - began, {attributes.MESSAGING_DESTINATION: subject}
        )

    async def _handled(self, call_next: _Next, msg: _Message) -> bool:
        names = {"durable": self._durable.name}
        try:
            await call_next(msg)
        except TryLater as exc:
            log.warning("store away, trying again", extra=names | {"reason": str(exc)})
            await retry_later(self._bus, self._durable, msg.raw_message, is_its_fault=False)
            return False
        except Exception:  # the edge: the message is kept, nothing is lost by going on
            log.exception("consumer crashed", extra=names)
            await retry_later(self._bus, self._durable, msg.raw_message)
            return False
        return True


def _already(value: object) -> Callable[[_Message], Awaitable[object]]:
    """A decoder that has nothing left to do."""

    async def decode(_: _Message) -> object:
        return value

    return decode
