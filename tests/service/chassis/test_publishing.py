"""Publishing on a real JetStream: acknowledged or said not to be, stored once, and again when NATS comes back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest
from nats.aio.msg import Msg
from nats.js.api import DiscardPolicy, StreamConfig

from chassis.bus import Bus, EventNotStored, connect, publish
from contracts import cloudevents
from contracts.billing import SUBSCRIPTION_CHANGED
from contracts.streams import SUBSCRIPTIONS
from devstack.nats import RunningNats
from tests.service.chassis.bus_things import a_change, stream_state, tell_change


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test", instance="teller") as connection:
        yield connection


async def test_a_published_event_is_stored_before_its_sequence_is_returned(bus: Bus) -> None:
    assert [await tell_change(bus, revision) for revision in (1, 2, 3)] == [1, 2, 3]
    assert (await stream_state(bus, SUBSCRIPTIONS.name)).messages == 3


async def test_an_event_is_a_cloud_event_that_names_sender_type_and_id(bus: Bus) -> None:
    change = a_change()
    await publish(bus, SUBSCRIPTION_CHANGED, change, event_id="the-id", subject="the-account", timeout_seconds=2)
    stored = await bus.client.jsm().get_msg(SUBSCRIPTIONS.name, 1)
    assert stored.data is not None
    assert stored.headers is not None
    envelope, payload = cloudevents.unwrap(SUBSCRIPTION_CHANGED, stored.data)
    assert payload == change
    assert (envelope.id, envelope.subject) == ("the-id", "the-account")
    assert envelope.source == "/smartroute/billing/teller"
    assert stored.headers["Nats-Msg-Id"] == "the-id"
    assert stored.headers["Content-Type"] == "application/cloudevents+json"


async def test_the_same_id_is_stored_once_and_answers_with_its_first_sequence(bus: Bus) -> None:
    change = a_change()
    sequences = [await publish(bus, SUBSCRIPTION_CHANGED, change, event_id="same", timeout_seconds=2) for _ in range(3)]
    assert sequences == [1, 1, 1]
    assert (await stream_state(bus, SUBSCRIPTIONS.name)).messages == 1


async def test_many_at_once_are_all_stored(bus: Bus) -> None:
    sequences = await asyncio.gather(*(tell_change(bus, revision) for revision in range(200)))
    assert sorted(sequences) == list(range(1, 201))


async def test_an_event_without_a_stream_is_not_stored(nats_server: RunningNats) -> None:
    async with connect(nats_server.url, name="test", instance="teller") as bus:
        with pytest.raises(EventNotStored, match="no responders"):
            await publish(bus, SUBSCRIPTION_CHANGED, a_change(), event_id="1", timeout_seconds=0.5)


@pytest.mark.parametrize("answer", [b"", b"stored!", b"[]", b'{"seq": null}', b'{"error": "no"}'])
async def test_an_answer_that_is_no_acknowledgement_stores_nothing(nats_server: RunningNats, answer: bytes) -> None:
    async with connect(nats_server.url, name="test", instance="teller") as bus:

        async def answer_oddly(message: Msg) -> None:
            await message.respond(answer)

        await bus.client.subscribe(SUBSCRIPTION_CHANGED.subject, cb=answer_oddly)
        await bus.flush()
        with pytest.raises(EventNotStored, match="acknowledgement"):
            await publish(bus, SUBSCRIPTION_CHANGED, a_change(), event_id="1", timeout_seconds=0.2)


async def test_a_full_stream_refuses_and_the_sender_is_told_why(nats_server: RunningNats) -> None:
    async with connect(nats_server.url, name="test", instance="teller") as bus:
        await bus.client.jsm().add_stream(
            StreamConfig(
                name=SUBSCRIPTIONS.name,
                subjects=list(SUBSCRIPTIONS.subjects),
                max_msgs=1,
                discard=DiscardPolicy.NEW,
            )
        )
        assert await tell_change(bus, 1) == 1
        with pytest.raises(EventNotStored, match="maximum messages exceeded"):
            await publish(bus, SUBSCRIPTION_CHANGED, a_change(), event_id="2", timeout_seconds=0.5)


async def test_an_event_is_not_stored_while_nats_is_away_and_the_sender_is_told_in_time(
    bus: Bus, nats_server: RunningNats
) -> None:
    await nats_server.child.halt()
    began = time.perf_counter()
    with pytest.raises(EventNotStored):
        await publish(bus, SUBSCRIPTION_CHANGED, a_change(), event_id="1", timeout_seconds=0.5)
    assert 0.3 < time.perf_counter() - began < 10
    await nats_server.child.start()


async def test_a_publish_goes_through_when_nats_comes_back_before_the_deadline(
    bus: Bus, nats_server: RunningNats
) -> None:
    await nats_server.child.halt()
    publishing = asyncio.create_task(
        publish(bus, SUBSCRIPTION_CHANGED, a_change(), event_id="patient", timeout_seconds=15)
    )
    await asyncio.sleep(0.3)
    assert not publishing.done()
    await nats_server.child.start()
    assert await publishing == 1
    stored = await bus.client.jsm().get_msg(SUBSCRIPTIONS.name, 1)
    assert json.loads(stored.data or b"")["id"] == "patient"
    assert (await stream_state(bus, SUBSCRIPTIONS.name)).messages == 1


async def test_what_was_stored_survives_a_kill_of_the_server(bus: Bus, nats_server: RunningNats) -> None:
    sequence = await tell_change(bus, 1)
    nats_server.child.kill()
    assert await tell_change(bus, 2) == sequence + 1
