"""Hints on a real server: everybody hears them, nobody keeps them, nobody waits for them."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from chassis.bus import Bus, connect, hear, tell
from contracts.gateway import TOKEN_REVOKED, TokenRevoked
from devstack.nats import RunningNats
from tests.service.chassis.bus_things import until


@pytest.fixture
async def bus(nats_server: RunningNats) -> AsyncIterator[Bus]:
    async with connect(nats_server.url, name="test", instance="test") as connection:
        yield connection


async def test_every_listener_hears_every_signal(bus: Bus, nats_server: RunningNats) -> None:
    heard: list[tuple[str, UUID]] = []
    async with connect(nats_server.url, name="test", instance="other") as other:
        await hear(bus, TOKEN_REVOKED, lambda said: heard.append(("one", said.token_id)))
        await hear(other, TOKEN_REVOKED, lambda said: heard.append(("two", said.token_id)))
        token = uuid4()
        await tell(other, TOKEN_REVOKED, TokenRevoked(token_id=token))
        await until(lambda: len(heard) == 2, within_seconds=20)
    assert sorted(heard) == [("one", token), ("two", token)]


async def test_an_unreadable_signal_is_ignored_and_the_next_one_heard(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[TokenRevoked] = []
    await hear(bus, TOKEN_REVOKED, heard.append)
    await bus.client.publish(TOKEN_REVOKED.subject, b"canary")
    await tell(bus, TOKEN_REVOKED, TokenRevoked(token_id=uuid4()))
    await until(lambda: len(heard) == 1, within_seconds=20)
    assert "unreadable signal" in caplog.text
    assert "canary" not in caplog.text


async def test_a_listener_that_breaks_hears_the_next_signal_all_the_same(bus: Bus) -> None:
    heard: list[TokenRevoked] = []

    def break_once(said: TokenRevoked) -> None:
        heard.append(said)
        if len(heard) == 1:
            raise RuntimeError("once")

    await hear(bus, TOKEN_REVOKED, break_once)
    for _ in range(2):
        await tell(bus, TOKEN_REVOKED, TokenRevoked(token_id=uuid4()))
    await until(lambda: len(heard) == 2, within_seconds=20)


async def test_a_signal_without_a_connection_neither_waits_nor_raises(bus: Bus, nats_server: RunningNats) -> None:
    await nats_server.child.halt()
    await until(lambda: not bus.is_connected, within_seconds=20)
    async with asyncio.timeout(0.2):
        await tell(bus, TOKEN_REVOKED, TokenRevoked(token_id=uuid4()))
