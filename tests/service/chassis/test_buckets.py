"""Values that replicas agree on: whoever knows the newest may change it, and nobody else."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chassis import bus
from chassis.bus import Bus, BusError, Entry, connect
from contracts.streams import ROUTER_OUTCOMES, ROUTER_PROBES, Bucket
from devstack.nats import RunningNats
from tests.service.chassis.bus_things import until


@pytest_asyncio.fixture
async def connection(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test", instance="test") as opened:
        yield opened


async def test_a_value_is_read_as_it_was_written_with_its_revision(connection: Bus) -> None:
    revision = await bus.write_entry(connection, ROUTER_OUTCOMES, "code.a", b'{"good": 1}', over=None)
    assert revision is not None
    assert await bus.read_entry(connection, ROUTER_OUTCOMES, "code.a") == Entry(b'{"good": 1}', revision)


async def test_a_key_that_is_missing_is_none(connection: Bus) -> None:
    assert await bus.read_entry(connection, ROUTER_OUTCOMES, "code.a") is None


async def test_a_key_that_is_there_is_not_made_a_second_time(connection: Bus) -> None:
    assert await bus.write_entry(connection, ROUTER_PROBES, "a", b"first", over=None) is not None
    assert await bus.write_entry(connection, ROUTER_PROBES, "a", b"second", over=None) is None
    found = await bus.read_entry(connection, ROUTER_PROBES, "a")
    assert found is not None
    assert found.value == b"first"


async def test_only_who_knows_the_newest_value_changes_it(connection: Bus) -> None:
    await bus.write_entry(connection, ROUTER_OUTCOMES, "code.a", b"1", over=None)
    before = await bus.read_entry(connection, ROUTER_OUTCOMES, "code.a")
    assert await bus.write_entry(connection, ROUTER_OUTCOMES, "code.a", b"2", over=before) is not None
    assert await bus.write_entry(connection, ROUTER_OUTCOMES, "code.a", b"3", over=before) is None
    newest = await bus.read_entry(connection, ROUTER_OUTCOMES, "code.a")
    assert newest is not None
    assert newest.value == b"2"


async def test_of_many_who_change_a_value_at_once_one_does(connection: Bus) -> None:
    tries = (bus.write_entry(connection, ROUTER_PROBES, "a", str(number).encode(), over=None) for number in range(30))
    won = [revision for revision in await asyncio.gather(*tries) if revision is not None]
    assert len(won) == 1


async def test_a_change_of_one_key_is_no_obstacle_for_another(connection: Bus) -> None:
    await bus.write_entry(connection, ROUTER_OUTCOMES, "code.a", b"1", over=None)
    known = await bus.read_entry(connection, ROUTER_OUTCOMES, "code.a")
    await bus.write_entry(connection, ROUTER_OUTCOMES, "chat.a", b"1", over=None)
    assert await bus.write_entry(connection, ROUTER_OUTCOMES, "code.a", b"2", over=known) is not None


async def test_all_keys_are_read_with_their_newest_values(connection: Bus) -> None:
    assert await bus.read_entries(connection, ROUTER_OUTCOMES) == {}
    for number in range(1_200):
        await bus.write_entry(connection, ROUTER_OUTCOMES, f"code.t{number}", b"old", over=None)
    known = await bus.read_entry(connection, ROUTER_OUTCOMES, "code.t7")
    await bus.write_entry(connection, ROUTER_OUTCOMES, "code.t7", b"new", over=known)
    found = await bus.read_entries(connection, ROUTER_OUTCOMES)
    assert set(found) == {f"code.t{number}" for number in range(1_200)}
    assert {key for key, entry in found.items() if entry.value == b"new"} == {"code.t7"}
    for key in ("code.t7", "code.t8"):
        assert found[key] == await bus.read_entry(connection, ROUTER_OUTCOMES, key)


async def test_a_bucket_that_was_not_provisioned_is_an_error(connection: Bus) -> None:
    nowhere = Bucket("nowhere", "test", max_bytes=1024)
    with pytest.raises(BusError):
        await bus.read_entry(connection, nowhere, "a")
    with pytest.raises(BusError):
        await bus.write_entry(connection, nowhere, "a", b"1", over=None)
    with pytest.raises(BusError):
        await bus.read_entries(connection, nowhere)


async def test_values_survive_the_server(nats_server: RunningNats, connection: Bus) -> None:
    await bus.write_entry(connection, ROUTER_OUTCOMES, "code.a", b"1", over=None)
    await nats_server.child.halt()
    with pytest.raises(BusError):
        await bus.read_entry(connection, ROUTER_OUTCOMES, "code.a")
    await nats_server.child.start()
    await until(lambda: connection.is_connected)
    found = await bus.read_entry(connection, ROUTER_OUTCOMES, "code.a")
    assert found is not None
    assert found.value == b"1"
