"""Messages, durables and consumers for tests of the bus."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

import nats
from nats.js.api import AckPolicy, ConsumerConfig, StreamState

from chassis import bus
from chassis.bus import Bus, Delivery
from contracts.billing import SUBSCRIPTION_CHANGED, SubscriptionChanged
from contracts.router import Choose
from contracts.streams import DEAD_LETTERS, Durable

# Short waits, so that redelivery can be seen in a test; otherwise as the real ones.
DURABLE = Durable(
    "test_subscriptions",
    "SUBSCRIPTIONS",
    SUBSCRIPTION_CHANGED.subject,
    service="test",
    ack_wait_seconds=2.0,
    max_deliver=2,
)


def a_choose() -> Choose:
    return Choose(request_id=uuid4(), plan="pro", alias="smart-route")


def a_change(revision: int = 1, *, account_id: UUID | None = None) -> SubscriptionChanged:
    return SubscriptionChanged(
        account_id=account_id or uuid4(), plan="pro", revision=revision, effective_at=datetime.now(UTC)
    )


async def tell_change(connection: Bus, revision: int) -> int:
    """Publish the change with this revision, and return its sequence."""
    change = a_change(revision)
    event_id = f"{change.account_id}:{revision}"
    return await bus.publish(connection, SUBSCRIPTION_CHANGED, change, event_id=event_id, timeout_seconds=5)


async def make_durable(url: str, durable: Durable = DURABLE) -> None:
    """Make a durable as provisioning would."""
    client = await nats.connect(url)
    await client.jsm().add_consumer(
        durable.stream,
        ConsumerConfig(
            durable_name=durable.name,
            filter_subject=durable.subject,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=durable.ack_wait_seconds,
            max_deliver=-1,
        ),
    )
    await client.close()


async def pending(connection: Bus, durable: Durable = DURABLE) -> tuple[int, int]:
    """Messages of the durable that are not delivered yet, and those that are not acknowledged yet."""
    info = await connection.client.jsm().consumer_info(durable.stream, durable.name)
    return info.num_pending or 0, info.num_ack_pending or 0


async def stream_state(connection: Bus, name: str) -> StreamState:
    return (await connection.client.jsm().stream_info(name)).state


async def dead_letters(connection: Bus, *, at_least: int) -> list[tuple[bytes, dict[str, str]]]:
    """Body and headers of every dead letter, waited for up to 10 seconds."""
    for _ in range(200):
        state = await stream_state(connection, DEAD_LETTERS.name)
        if state.messages >= at_least:
            break
        await asyncio.sleep(0.05)
    found = []
    for sequence in range(state.first_seq, state.last_seq + 1):
        message = await connection.client.jsm().get_msg(DEAD_LETTERS.name, sequence)
        found.append((message.data or b"", dict(message.headers or {})))
    return found


async def until(claim: Callable[[], bool], *, within_seconds: float = 10.0) -> None:
    """Wait until `claim` holds; `TimeoutError` when it does not in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_seconds
    while not claim():
        if loop.time() > end:
            raise TimeoutError(f"not within {within_seconds:g} s")
        await asyncio.sleep(0.01)


@dataclass
class Ledger:
    """A consumer's handler that remembers; `obstacle` may raise before anything is written."""

    obstacle: Callable[[Sequence[int]], None] = lambda _: None
    batches: list[list[int]] = field(default_factory=list)
    attempts: list[list[int]] = field(default_factory=list)
    written: set[int] = field(default_factory=set)
    sequences: list[int] = field(default_factory=list)

    async def write(self, deliveries: Sequence[Delivery[SubscriptionChanged]]) -> None:
        revisions = [delivery.payload.revision for delivery in deliveries]
        self.attempts.append(revisions)
        self.obstacle(revisions)
        self.batches.append(revisions)
        self.written.update(revisions)
        self.sequences += [delivery.sequence for delivery in deliveries]

    def consuming(self, connection: Bus, *, batch: int = 256) -> AbstractAsyncContextManager[None]:
        return bus.consume(connection, SUBSCRIPTION_CHANGED, DURABLE, self.write, batch=batch)
