"""The fixtures that every other test stands on: real servers, and nothing shared between tests."""

import signal

import nats
import psycopg
import pytest

from contracts.streams import BUCKETS, STREAMS
from devstack.database import SERVICES_WITH_TABLES, Database
from devstack.nats import RunningNats
from devstack.pytest_plugin import FreshDatabase
from tests.service.devstack.small_children import soon


async def test_the_bus_has_every_stream_of_the_contracts(nats_url: str) -> None:
    client = await nats.connect(nats_url)
    try:
        found = {stream.config.name for stream in await client.jetstream().streams_info()}
    finally:
        await client.close()
    assert found == {stream.name for stream in STREAMS} | {f"KV_{bucket.name}" for bucket in BUCKETS}


async def test_an_outage_of_the_bus_can_be_played_and_keeps_its_address(nats_server: RunningNats) -> None:
    await nats_server.child.halt()
    assert nats_server.child.pid is None
    await nats_server.child.start()
    client = await nats.connect(nats_server.url, allow_reconnect=False)
    await client.close()


async def test_a_killed_bus_comes_back_by_itself(nats_server: RunningNats) -> None:
    before = nats_server.child.pid
    nats_server.child.send(signal.SIGKILL)
    await soon(lambda: nats_server.child.restarts == 1 and nats_server.child.pid not in (before, None))
    await soon(nats_server.child.program.ready)


async def test_two_databases_know_nothing_of_each_other(fresh_database: FreshDatabase) -> None:
    first, second = await fresh_database(), await fresh_database()
    async with await psycopg.AsyncConnection.connect(first.owner_url("quota")) as connection:
        await connection.execute("CREATE TABLE quota.proof (id int)")
    async with await psycopg.AsyncConnection.connect(second.admin_url) as connection:
        found = await (await connection.execute("SELECT to_regclass('quota.proof')")).fetchone()
    assert found == (None,)


@pytest.mark.parametrize("service", SERVICES_WITH_TABLES)
async def test_a_runtime_role_cannot_make_tables_nor_look_into_another_schema(database: Database, service: str) -> None:
    other = next(name for name in SERVICES_WITH_TABLES if name != service)
    async with await psycopg.AsyncConnection.connect(database.owner_url(other)) as connection:
        await connection.execute(f"CREATE TABLE {other}.secret (id int)")
    async with await psycopg.AsyncConnection.connect(database.url(service), autocommit=True) as connection:
        for statement in (
            f"CREATE TABLE {service}.mine (id int)",
            "CREATE TABLE public.mine (id int)",
            f"SELECT * FROM {other}.secret",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement)
