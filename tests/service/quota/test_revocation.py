"""Once a block or a suspension is answered, nothing more is admitted, whatever was under way on any replica."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID, uuid4

import psycopg
import pytest

from devstack.database import Database
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from quota.domain import Ask, Decision, Limits, Terms
from quota.lane import GroupCommit
from tests.service.quota.scene import accounts_of, an_ask, opened, outcomes, replicas, rows

TERMS = Terms(1, "free", {"free": Limits(None, None)})
GATE = 4711

Lane = GroupCommit[Ask, Decision]


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


async def outside(database: Database) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True)


@asynccontextmanager
async def held_up(database: Database, table: str, event: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Whoever changes `table` waits there, with all its locks, until the connection gives `GATE` up."""
    async with await outside(database) as gate:
        body = f"BEGIN PERFORM pg_advisory_xact_lock({GATE}); RETURN NEW; END"
        await gate.execute(f"CREATE FUNCTION quota.wait() RETURNS trigger LANGUAGE plpgsql AS '{body}'".encode())
        trigger = f"CREATE TRIGGER wait BEFORE {event} ON quota.{table} FOR EACH ROW EXECUTE FUNCTION quota.wait()"
        await gate.execute(trigger.encode())
        await gate.execute(f"SELECT pg_advisory_lock({GATE})".encode())
        yield gate


async def waiting(database: Database, kind: str) -> int:
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = '{kind}'"
    return int((await rows(database, query))[0][0])


async def test_asks_that_wait_behind_a_block_are_refused_although_they_began_before_it_was_committed(
    database: Database,
) -> None:
    """Their snapshots do not see the blocked token; only the version of the account can tell them."""
    account_id, token_id, other_id = uuid4(), uuid4(), uuid4()
    async with accounts_of(database) as accounts, replicas(database, TERMS, number=3) as lanes:
        await asyncio.gather(*(lane.submit(an_ask(account_id, token_id=token_id)) for lane in lanes))
        async with held_up(database, "blocked_tokens", "INSERT") as gate:
            blocking = asyncio.create_task(accounts.block_token(token_id, account_id=account_id, default_plan="free"))
            assert await until(lambda: _is(waiting(database, "advisory"), 1), within_seconds=30)
            asked = [
                asyncio.create_task(lane.submit(an_ask(account_id, token_id=token)))
                for lane in lanes
                for token in (token_id, other_id)
            ]
            assert await until(lambda: _is(_waiting_for_rows(database), 3), within_seconds=30)
            await gate.execute(f"SELECT pg_advisory_unlock({GATE})".encode())
            await blocking
            assert outcomes(await asyncio.gather(*asked)) == ["token_blocked", "held"] * 3


async def test_asks_that_wait_behind_a_suspension_are_refused(database: Database) -> None:
    account_id = uuid4()
    async with accounts_of(database) as accounts, replicas(database, TERMS, number=3) as lanes:
        await asyncio.gather(*(lane.submit(an_ask(account_id)) for lane in lanes))
        async with held_up(database, "accounts", "UPDATE OF is_suspended") as gate:
            suspending = asyncio.create_task(
                accounts.suspend(account_id, is_suspended=True, revision=1, default_plan="free")
            )
            assert await until(lambda: _is(waiting(database, "advisory"), 1), within_seconds=30)
            asked = [asyncio.create_task(lane.submit(an_ask(account_id))) for lane in lanes]
            assert await until(lambda: _is(_waiting_for_rows(database), 3), within_seconds=30)
            await gate.execute(f"SELECT pg_advisory_unlock({GATE})".encode())
            assert await suspending == (True, 1)
            assert outcomes(await asyncio.gather(*asked)) == ["account_suspended"] * 3


@pytest.mark.parametrize("is_token", [True, False])
async def test_under_load_nothing_is_committed_after_the_call_returned(database: Database, is_token: bool) -> None:
    """Many rounds; the reservations that are there when the call returns are all that there will ever be."""
    draw = random.Random(3)
    admitted, refusals = 0, 0
    async with accounts_of(database) as accounts, replicas(database, TERMS, number=3, batch_limit=6) as lanes:

        async def revoke(account_id: UUID, token_id: UUID) -> None:
            if is_token:
                await accounts.block_token(token_id, account_id=account_id, default_plan="free")
            else:
                await accounts.suspend(account_id, is_suspended=True, revision=1, default_plan="free")

        async with await outside(database) as watcher:
            for _ in range(25):
                account_id, token_id = uuid4(), uuid4()
                load = [_Load(lanes[n % 3], account_id, token_id) for n in range(36)]
                callers = [asyncio.create_task(each.run()) for each in load]
                assert await until(partial(_has, watcher, account_id, 20), within_seconds=20)
                await asyncio.sleep(draw.uniform(0, 0.01))
                await revoke(account_id, token_id)
                there = await _count(watcher, account_id)
                for each in load:
                    each.is_revoked = True
                await asyncio.gather(*callers)
                assert await _count(watcher, account_id) == there
                assert {outcome for each in load for outcome in each.after} <= {"token_blocked", "account_suspended"}
                admitted += there
                refusals += sum(len(each.after) for each in load)
    assert admitted >= 25 * 20
    assert refusals >= 25 * 36


async def test_a_token_of_an_account_that_nobody_knows_is_blocked_before_its_first_ask(database: Database) -> None:
    account_id, token_id = uuid4(), uuid4()
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await accounts.block_token(token_id, account_id=account_id, default_plan="free")
        decisions = await reservations.reserve([an_ask(account_id, token_id=token_id), an_ask(account_id)], TERMS)
    assert outcomes(decisions) == ["token_blocked", "held"]


async def test_the_newest_revision_of_a_suspension_holds_in_whatever_order_they_come(database: Database) -> None:
    account_id, other_id = uuid4(), uuid4()
    held = an_ask(account_id)
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        suspend: Callable[..., Awaitable[tuple[bool, int]]] = accounts.suspend
        await reservations.reserve([held], TERMS)
        told = [
            await suspend(account_id, is_suspended=is_suspended, revision=revision, default_plan="free")
            for revision, is_suspended in ((2, True), (1, False), (2, False))
        ]
        suspended = await reservations.reserve([held, an_ask(account_id), an_ask(other_id)], TERMS)
        told.append(await suspend(account_id, is_suspended=False, revision=3, default_plan="free"))
        resumed = await reservations.reserve([an_ask(account_id)], TERMS)
    assert told == [(True, 2), (True, 2), (True, 2), (False, 3)]
    assert outcomes(suspended) == ["held", "account_suspended", "held"]
    assert outcomes(resumed) == ["held"]


class _Load:
    """A caller that goes on asking, a little beyond the moment when it is told that the call returned."""

    def __init__(self, lane: Lane, account_id: UUID, token_id: UUID) -> None:
        self._lane = lane
        self._account_id = account_id
        self._token_id = token_id
        self.is_revoked = False
        self.after: list[str] = []

    async def run(self) -> None:
        while not self.is_revoked:
            await self._ask()
        self.after = [await self._ask() for _ in range(2)]

    async def _ask(self) -> str:
        return outcomes([await self._lane.submit(an_ask(self._account_id, token_id=self._token_id))])[0]


async def _is(number: Awaitable[int], expected: int) -> bool:
    return await number == expected


async def _waiting_for_rows(database: Database) -> int:
    return await waiting(database, "transactionid") + await waiting(database, "tuple")


async def _has(connection: psycopg.AsyncConnection, account_id: UUID, number: int) -> bool:
    return await _count(connection, account_id) >= number


async def _count(connection: psycopg.AsyncConnection, account_id: UUID) -> int:
    query = "SELECT count(*) FROM quota.reservations WHERE account_id = %s"
    found = await (await connection.execute(query, [account_id])).fetchone()
    assert found is not None
    return int(found[0])
