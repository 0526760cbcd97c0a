"""Reading recorded decisions from the stream: those of a request, the newest, those of a day. In flat memory.

A message holds the decisions of one replica in a quarter of a second, up to two hundred of them.
"""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import UUID

from chassis import bus
from chassis.bus import Bus, StoredMessage
from contracts import cloudevents
from contracts.decisions import REQUESTS_ROUTED, Decision
from contracts.streams import DECISIONS

# Messages in memory at once: some ten thousand decisions at the most.
BATCH = 50
# The clocks of gateways and of NATS need not agree better.
CLOCK_SECONDS = 10.0
# A request is decided once its body was read and its prompt held; its decision is stored within seconds after.
LATE_SECONDS = 120.0
UUID_VERSION = 7


def made_at(request_id: UUID) -> datetime | None:
    """When a request began, by its id; None for an id that does not say."""
    if request_id.version != UUID_VERSION:
        return None
    return datetime.fromtimestamp((request_id.int >> 80) / 1000, UTC)


class History:
    """The stream of decisions. `unread` counts messages that are not what the contract says; they are passed over."""

    def __init__(self, connection: Bus) -> None:
        self._bus = connection
        self.unread = 0

    async def of_request(self, request_id: UUID, since: datetime, until: datetime) -> Sequence[Decision]:
        """What was decided for a request in this stretch of time; usually once. Raises `BusError`."""
        written = str(request_id).encode()
        async for decisions in self._decisions(since, until, where=lambda message: written in message.data):
            found = [decision for decision in decisions if decision.ask.request_id == request_id]
            if found:
                return found
        return ()

    async def begins(self) -> datetime | None:
        """When the oldest kept decision was made; None: there is none. Raises `BusError`."""
        ends = await bus.stream_ends(self._bus, DECISIONS.name)
        async with aclosing(self._read(ends.first, ends.last)) as messages:
            async for decisions in messages:
                if decisions:
                    return decisions[0].decided_at
        return None

    async def newest(self, count: int) -> Sequence[Decision]:
        """The last so many, oldest first. Raises `BusError`."""
        ends = await bus.stream_ends(self._bus, DECISIONS.name)
        kept: deque[Decision] = deque(maxlen=count)
        # Every message has one decision at least.
        async for decisions in self._read(max(ends.first, ends.last - count + 1), ends.last):
            kept.extend(decisions)
        return tuple(kept)

    async def between(self, since: datetime, until: datetime) -> AsyncGenerator[Decision, None]:
        """Those that were made from `since` on and before `until`, in the order of the stream. Raises `BusError`."""
        async for decisions in self._decisions(since, until + timedelta(seconds=CLOCK_SECONDS)):
            for decision in decisions:
                if since <= decision.decided_at < until:
                    yield decision

    async def _decisions(
        self, since: datetime, until: datetime, *, where: Callable[[StoredMessage], bool] = lambda _: True
    ) -> AsyncGenerator[Sequence[Decision], None]:
        first = await bus.first_since(self._bus, DECISIONS.name, since - timedelta(seconds=CLOCK_SECONDS))
        after = await bus.first_since(self._bus, DECISIONS.name, until)
        async for decisions in self._read(first, after - 1, where=where):
            yield decisions

    async def _read(
        self, first: int, through: int, *, where: Callable[[StoredMessage], bool] = lambda _: True
    ) -> AsyncGenerator[Sequence[Decision], None]:
        async with aclosing(
            bus.replay(self._bus, DECISIONS.name, first=first, through=through, batch=BATCH)
        ) as batches:
            async for messages in batches:
                for message in messages:
                    if where(message):
                        yield self._unwrapped(message)

    def _unwrapped(self, message: StoredMessage) -> Sequence[Decision]:
        try:
            _, payload = cloudevents.unwrap(REQUESTS_ROUTED, message.data)
        except ValueError:
            self.unread += 1
            return ()
        return payload.decisions
