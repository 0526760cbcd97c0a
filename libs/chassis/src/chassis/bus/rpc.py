"""Ask and answer, over core NATS and queue groups.

An answer always comes: a refusal is a variant of the reply, a crash or an unreadable request is a `Failure`, a peer
that is not there is `PeerUnavailable` within a millisecond.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, ValidationError

from chassis import attributes, telemetry
from chassis.bus import tracing
from chassis.bus.connection import Bus
from chassis.bus.errors import PeerUnavailable, TryLater
from contracts.endpoint import ReplyT, RequestT, Rpc
from contracts.failures import Failure

log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 10_000


async def ask(bus: Bus, rpc: Rpc[RequestT, ReplyT], request: RequestT, *, timeout_seconds: float) -> ReplyT:
    """The peer's reply, `Failure` included. Raises `PeerUnavailable` when there is none, or none that can be read."""
    began = time.perf_counter()
    values = tracing.values("publish", "send", rpc.subject)
    error = ""
    try:
        with telemetry.span(f"publish {rpc.subject}", SpanKind.PRODUCER, values=values) as span:
            header = telemetry.traceparent()
            message = await bus.request(
                rpc.subject,
                request.model_dump_json().encode(),
                headers={telemetry.TRACEPARENT: header} if header else None,
                timeout_seconds=timeout_seconds,
            )
            try:
                reply = rpc.reply.validate_json(message.data)
            except ValidationError as exc:
                raise PeerUnavailable(rpc.subject, "the reply is not what the contract says") from exc
            if isinstance(reply, Failure):
                error = reply.code
                telemetry.mark_failed(span, reply.code)
            return reply
    except PeerUnavailable:
        error = "unavailable"
        raise
    finally:
        telemetry.message_ask_duration.record(
            time.perf_counter() - began,
            {attributes.MESSAGING_DESTINATION: rpc.subject, attributes.ERROR_TYPE: error},
        )


async def serve(
    bus: Bus, rpc: Rpc[RequestT, ReplyT], handler: Callable[[RequestT], Awaitable[ReplyT | Failure]], *, queue: str
) -> None:
    """Answer `rpc` with `handler` until the bus is drained; the replicas of a queue group share the asks.

    Each ask is a task of its own: nats-py runs the callbacks of one subscription one after the other, and a handler
    that waits for its database would hold up all others.
    """

    async def on_message(message: Msg) -> None:
        if len(bus.tasks) >= MAX_IN_FLIGHT:
            await _answer(message, Failure(code="overloaded", message="too many asks in flight"))
            return
        task = asyncio.create_task(_handle(rpc, handler, message))
        bus.tasks.add(task)
        task.add_done_callback(bus.tasks.discard)

    bus.served.append(await bus.client.subscribe(rpc.subject, queue=queue, cb=on_message))
    # Whoever is told that this service is ready may ask at once: the server has to know the subscription by then.
    await bus.flush()


async def _handle(
    rpc: Rpc[RequestT, ReplyT], handler: Callable[[RequestT], Awaitable[ReplyT | Failure]], message: Msg
) -> None:
    began = time.perf_counter()
    values = tracing.values("process", "process", rpc.subject)
    parent = telemetry.parse_traceparent((message.headers or {}).get(telemetry.TRACEPARENT))
    with telemetry.span(f"process {rpc.subject}", SpanKind.CONSUMER, values=values, parent=parent) as span:
        reply = await _reply(rpc, handler, message.data)
        if isinstance(reply, Failure):
            telemetry.mark_failed(span, reply.code)
        await _answer(message, reply)
    telemetry.message_process_duration.record(
        time.perf_counter() - began, {attributes.MESSAGING_DESTINATION: rpc.subject}
    )


async def _reply(
    rpc: Rpc[RequestT, ReplyT], handler: Callable[[RequestT], Awaitable[ReplyT | Failure]], raw: bytes
) -> ReplyT | Failure:
    try:
        request = rpc.request.model_validate_json(raw)
    except ValidationError:
        return Failure(code="malformed", message="the request is not what the contract says")
    try:
        return await handler(request)
    except TryLater as exc:
        log.warning("ask not answered, store away", extra={"subject": rpc.subject, "reason": str(exc)})
        return Failure(code="unavailable", message="a store is away")
    except Exception:  # the edge: whatever broke, the caller gets an answer now
        log.exception("handler crashed", extra={"subject": rpc.subject})
        return Failure(code="crashed", message="internal error")


async def _answer(message: Msg, reply: object) -> None:
    if not message.reply or not isinstance(reply, BaseModel):
        return
    try:
        await message.respond(reply.model_dump_json().encode())
    except NatsError as exc:
        # The asker has its deadline, and every ask may be repeated.
        log.warning("reply not sent", extra={"subject": message.subject, "error": type(exc).__name__})
