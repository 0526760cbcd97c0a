"""Permits to probe over a real bus: one replica at a time, not for ever, and no garbage in the way."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio

from chassis import bus
from chassis.bus import Bus, BusError, connect
from contracts.gateway import AttemptFinished, AttemptsFinished
from contracts.streams import ROUTER_PROBES
from devstack.nats import RunningNats
from router.probing import Permits
from router.switchboard import Switchboard
from tests.service.chassis.bus_things import until
from tests.unit.router.configurations import configuration

Replica = tuple[Permits, Switchboard]


@asynccontextmanager
async def a_replica(nats_url: str, name: str) -> AsyncIterator[Replica]:
    """One whose target `near` was set aside a while ago, so that a probe is due."""
    async with connect(nats_url, name="router", instance=name) as connection:
        switchboard = Switchboard(configuration(), instance=name)
        failed = AttemptFinished(target="near", result="timed_out")
        switchboard.hear(AttemptsFinished(gateway="g", attempts=(failed,) * 3), now=time.monotonic() - 60)
        yield Permits(connection, switchboard), switchboard


@pytest_asyncio.fixture
async def replicas(nats_url: str) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(a_replica(nats_url, f"router-{number}")) for number in range(4)]


@pytest_asyncio.fixture
async def connection(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test", instance="test") as opened:
        yield opened


def may_probe(replicas: list[Replica]) -> list[bool]:
    return [switchboard.see("near", now=time.monotonic()).may_probe for _, switchboard in replicas]


async def test_of_many_replicas_one_is_permitted(replicas: list[Replica]) -> None:
    await asyncio.gather(*(permits.ask() for permits, _ in replicas))
    assert may_probe(replicas).count(True) == 1
    await asyncio.gather(*(permits.ask() for permits, _ in replicas))
    assert may_probe(replicas).count(True) == 1


async def test_a_target_that_is_well_is_not_asked_for(replicas: list[Replica], connection: Bus) -> None:
    await replicas[0][0].ask()
    assert list(await bus.read_entries(connection, ROUTER_PROBES)) == ["near"]


async def test_a_permit_expires_and_another_replica_gets_the_next(
    replicas: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.probing.PERMIT_SECONDS", 0.3)
    (first, one), (second, other) = replicas[:2]
    await first.ask()
    await second.ask()
    assert may_probe(replicas[:2]) == [True, False]
    await asyncio.sleep(0.4)
    assert not one.see("near", now=time.monotonic()).may_probe
    await second.ask()
    assert other.see("near", now=time.monotonic()).may_probe


async def test_the_server_itself_forgets_a_permit_when_its_replica_is_gone(connection: Bus) -> None:
    held = json.dumps({"by": "gone", "until": time.time() + 1_000}).encode()
    await bus.write_entry(connection, ROUTER_PROBES, "near", held, over=None)
    await asyncio.sleep(ROUTER_PROBES.max_age_seconds + 1.5)
    assert await bus.read_entry(connection, ROUTER_PROBES, "near") is None
    assert await bus.write_entry(connection, ROUTER_PROBES, "near", b"{}", over=None) is not None


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"null", b"[]", b'{"by": "x"}', b'{"by": "x", "until": "soon"}', b"\xff"]
)
async def test_a_value_that_is_no_permit_holds_nobody_up(
    replicas: list[Replica], connection: Bus, garbage: bytes
) -> None:
    await bus.write_entry(connection, ROUTER_PROBES, "near", garbage, over=None)
    await replicas[0][0].ask()
    assert may_probe(replicas[:1]) == [True]


async def test_a_permit_of_another_holds_until_its_time_is_over(replicas: list[Replica], connection: Bus) -> None:
    held = json.dumps({"by": "another", "until": time.time() + 30}).encode()
    await bus.write_entry(connection, ROUTER_PROBES, "near", held, over=None)
    await replicas[0][0].ask()
    assert may_probe(replicas[:1]) == [False]


async def test_permits_are_asked_for_again_when_the_bus_is_back(
    nats_server: RunningNats, nats_url: str, replicas: list[Replica]
) -> None:
    permits, _ = replicas[0]
    await nats_server.child.halt()
    with pytest.raises(BusError):
        await permits.ask()
    async with permits.asking():
        await asyncio.sleep(0.5)
        await nats_server.child.start()
        await until(lambda: may_probe(replicas[:1]) == [True])
