"""Consuming with a durable on a real JetStream: in order, at once, and never losing a message."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from chassis.bus import Bus, Delivery, TryLater, connect
from chassis.bus.connection import DRAIN_SECONDS
from chassis.bus.pull import LOOK_SECONDS
from contracts.billing import SUBSCRIPTION_CHANGED, SubscriptionChanged
from contracts.streams import DEAD_LETTERS, dead_letter_subject
from devstack.nats import RunningNats
from tests.service.chassis.bus_things import (
    DURABLE,
    Ledger,
    dead_letters,
    make_durable,
    pending,
    stream_state,
    tell_change,
    until,
)


@pytest.fixture
async def url(nats_url: str) -> str:
    await make_durable(nats_url)
    return nats_url


@pytest.fixture
async def bus(url: str) -> AsyncIterator[Bus]:
    async with connect(url, name="test", instance="test") as connection:
        yield connection


async def settled(bus: Bus) -> None:
    """Wait until the durable has nothing left to do."""
    for _ in range(200):
        if await pending(bus) == (0, 0):
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"not settled: {await pending(bus)}")


async def test_batches_come_in_stream_order_and_are_acknowledged(bus: Bus) -> None:
    for revision in range(1, 601):
        await tell_change(bus, revision)
    ledger = Ledger()
    async with ledger.consuming(bus, batch=256):
        await until(lambda: len(ledger.written) == 600)
        await settled(bus)
    assert [revision for batch in ledger.batches for revision in batch] == list(range(1, 601))
    assert ledger.sequences == list(range(1, 601))
    assert max(len(batch) for batch in ledger.batches) > 100
    assert all(len(batch) <= 256 for batch in ledger.batches)


async def test_what_arrives_while_a_batch_is_written_is_the_next_batch(bus: Bus) -> None:
    ledger = Ledger()
    async with ledger.consuming(bus):
        await asyncio.gather(*(tell_change(bus, revision) for revision in range(300)))
        await until(lambda: len(ledger.written) == 300)
    assert len(ledger.batches) < 300


async def test_a_lone_event_is_handled_before_anybody_looks_for_it(bus: Bus) -> None:
    ledger = Ledger()
    waits: list[float] = []
    async with ledger.consuming(bus):
        for revision in range(1, 6):
            await asyncio.sleep(0.3)
            await tell_change(bus, revision)
            began = time.perf_counter()
            await until(lambda wanted=revision: wanted in ledger.written)  # type: ignore[misc]
            waits.append(time.perf_counter() - began)
    assert sorted(waits)[2] < LOOK_SECONDS / 2


async def test_a_lone_event_is_handled_at_once_after_a_quiet_time_longer_than_a_request(bus: Bus) -> None:
    ledger = Ledger()
    async with ledger.consuming(bus):
        await asyncio.sleep(6)
        await tell_change(bus, 1)
        await until(lambda: 1 in ledger.written, within_seconds=3)


async def test_a_store_that_is_away_keeps_the_batch_and_counts_no_delivery(bus: Bus) -> None:
    away_until = time.monotonic() + 3.0  # longer than the durable's ack_wait, more tries than its max_deliver

    def obstacle(_: Sequence[int]) -> None:
        if time.monotonic() < away_until:
            raise TryLater("OperationalError")

    ledger = Ledger(obstacle)
    for revision in (1, 2, 3):
        await tell_change(bus, revision)
    async with ledger.consuming(bus):
        await until(lambda: len(ledger.written) == 3)
        await settled(bus)
    assert len(ledger.attempts) > DURABLE.max_deliver
    assert all(attempt == [1, 2, 3] for attempt in ledger.attempts)
    assert ledger.batches == [[1, 2, 3]]
    assert (await stream_state(bus, DEAD_LETTERS.name)).messages == 0


async def test_a_poison_message_goes_to_dead_letters_and_the_others_are_written(bus: Bus) -> None:
    def obstacle(revisions: Sequence[int]) -> None:
        if 2 in revisions:
            raise RuntimeError("poison")

    ledger = Ledger(obstacle)
    for revision in (1, 2, 3, 4):
        await tell_change(bus, revision)
    async with ledger.consuming(bus):
        await until(lambda: ledger.written == {1, 3, 4})
        ((body, headers),) = await dead_letters(bus, at_least=1)
        await settled(bus)
    assert json.loads(body)["data"]["revision"] == 2
    assert headers["Smartroute-Reason"] == "failed 2 times"
    assert (headers["Smartroute-Stream"], headers["Smartroute-Sequence"]) == ("SUBSCRIPTIONS", "2")
    assert ledger.attempts.count([2]) == DURABLE.max_deliver
    assert ledger.written == {1, 3, 4}


@pytest.mark.parametrize("raw", [b"", b"not json", b"{}", b'{"specversion":"1.0"}', b"\xff"])
async def test_an_unreadable_message_goes_to_dead_letters_at_once_as_it_came(bus: Bus, raw: bytes) -> None:
    ledger = Ledger()
    async with ledger.consuming(bus):
        await bus.client.jetstream().publish(SUBSCRIPTION_CHANGED.subject, raw)
        await tell_change(bus, 7)
        await until(lambda: ledger.written == {7})
        ((body, headers),) = await dead_letters(bus, at_least=1)
        await settled(bus)
    assert body == raw
    assert headers["Smartroute-Reason"].startswith("unreadable")
    stored = await bus.client.jsm().get_msg(DEAD_LETTERS.name, 1)
    assert stored.subject == dead_letter_subject(DURABLE)


async def test_an_event_of_another_type_is_unreadable(bus: Bus) -> None:
    await tell_change(bus, 1)
    stored = await bus.client.jsm().get_msg("SUBSCRIPTIONS", 1)
    other = (stored.data or b"").replace(b"subscription_changed", b"something_else")
    ledger = Ledger()
    async with ledger.consuming(bus):
        await bus.client.jetstream().publish(SUBSCRIPTION_CHANGED.subject, other)
        assert len(await dead_letters(bus, at_least=1)) == 1
    assert ledger.written == {1}


async def test_a_message_that_was_not_acknowledged_by_a_dead_replica_comes_again(bus: Bus, url: str) -> None:
    await tell_change(bus, 1)
    async with connect(url, name="test", instance="dying") as dying:
        subscription = await dying.client.jetstream().pull_subscribe_bind(DURABLE.name, DURABLE.stream)
        assert len(await subscription.fetch(1, timeout=2)) == 1
    ledger = Ledger()
    async with ledger.consuming(bus):
        await until(lambda: ledger.written == {1}, within_seconds=DURABLE.ack_wait_seconds + 2)
        await settled(bus)


async def test_a_crash_of_the_handler_costs_a_delay_and_no_message(bus: Bus) -> None:
    crashed: list[int] = []

    def obstacle(revisions: Sequence[int]) -> None:
        if not crashed:
            crashed.extend(revisions)
            raise RuntimeError("once")

    ledger = Ledger(obstacle)
    await tell_change(bus, 1)
    async with ledger.consuming(bus):
        await until(lambda: ledger.written == {1})
        await settled(bus)
    assert ledger.attempts == [[1], [1]]


async def test_a_consumer_stops_promptly_while_the_store_is_away_and_keeps_its_batch(bus: Bus) -> None:
    def obstacle(_: Sequence[int]) -> None:
        raise TryLater("OperationalError")

    away = Ledger(obstacle)
    await tell_change(bus, 1)
    async with away.consuming(bus):
        await until(lambda: len(away.attempts) >= 5)  # by now it pauses for seconds between tries
        began = time.perf_counter()
    assert time.perf_counter() - began < DRAIN_SECONDS / 2
    back = Ledger()
    async with back.consuming(bus):
        await until(lambda: back.written == {1}, within_seconds=DURABLE.ack_wait_seconds)


async def test_a_consumer_that_stops_finishes_its_batch_and_gives_back_the_rest_at_once(bus: Bus) -> None:
    class Slow(Ledger):
        async def write(self, deliveries: Sequence[Delivery[SubscriptionChanged]]) -> None:
            self.attempts.append([])
            await asyncio.sleep(0.3)
            await super().write(deliveries)

    leaving = Slow()
    async with leaving.consuming(bus, batch=10):
        await tell_change(bus, 1)
        await until(lambda: leaving.attempts != [])
        for revision in (2, 3, 4):
            await tell_change(bus, revision)
        await asyncio.sleep(0.05)
    assert leaving.batches == [[1]]
    staying = Ledger()
    async with staying.consuming(bus):
        await until(lambda: staying.written == {2, 3, 4}, within_seconds=DURABLE.ack_wait_seconds / 2)


async def test_replicas_share_a_durable_and_write_everything_once(bus: Bus, url: str) -> None:
    one, two = Ledger(), Ledger()
    async with (
        connect(url, name="test", instance="other") as other,
        one.consuming(bus, batch=8),
        two.consuming(other, batch=8),
    ):
        for revision in range(200):
            await tell_change(bus, revision)
        await until(lambda: len(one.written | two.written) == 200)
        await settled(bus)
    assert sum(len(batch) for batch in one.batches + two.batches) == 200


@pytest.fixture
def long_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull request that was lost would be missed for a minute."""
    monkeypatch.setattr("chassis.bus.pull.EXPIRES_SECONDS", 60.0)


@pytest.mark.usefixtures("long_requests")
async def test_a_consumer_resumes_at_once_after_nats_is_back(bus: Bus, nats_server: RunningNats) -> None:
    ledger = Ledger()
    async with ledger.consuming(bus):
        await tell_change(bus, 1)
        await until(lambda: ledger.written == {1})
        await nats_server.child.halt()
        await asyncio.sleep(1)
        await nats_server.child.start()
        await until(lambda: bus.is_connected)
        await tell_change(bus, 2)
        await until(lambda: ledger.written == {1, 2}, within_seconds=20)


@pytest.mark.usefixtures("long_requests")
async def test_a_consumer_resumes_at_once_after_nats_was_killed(bus: Bus, nats_server: RunningNats) -> None:
    ledger = Ledger()
    async with ledger.consuming(bus):
        await tell_change(bus, 1)
        await until(lambda: ledger.written == {1})
        nats_server.child.kill()  # no farewell: the open pull request is lost without a word
        await until(lambda: not bus.is_connected)
        await until(lambda: bus.is_connected)
        await tell_change(bus, 2)
        await until(lambda: ledger.written == {1, 2}, within_seconds=20)


@pytest.mark.usefixtures("long_requests")
async def test_a_consumer_stops_promptly_while_nats_is_away(bus: Bus, nats_server: RunningNats) -> None:
    async with Ledger().consuming(bus):
        await nats_server.child.halt()
        await asyncio.sleep(0.2)
        began = time.perf_counter()
    assert time.perf_counter() - began < DRAIN_SECONDS / 2


async def test_a_missing_durable_is_asked_for_now_and_then_not_in_a_storm(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    await bus.client.jsm().delete_consumer(DURABLE.stream, DURABLE.name)
    ledger = Ledger()
    before = bus.client.stats["out_msgs"]
    async with ledger.consuming(bus):
        await asyncio.sleep(1.5)
        assert bus.client.stats["out_msgs"] - before <= 4
        assert "pull request refused" in caplog.text
        await make_durable(bus.client.connected_url.geturl() if bus.client.connected_url else "")
        await tell_change(bus, 1)
        await until(lambda: ledger.written == {1})
