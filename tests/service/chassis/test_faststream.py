"""The rarer asks and the event consumers, on real NATS."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from chassis.bus import Bus, BusError, TryLater, ask, connect, publish
from chassis.faststream import answer, follow, serving
from contracts.billing import SUBSCRIPTION_CHANGED, SubscriptionChanged
from contracts.failures import Failure
from contracts.quota import BLOCK_TOKEN, BlockToken, BlockTokenReply, TokenBlocked
from contracts.streams import QUOTA_SUBSCRIPTIONS, Durable
from devstack.nats import RunningNats


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test", instance="test") as bus:
        yield bus


async def block(question: BlockToken) -> BlockTokenReply:
    return TokenBlocked(token_id=question.token_id)


async def crash(_: BlockToken) -> BlockTokenReply:
    raise RuntimeError("canary")


async def store_away(_: BlockToken) -> BlockTokenReply:
    raise TryLater("canary")


def a_change(revision: int = 1) -> SubscriptionChanged:
    return SubscriptionChanged(account_id=uuid4(), plan="pro", revision=revision, effective_at=datetime.now(UTC))


async def tell(bus: Bus, change: SubscriptionChanged) -> None:
    event_id = f"{change.account_id}:{change.revision}"
    await publish(bus, SUBSCRIPTION_CHANGED, change, event_id=event_id, timeout_seconds=2)


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(200):
        if is_so():
            return
        await asyncio.sleep(0.05)
    pytest.fail("still not so after ten seconds")


class Listener:
    """Hears changes; fails as often as it is told to."""

    def __init__(self, *, failures: int = 0, error: type[Exception] = RuntimeError) -> None:
        self.heard: asyncio.Queue[SubscriptionChanged] = asyncio.Queue()
        self.attempts = 0
        self._failures = failures
        self._error = error

    async def hear(self, change: SubscriptionChanged) -> None:
        self.attempts += 1
        if self.attempts <= self._failures:
            raise self._error("canary")
        self.heard.put_nowait(change)


async def test_an_ask_is_answered(bus: Bus) -> None:
    question = BlockToken(token_id=uuid4())
    async with serving(bus, answer(BLOCK_TOKEN, block, queue="quota")):
        assert await ask(bus, BLOCK_TOKEN, question, timeout_seconds=2) == TokenBlocked(token_id=question.token_id)


async def test_a_crash_is_answered_at_once_and_logged_without_telling_the_asker_why(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(bus, answer(BLOCK_TOKEN, crash, queue="quota")):
        began = time.monotonic()
        reply = await ask(bus, BLOCK_TOKEN, BlockToken(token_id=uuid4()), timeout_seconds=30)
    assert time.monotonic() - began < 15
    assert reply == Failure(code="crashed", message="internal error")
    assert any(record.exc_info for record in caplog.records if record.message == "handler crashed")


async def test_a_store_that_is_away_is_answered_as_unavailable(bus: Bus) -> None:
    async with serving(bus, answer(BLOCK_TOKEN, store_away, queue="quota")):
        reply = await ask(bus, BLOCK_TOKEN, BlockToken(token_id=uuid4()), timeout_seconds=5)
    assert isinstance(reply, Failure)
    assert reply.code == "unavailable"


@pytest.mark.parametrize("data", [b"", b"{", b'{"token_id": 7}', b"\xff"])
async def test_an_unreadable_ask_is_answered_as_malformed(bus: Bus, data: bytes) -> None:
    headers = {"content-type": "application/json"}
    async with serving(bus, answer(BLOCK_TOKEN, block, queue="quota")):
        reply = await bus.request(BLOCK_TOKEN.subject, data, headers=headers, timeout_seconds=2)
    assert b'"malformed"' in reply.data


async def test_asks_that_wait_when_serving_ends_are_answered(bus: Bus, nats_url: str) -> None:
    async def slow(question: BlockToken) -> BlockTokenReply:
        await asyncio.sleep(0.02)
        return TokenBlocked(token_id=question.token_id)

    async with connect(nats_url, name="asker", instance="asker") as asker:
        questions = [BlockToken(token_id=uuid4()) for _ in range(30)]
        async with serving(bus, answer(BLOCK_TOKEN, slow, queue="quota")):
            asked = [asyncio.create_task(ask(asker, BLOCK_TOKEN, one, timeout_seconds=5)) for one in questions]
            await asyncio.sleep(0.1)
            await asker.flush()
        replies = await asyncio.gather(*asked)
    assert replies == [TokenBlocked(token_id=one.token_id) for one in questions]


async def test_a_lone_event_is_handled_within_fifty_milliseconds(bus: Bus) -> None:
    listener = Listener()
    seconds = []
    async with serving(bus, follow(bus, SUBSCRIPTION_CHANGED, QUOTA_SUBSCRIPTIONS, listener.hear)):
        for _ in range(5):
            await asyncio.sleep(0.1)
            began = time.monotonic()
            await tell(bus, a_change())
            await asyncio.wait_for(listener.heard.get(), 5)
            seconds.append(time.monotonic() - began)
    assert sorted(seconds)[2] < 0.05


async def test_events_are_handled_in_order_and_once(bus: Bus) -> None:
    listener = Listener()
    changes = [a_change(revision) for revision in range(20)]
    for change in changes:
        await tell(bus, change)
    async with serving(bus, follow(bus, SUBSCRIPTION_CHANGED, QUOTA_SUBSCRIPTIONS, listener.hear)):
        heard = [await asyncio.wait_for(listener.heard.get(), 5) for _ in changes]
    info = await bus.client.jsm().consumer_info("SUBSCRIPTIONS", QUOTA_SUBSCRIPTIONS.name)
    assert heard == changes
    assert info.num_ack_pending == 0


@pytest.mark.parametrize("error", [RuntimeError, TryLater])
async def test_an_event_whose_handler_failed_comes_again(bus: Bus, error: type[Exception]) -> None:
    listener = Listener(failures=1, error=error)
    change = a_change()
    async with serving(bus, follow(bus, SUBSCRIPTION_CHANGED, QUOTA_SUBSCRIPTIONS, listener.hear)):
        await tell(bus, change)
        assert await asyncio.wait_for(listener.heard.get(), 5) == change
    assert listener.attempts == 2


async def test_an_event_that_keeps_failing_goes_to_the_dead_letters(bus: Bus) -> None:
    listener = Listener(failures=99)
    impatient = Durable(
        QUOTA_SUBSCRIPTIONS.name,
        QUOTA_SUBSCRIPTIONS.stream,
        QUOTA_SUBSCRIPTIONS.subject,
        service="quota",
        max_deliver=2,
    )
    letters = await bus.client.jetstream().subscribe("dead_letter.v1.>", ordered_consumer=True)
    async with serving(bus, follow(bus, SUBSCRIPTION_CHANGED, impatient, listener.hear)):
        await tell(bus, a_change())
        letter = await letters.next_msg(timeout=5)
    assert listener.attempts == 2
    assert (letter.headers or {})["Smartroute-Reason"] == "failed 2 times"


async def test_an_unreadable_event_goes_to_the_dead_letters_and_the_next_is_handled(bus: Bus) -> None:
    listener = Listener()
    change = a_change()
    letters = await bus.client.jetstream().subscribe("dead_letter.v1.>", ordered_consumer=True)
    async with serving(bus, follow(bus, SUBSCRIPTION_CHANGED, QUOTA_SUBSCRIPTIONS, listener.hear)):
        await bus.client.jetstream().publish(SUBSCRIPTION_CHANGED.subject, b'{"not": "an event"}')
        await tell(bus, change)
        assert await asyncio.wait_for(listener.heard.get(), 5) == change
        assert (await letters.next_msg(timeout=5)).data == b'{"not": "an event"}'


async def test_a_durable_that_was_not_provisioned_is_refused_and_not_created(bus: Bus) -> None:
    missing = Durable("quota_nowhere", "SUBSCRIPTIONS", SUBSCRIPTION_CHANGED.subject, service="quota")
    with pytest.raises(BusError, match="quota_nowhere"):
        async with serving(bus, follow(bus, SUBSCRIPTION_CHANGED, missing, Listener().hear), durables=(missing,)):
            pass
    found = await bus.client.jsm().consumers_info("SUBSCRIPTIONS")
    assert missing.name not in {info.name for info in found}


async def test_events_go_on_after_the_bus_was_away_and_the_connection_is_given_back_open(
    nats_url: str, nats_server: RunningNats
) -> None:
    listener = Listener()
    async with connect(nats_url, name="test", instance="test") as bus:
        async with serving(
            bus,
            answer(BLOCK_TOKEN, block, queue="quota"),
            follow(bus, SUBSCRIPTION_CHANGED, QUOTA_SUBSCRIPTIONS, listener.hear),
        ):
            await nats_server.child.halt()
            await nats_server.child.start()
            await until(lambda: bus.is_connected)
            await tell(bus, a_change())
            await asyncio.wait_for(listener.heard.get(), 10)
            reply = await ask(bus, BLOCK_TOKEN, BlockToken(token_id=uuid4()), timeout_seconds=2)
            assert isinstance(reply, TokenBlocked)
        assert bus.is_connected


async def test_serving_ends_quietly_while_the_bus_is_away(nats_url: str, nats_server: RunningNats) -> None:
    async with (
        connect(nats_url, name="test", instance="test") as bus,
        serving(
            bus,
            answer(BLOCK_TOKEN, block, queue="quota"),
            follow(bus, SUBSCRIPTION_CHANGED, QUOTA_SUBSCRIPTIONS, Listener().hear),
        ),
    ):
        await nats_server.child.halt()
        await until(lambda: not bus.is_connected)
