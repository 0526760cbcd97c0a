"""Streams and durables: made as declared, again and again, without touching what is in them."""

import pytest
from nats.js.api import AckPolicy, DiscardPolicy, StorageType, StreamConfig

from chassis.bus import connect, provision
from contracts import streams
from devstack.nats import RunningNats
from tests.service.chassis.bus_things import stream_state, tell_change


@pytest.mark.parametrize("stream", streams.STREAMS, ids=lambda stream: stream.name)
async def test_a_stream_is_made_as_declared(nats_url: str, stream: streams.Stream) -> None:
    async with connect(nats_url, name="test", instance="test") as bus:
        found = (await bus.client.jsm().stream_info(stream.name)).config
    assert found.subjects == list(stream.subjects)
    assert (found.storage, found.discard) == (StorageType.FILE, DiscardPolicy(stream.discard))
    assert (found.max_bytes, found.max_age) == (stream.max_bytes, stream.max_age_seconds)
    assert found.duplicate_window == stream.duplicate_window_seconds


@pytest.mark.parametrize("durable", streams.DURABLES, ids=lambda durable: durable.name)
async def test_a_durable_is_made_as_declared_and_never_drops_a_message_by_itself(
    nats_url: str, durable: streams.Durable
) -> None:
    async with connect(nats_url, name="test", instance="test") as bus:
        found = (await bus.client.jsm().consumer_info(durable.stream, durable.name)).config
    assert (found.filter_subject, found.ack_policy) == (durable.subject, AckPolicy.EXPLICIT)
    assert (found.ack_wait, found.max_ack_pending) == (durable.ack_wait_seconds, durable.max_ack_pending)
    assert found.max_deliver == -1


@pytest.mark.parametrize("bucket", streams.BUCKETS, ids=lambda bucket: bucket.name)
async def test_a_bucket_is_made_as_declared(nats_url: str, bucket: streams.Bucket) -> None:
    async with connect(nats_url, name="test", instance="test") as bus:
        found = (await bus.client.jsm().stream_info(f"KV_{bucket.name}")).config
    assert found.subjects == [f"$KV.{bucket.name}.>"]
    assert (found.max_bytes, found.max_age, found.max_msgs_per_subject) == (
        bucket.max_bytes,
        bucket.max_age_seconds,
        1,
    )


async def test_provisioning_again_keeps_messages_and_the_place_of_every_durable(nats_url: str) -> None:
    durable = streams.QUOTA_SUBSCRIPTIONS
    async with connect(nats_url, name="test", instance="test") as bus:
        for revision in (1, 2, 3):
            await tell_change(bus, revision)
        subscription = await bus.client.jetstream().pull_subscribe_bind(durable.name, durable.stream)
        for message in await subscription.fetch(2, timeout=2):
            await message.ack_sync()
        await provision(nats_url)
        await provision(nats_url)
        assert (await stream_state(bus, durable.stream)).messages == 3
        info = await bus.client.jsm().consumer_info(durable.stream, durable.name)
        assert (info.num_pending, info.ack_floor and info.ack_floor.stream_seq) == (1, 2)


async def test_provisioning_brings_an_older_stream_up_to_date(nats_server: RunningNats) -> None:
    async with connect(nats_server.url, name="test", instance="test") as bus:
        older = StreamConfig(
            name=streams.SUBSCRIPTIONS.name,
            subjects=list(streams.SUBSCRIPTIONS.subjects),
            storage=StorageType.FILE,
            max_bytes=1024**2,
        )
        await bus.client.jsm().add_stream(older)
        await tell_change(bus, 1)
        await provision(nats_server.url)
        info = await bus.client.jsm().stream_info(streams.SUBSCRIPTIONS.name)
    assert info.config.max_bytes == streams.SUBSCRIPTIONS.max_bytes
    assert info.config.discard == DiscardPolicy.NEW
    assert info.state.messages == 1
