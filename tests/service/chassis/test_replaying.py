"""Reading a stream again: all of it, in order, in portions, whatever was removed from it meanwhile."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest

from chassis import bus
from chassis.bus import Bus, BusError, connect
from contracts.streams import BILLING_REQUESTS
from devstack.nats import RunningNats

STREAM, SUBJECT = "REQUESTS", "gateway.v1.request_settled"


async def _store(connection: Bus, count: int) -> None:
    for number in range(count):
        await connection.client.jetstream().publish(SUBJECT, f"message {number}".encode())


async def _sequences(connection: Bus, *, first: int, through: int, batch: int = 7) -> list[list[int]]:
    async with aclosing(bus.replay(connection, STREAM, first=first, through=through, batch=batch)) as batches:
        return [[message.sequence for message in messages] async for messages in batches]


async def test_a_stream_is_read_in_order_and_in_portions(nats_url: str) -> None:
    async with connect(nats_url, name="test", instance="test") as connection:
        await _store(connection, 20)
        read = await _sequences(connection, first=3, through=18)
    assert list(chain(*read)) == list(range(3, 19))
    assert max(len(portion) for portion in read) == 7


async def test_messages_that_were_removed_are_passed_over_also_at_both_ends(nats_url: str) -> None:
    async with connect(nats_url, name="test", instance="test") as connection:
        await _store(connection, 12)
        for sequence in (1, 2, 5, 6, 7, 11, 12):
            await connection.client.jsm().delete_msg(STREAM, sequence)
        assert list(chain(*await _sequences(connection, first=1, through=12, batch=3))) == [3, 4, 8, 9, 10]
        assert await bus.stream_ends(connection, STREAM) == bus.StreamEnds(3, 12)


async def test_what_a_message_holds_is_what_was_stored(nats_url: str) -> None:
    async with connect(nats_url, name="test", instance="test") as connection:
        await _store(connection, 3)
        message = await bus.stored_message(connection, STREAM, 2)
        assert message is not None
        assert (message.sequence, message.data) == (2, b"message 1")
        await connection.client.jsm().delete_msg(STREAM, 2)
        assert await bus.stored_message(connection, STREAM, 2) is None


async def test_an_empty_stream_has_nothing_to_read(nats_url: str) -> None:
    async with connect(nats_url, name="test", instance="test") as connection:
        assert await bus.stream_ends(connection, STREAM) == bus.StreamEnds(1, 0)
        assert await _sequences(connection, first=1, through=5) == []
        await _store(connection, 4)
        await connection.client.jsm().purge_stream(STREAM)
        assert await bus.stream_ends(connection, STREAM) == bus.StreamEnds(5, 4)
        assert await _sequences(connection, first=1, through=4) == []


async def test_a_moment_leads_to_the_first_message_that_was_stored_since(nats_url: str) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    async with connect(nats_url, name="test", instance="test") as connection:
        await _store(connection, 5)
        assert await bus.first_since(connection, STREAM, before) == 1
        assert await bus.first_since(connection, STREAM, before + timedelta(hours=1)) == 6


async def test_a_durable_has_settled_what_it_acknowledged_and_nothing_after_it(nats_url: str) -> None:
    async with connect(nats_url, name="test", instance="test") as connection:
        assert await bus.acknowledged_through(connection, BILLING_REQUESTS) == 0
        await _store(connection, 4)
        consumer = await connection.client.jetstream().pull_subscribe_bind(BILLING_REQUESTS.name, STREAM)
        first, second, third, fourth = await consumer.fetch(4)
        await first.ack_sync()
        await third.ack_sync()
        assert await bus.acknowledged_through(connection, BILLING_REQUESTS) == 1
        await second.ack_sync()
        await connection.client.jsm().delete_msg(STREAM, 4)
        await fourth.ack_sync()
        assert await bus.acknowledged_through(connection, BILLING_REQUESTS) == 4


async def test_a_stream_that_is_not_there_cannot_be_read(nats_server: RunningNats) -> None:
    async with connect(nats_server.url, name="test", instance="test") as connection:
        with pytest.raises(BusError):
            await bus.stream_ends(connection, STREAM)
        with pytest.raises(BusError):
            await _sequences(connection, first=1, through=5)


async def test_a_server_that_went_away_is_said_to_be_away(nats_server: RunningNats, nats_url: str) -> None:
    async with connect(nats_url, name="test", instance="test") as connection:
        await _store(connection, 3)
        await nats_server.child.halt()
        with pytest.raises(BusError):
            await _sequences(connection, first=1, through=3)
