"""Reading a stream again from the start: in order, in batches, in flat memory, without a consumer to create.

It asks for messages directly (NATS ADR-31, batched direct get): that takes no right to create anything, leaves nothing
behind, and goes on where it stopped when a reply is lost. The replica that answers may not have the newest messages
yet: only the stream's leader is believed when it comes to where the stream ends.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from chassis.bus.connection import Bus
from chassis.bus.errors import BusError, PeerUnavailable
from chassis.bus.jetstream import ANSWER_SECONDS, api
from contracts.streams import Durable

BATCH = 500
# How long a stream may be silent or behind its leader before it counts as away.
PATIENCE_SECONDS = 15.0
PAUSE_SECONDS = 0.1

END_OF_BATCH = "204"
NOT_FOUND = "404"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message as the stream keeps it."""

    sequence: int
    subject: str
    data: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StreamEnds:
    """The first and the last sequence of a stream; an empty one has `first == last + 1`."""

    first: int
    last: int


async def stream_ends(bus: Bus, stream: str) -> StreamEnds:
    """Where the stream begins and ends now, by its leader. Raises `BusError`."""
    state = (await api(bus, f"STREAM.INFO.{stream}"))["state"]
    first, last = int(state["first_seq"]), int(state["last_seq"])
    return StreamEnds(first, last) if int(state["messages"]) else StreamEnds(last + 1, last)


async def acknowledged_through(bus: Bus, durable: Durable) -> int:
    """The sequence up to which every message of its stream is settled for this durable. Raises `BusError`."""
    # Asked first: what is stored between the two asks must not count as acknowledged.
    last = (await stream_ends(bus, durable.stream)).last
    info = await api(bus, f"CONSUMER.INFO.{durable.stream}.{durable.name}")
    if int(info["num_pending"]) == 0 and int(info["num_ack_pending"]) == 0:
        # The floor stays below messages that were removed before anybody took them.
        return max(last, int(info["ack_floor"]["stream_seq"]))
    return int(info["ack_floor"]["stream_seq"])


async def stored_message(bus: Bus, stream: str, sequence: int) -> StoredMessage | None:
    """One message by its sequence, None when the stream does not have it. Raises `BusError`."""
    async with _reading(bus, stream) as reader:
        messages = await reader.batch({"seq": sequence, "batch": 1})
    return messages[0] if messages and messages[0].sequence == sequence else None


async def first_since(bus: Bus, stream: str, moment: datetime) -> int:
    """The sequence of the first message that was stored at `moment` or later; one after the last when there is none.

    Raises `BusError`.
    """
    last = (await stream_ends(bus, stream)).last
    asked = {"start_time": moment.astimezone(UTC).isoformat(), "next_by_subj": ">"}
    answer = await api(bus, f"STREAM.MSG.GET.{stream}", asked, may_miss=True)
    return int(answer["message"]["seq"]) if "message" in answer else last + 1


async def replay(
    bus: Bus, stream: str, *, first: int, through: int, batch: int = BATCH
) -> AsyncGenerator[Sequence[StoredMessage], None]:
    """Every message from the sequence `first` to the sequence `through`, in order.

    At most `batch` of them are in memory at once. Raises `BusError` when the stream cannot be read to its end. Close it
    (`contextlib.aclosing`) when you may stop early.
    """
    after = first - 1
    patience = time.monotonic() + PATIENCE_SECONDS
    async with _reading(bus, stream) as reader:
        while after < through:
            found = await reader.batch({"seq": after + 1, "batch": batch})
            messages = [message for message in found if message.sequence <= through]
            if messages:
                after = messages[-1].sequence
                patience = time.monotonic() + PATIENCE_SECONDS
                yield messages
            elif await _ends_before(bus, stream, after, through=through):
                return
            elif time.monotonic() > patience:
                raise BusError(f"stream {stream} could not be read beyond {after}")
            else:
                await asyncio.sleep(PAUSE_SECONDS)


async def _ends_before(bus: Bus, stream: str, after: int, *, through: int) -> bool:
    """Whether the leader, too, has nothing between `after` and `through`."""
    answer = await api(bus, f"STREAM.MSG.GET.{stream}", {"seq": after + 1, "next_by_subj": ">"}, may_miss=True)
    return "message" not in answer or int(answer["message"]["seq"]) > through


class _Reader:
    """Batches by direct get. Each request has an inbox token of its own: late replies to an older one are ignored."""

    def __init__(self, bus: Bus, stream: str) -> None:
        self._bus = bus
        self._subject = f"$JS.API.DIRECT.GET.{stream}"
        self.inbox = bus.client.new_inbox()
        self._token = 0
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()

    async def batch(self, request: Mapping[str, object]) -> Sequence[StoredMessage]:
        """What the stream has for this request; a broken batch ends where it broke, and the next one goes on there."""
        self._token += 1
        reply = f"{self.inbox}.{self._token}"
        try:
            await self._bus.client.publish(self._subject, json.dumps(request).encode(), reply=reply)
        except NatsError as exc:
            raise PeerUnavailable(self._subject, f"not sent to NATS: {type(exc).__name__}") from exc
        messages: list[StoredMessage] = []
        before = 0
        while True:
            message = await self._next(reply)
            headers = message.headers or {}
            status = headers.get("Status")
            if status in (END_OF_BATCH, NOT_FOUND):
                return messages
            if status is not None:
                raise PeerUnavailable(self._subject, headers.get("Description", f"status {status}"))
            if int(headers["Nats-Last-Sequence"]) != before:
                return messages  # a reply was lost on its way: what came after it is asked for again
            before = int(headers["Nats-Sequence"])
            messages.append(StoredMessage(before, headers["Nats-Subject"], message.data, headers))

    async def on_message(self, message: Msg) -> None:
        self._arrived.put_nowait(message)

    async def _next(self, reply: str) -> Msg:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    message = await self._arrived.get()
                    if message.subject == reply:
                        return message
        except TimeoutError as exc:
            raise PeerUnavailable(self._subject, f"silent for {ANSWER_SECONDS:g} s") from exc


@asynccontextmanager
async def _reading(bus: Bus, stream: str) -> AsyncIterator[_Reader]:
    reader = _Reader(bus, stream)
    if not bus.is_connected:
        raise PeerUnavailable(f"stream {stream}", "not connected to NATS")
    try:
        subscription = await bus.client.subscribe(f"{reader.inbox}.*", cb=reader.on_message)
    except NatsError as exc:
        raise PeerUnavailable(f"stream {stream}", f"not subscribed: {type(exc).__name__}") from exc
    try:
        yield reader
    finally:
        with contextlib.suppress(NatsError):  # the connection is gone, and the subscription with it
            await subscription.unsubscribe()
