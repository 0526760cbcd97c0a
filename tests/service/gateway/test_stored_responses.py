"""Stored responses in the real database: of one owner, until they expire, and erased on command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg

from chassis.database import create_engine
from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from gateway import accounts
from gateway.store import ResponseStore
from tests.service.gateway.gateway_process import Gateway

OWNER, OTHER = UUID(int=1), UUID(int=2)
DAY = timedelta(days=1)


@asynccontextmanager
async def stored(database: Database) -> AsyncIterator[ResponseStore]:
    """With the rights of a running gateway, no more."""
    engine = create_engine(database.url("gateway"))
    try:
        yield ResponseStore(engine)
    finally:
        await engine.dispose()


async def save(store: ResponseStore, owner: UUID = OWNER, *, keep: timedelta = DAY, body: bytes = b"{}") -> UUID:
    response_id = uuid4()
    await store.save(response_id, owner, body=body, input_items=b"[]", keep=keep)
    return response_id


async def test_a_response_is_its_owners_and_is_saved_once(fresh_database: FreshDatabase) -> None:
    async with stored(await fresh_database("gateway")) as store:
        mine = await save(store, body=b'{"a": 1}')
        await store.save(mine, OTHER, body=b"{}", input_items=b"[]", keep=DAY)
        found = await store.find(OWNER, mine)
        assert found is not None
        assert found.body == b'{"a": 1}'
        assert await store.find(OTHER, mine) is None
        assert not await store.delete(OTHER, mine)
        assert await store.delete(OWNER, mine)
        assert not await store.delete(OWNER, mine)
        assert await store.find(OWNER, mine) is None


async def test_what_has_expired_is_not_there_and_is_purged_a_batch_at_a_time(fresh_database: FreshDatabase) -> None:
    async with stored(await fresh_database("gateway")) as store:
        live = await save(store)
        expired = [await save(store, keep=-DAY) for _ in range(5)]
        assert await store.find(OWNER, expired[0]) is None
        assert not await store.delete(OWNER, expired[0])
        assert [await store.purge(limit=3) for _ in range(3)] == [3, 2, 0]
        assert await store.find(OWNER, live) is not None


async def test_the_command_erases_all_of_an_account_and_nothing_of_others(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    async with gateway.store() as accounts_store, stored(gateway.database) as store:
        account = await accounts.open_account(accounts_store, name="acme", plan=None)
        mine = [await save(store, account.account_id) for _ in range(3)]
        theirs = await save(store, OTHER)
        done = await gateway.command("erase-responses", "acme", "--json")
        assert (done.code, done.json) == (0, {"account_id": str(account.account_id), "erased": 3})
        assert [await store.find(account.account_id, response_id) for response_id in mine] == [None] * 3
        assert await store.find(OTHER, theirs) is not None
        unknown = await gateway.command("erase-responses", "nobody")
        assert unknown.code == 1
    async with await psycopg.AsyncConnection.connect(gateway.database.admin_url) as connection:
        left = await (await connection.execute("SELECT count(*) FROM gateway.responses")).fetchone()
    assert left == (1,)
