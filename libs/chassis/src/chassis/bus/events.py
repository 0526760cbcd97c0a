"""Tell and keep: publish with acknowledgement, consume in batches with a durable.

Delivery is at least once, so every consumer writes idempotently. Publishing repeats with the same message id until
the stream acknowledges; consuming acknowledges after the handler's commit. A handler that raises `TryLater` (its
database is away) keeps its batch and tries again; one that fails otherwise has its messages tried one by one, and a
message that fails `max_deliver` times goes to DEAD_LETTERS, never nowhere.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from opentelemetry.trace import SpanContext, SpanKind

from chassis import attributes, telemetry
from chassis.bus import tracing
from chassis.bus.backlog import measured
from chassis.bus.connection import Bus
from chassis.bus.errors import EventNotStored, PeerUnavailable, TryLater
from chassis.bus.pull import Pull
from contracts import cloudevents
from contracts.endpoint import Event, PayloadT
from contracts.streams import Durable, dead_letter_subject

log = logging.getLogger(__name__)

PUBLISH_ATTEMPT_SECONDS = 1.0
RETRY_PAUSE_SECONDS = 0.1
TRY_LATER_PAUSE_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
NAK_DELAY_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Delivery(Generic[PayloadT]):
    """One event as a consumer gets it. `sequence` is its place in the stream, the order that decides who was first."""

    payload: PayloadT
    envelope: cloudevents.CloudEvent
    sequence: int
    trace: SpanContext | None


async def publish(
    bus: Bus,
    event: Event[PayloadT],
    payload: PayloadT,
    *,
    event_id: str,
    subject: str | None = None,
    told_by: str | None = None,
    is_repeated: bool = True,
    refused: Callable[[], None] | None = None,
    timeout_seconds: float,
) -> int:
    """Store an event and return its sequence. Repeats with the same id until the deadline, then `EventNotStored`.

    `told_by` names the service when it is not the owner of the event's subject. What must not be said
    after an outage because it was true before is not repeated. `refused` hears of every try that failed.
    """
    values = tracing.values("publish", "send", event.subject) | {attributes.MESSAGING_MESSAGE_ID: event_id}
    with telemetry.span(f"publish {event.subject}", SpanKind.PRODUCER, values=values):
        header = telemetry.traceparent()
        source = f"/smartroute/{told_by or event.subject.partition('.')[0]}/{bus.instance}"
        data = cloudevents.wrap(event, payload, event_id=event_id, source=source, subject=subject, traceparent=header)
        traced = {telemetry.TRACEPARENT: header} if header else {}
        headers = {"Nats-Msg-Id": event_id, "Content-Type": cloudevents.CONTENT_TYPE, **traced}
        began = time.perf_counter()
        try:
            return await store(
                bus,
                event.subject,
                data,
                headers,
                is_repeated=is_repeated,
                refused=refused,
                timeout_seconds=timeout_seconds,
            )
        finally:
            telemetry.message_ask_duration.record(
                time.perf_counter() - began,
                {attributes.MESSAGING_DESTINATION: event.subject, attributes.ERROR_TYPE: ""},
            )


async def store(
    bus: Bus,
    subject: str,
    data: bytes,
    headers: dict[str, str],
    *,
    is_repeated: bool = True,
    refused: Callable[[], None] | None = None,
    timeout_seconds: float,
) -> int:
    """Have bytes stored by the stream of `subject`; the sequence. Repeats until the deadline, then `EventNotStored`."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        attempt_seconds = min(PUBLISH_ATTEMPT_SECONDS, max(deadline - time.monotonic(), 0.001))
        try:
            answer = json.loads(
                (await bus.request(subject, data, headers=headers, timeout_seconds=attempt_seconds)).data
            )
            # A refusal may carry a sequence, too (`"seq": 0`): the error decides.
            if "error" not in answer:
                return int(answer["seq"])
            reason = str(answer["error"].get("description", "refused"))
        except PeerUnavailable as exc:
            reason = exc.reason
        except (ValueError, LookupError, TypeError, AttributeError):
            reason = "the acknowledgement is not what JetStream sends"
        if refused is not None:
            refused()
        if not is_repeated or time.monotonic() + RETRY_PAUSE_SECONDS >= deadline:
            raise EventNotStored(subject, reason)
        await asyncio.sleep(RETRY_PAUSE_SECONDS)


BatchHandler = Callable[[Sequence[Delivery[PayloadT]]], Awaitable[None]]


@asynccontextmanager
async def consume(
    bus: Bus, event: Event[PayloadT], durable: Durable, handler: BatchHandler[PayloadT], *, batch: int = 256
) -> AsyncIterator[None]:
    """Feed `handler` with batches in stream order while the block runs; on the way out the one in hand is finished."""
    pull = Pull(bus, stream=durable.stream, durable=durable.name, batch=batch, gather_seconds=durable.gather_seconds)
    await pull.open()
    consumer = _Consumer(bus, event, durable, handler)
    task = asyncio.create_task(consumer.run(pull), name=f"consume {durable.name}")
    try:
        async with measured(bus, durable):
            yield
    finally:
        consumer.stopping.set()
        await pull.close()
        await task
        await pull.give_back()


class _Abandoned(Exception):
    """The process stops while the store is away: the batch stays unacknowledged and comes again elsewhere."""


class _Consumer(Generic[PayloadT]):
    """The loop of one durable on one replica."""

    def __init__(self, bus: Bus, event: Event[PayloadT], durable: Durable, handler: BatchHandler[PayloadT]) -> None:
        self._bus = bus
        self._event = event
        self._durable = durable
        self._handler = handler
        self.stopping = asyncio.Event()

    async def run(self, pull: Pull) -> None:
        async for messages in pull.batches():
            try:
                await self._process(messages)
            except _Abandoned:
                await self._abandon(messages)
                return
            except NatsError as exc:
                # What was not acknowledged comes again; every handler is idempotent.
                log.warning("acknowledgement lost", extra={"durable": self._durable.name, "error": type(exc).__name__})
            except Exception:  # the edge: a consumer that ends while its service looks healthy loses the ledger's trust
                log.exception("batch not processed", extra={"durable": self._durable.name})

    async def _abandon(self, messages: Sequence[Msg]) -> None:
        """Give back what is not settled, so that it comes again soon and not after `ack_wait_seconds`."""
        with contextlib.suppress(NatsError):
            for message in messages:
                if not message.is_acked:
                    await message.nak(delay=NAK_DELAY_SECONDS[0])

    async def _process(self, messages: Sequence[Msg]) -> None:
        began = time.perf_counter()
        readable: list[tuple[Msg, Delivery[PayloadT]]] = []
        for message in messages:
            try:
                readable.append((message, self._read(message)))
            except ValueError as exc:
                await give_up(self._bus, self._durable, message, reason=f"unreadable: {type(exc).__name__}")
        if not readable:
            return
        if await self._settled(readable):
            pass
        elif len(readable) > 1:
            for message, delivery in readable:
                if not await self._settled([(message, delivery)]):
                    await retry_later(self._bus, self._durable, message)
        else:
            await retry_later(self._bus, self._durable, readable[0][0])
        telemetry.message_process_duration.record(
            time.perf_counter() - began, {attributes.MESSAGING_DESTINATION: self._event.subject}
        )

    async def _settled(self, readable: Sequence[tuple[Msg, Delivery[PayloadT]]]) -> bool:
        """Whether the handler took these messages; then they are acknowledged, too."""
        senders = [(delivery.envelope.id, delivery.trace) for _, delivery in readable]
        subject = self._event.subject
        with tracing.processing(subject, self._durable.name, senders) as spans:
            if not await self._handled(readable):
                for span in spans:
                    telemetry.mark_failed(span, "handler_failed")
                return False
            if spans:
                with telemetry.span(f"ack {subject}", SpanKind.CLIENT, values=tracing.values("ack", "settle", subject)):
                    await self._acknowledge(readable)
            else:
                await self._acknowledge(readable)
        return True

    async def _acknowledge(self, readable: Sequence[tuple[Msg, Delivery[PayloadT]]]) -> None:
        for message, _ in readable:
            await message.ack()

    async def _handled(self, readable: Sequence[tuple[Msg, Delivery[PayloadT]]]) -> bool:
        """Whether the handler took the batch. Waits out a store that is away, keeping the messages ours meanwhile."""
        deliveries = [delivery for _, delivery in readable]
        attempt = 0
        while True:
            try:
                await self._handler(deliveries)
            except TryLater as exc:
                pause = TRY_LATER_PAUSE_SECONDS[min(attempt, len(TRY_LATER_PAUSE_SECONDS) - 1)]
                attempt += 1
                if self.stopping.is_set():
                    raise _Abandoned from exc
                log.warning("store away, trying again", extra={"durable": self._durable.name, "reason": str(exc)})
                for message, _ in readable:
                    await message.in_progress()
                with contextlib.suppress(TimeoutError):
                    # The messages are ours for `ack_wait_seconds` more; say so again well before that ends.
                    await asyncio.wait_for(self.stopping.wait(), min(pause, self._durable.ack_wait_seconds / 2))
            except Exception:  # the edge: the message is kept, nothing is lost by going on
                log.exception("consumer crashed", extra={"durable": self._durable.name, "messages": len(deliveries)})
                return False
            else:
                return True

    def _read(self, message: Msg) -> Delivery[PayloadT]:
        envelope, payload = cloudevents.unwrap(self._event, message.data)
        header = (message.headers or {}).get(telemetry.TRACEPARENT) or envelope.traceparent
        return Delivery(
            payload=payload,
            envelope=envelope,
            sequence=message.metadata.sequence.stream,
            trace=telemetry.parse_traceparent(header),
        )


async def retry_later(bus: Bus, durable: Durable, message: Msg, *, is_its_fault: bool = True) -> None:
    """Ask for a message again, each time later; give it up when it has failed too often, if it is to blame at all."""
    delivered = message.metadata.num_delivered
    if is_its_fault and delivered >= durable.max_deliver:
        await give_up(bus, durable, message, reason=f"failed {delivered} times")
    else:
        await message.nak(delay=NAK_DELAY_SECONDS[min(delivered - 1, len(NAK_DELAY_SECONDS) - 1)])


async def give_up(bus: Bus, durable: Durable, message: Msg, *, reason: str) -> None:
    """Move a message to DEAD_LETTERS, as it came, and only then take it off the durable."""
    sequence = message.metadata.sequence.stream
    headers = {
        "Nats-Msg-Id": f"{durable.name}:{sequence}",
        "Smartroute-Reason": reason,
        "Smartroute-Stream": durable.stream,
        "Smartroute-Sequence": str(sequence),
    }
    try:
        await store(bus, dead_letter_subject(durable), message.data, headers, timeout_seconds=5.0)
    except EventNotStored as exc:
        log.error("dead letter refused", extra={"durable": durable.name, "reason": exc.reason})
        await message.nak(delay=NAK_DELAY_SECONDS[-1])
        return
    log.error("message given up", extra={"durable": durable.name, "sequence": sequence, "reason": reason})
    await message.term()
