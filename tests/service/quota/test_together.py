"""Everything that changes an account at once: nobody waits in a circle, and the counters are what the rows say."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from chassis.database import create_engine
from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from quota.domain import Ask, Decision, Held, Limits, Terms
from quota.lane import GroupCommit
from quota.store import Accounts, Grant, Leases, Store, Turns
from tests.service.quota.scene import a_continuation, accounts_of, an_ask, opened, replicas, rows, settled

NOW = datetime.now(UTC)
TERMS = Terms(1, "free", {"free": Limits(10, 60, 30, 600), "pro": Limits(200, 400, None, None)})

WINDOWS = """
SELECT w.used, w.reserved, w.drawn, count(*) FILTER (WHERE r.charged), count(*) FILTER (WHERE r.outcome IS NULL),
       count(r.grant_id) FILTER (WHERE r.charged OR r.outcome IS NULL)
FROM quota.windows AS w JOIN quota.reservations AS r
  ON r.account_id = w.account_id AND w.starts_on = CASE w.kind WHEN 'day' THEN r.day ELSE r.month END
 AND r.answers IS NULL
GROUP BY w.account_id, w.kind, w.starts_on
"""
ACCOUNTS = """
SELECT a.in_flight, a.extra, (SELECT count(*) FROM quota.reservations AS r
                              WHERE r.account_id = a.account_id AND r.outcome IS NULL),
       (SELECT coalesce(sum(prompts - taken), 0) FROM quota.grants AS g WHERE g.account_id = a.account_id)
FROM quota.accounts AS a
"""
GRANTS = """
SELECT g.taken, (SELECT count(*) FROM quota.reservations AS r
                 WHERE r.grant_id = g.grant_id AND (r.charged OR r.outcome IS NULL))
FROM quota.grants AS g
"""
TURNS = """
SELECT t.calls, t.answered, 1 + count(*), max(r.call),
       coalesce(array_agg(r.answers ORDER BY r.answers)
                FILTER (WHERE r.outcome IS NULL OR r.ended_as = 'completed'), ARRAY[]::int[])
FROM quota.turns AS t JOIN quota.reservations AS r
  ON r.account_id = t.account_id AND r.turn_id = t.turn_id AND r.answers IS NOT NULL
GROUP BY t.account_id, t.turn_id
"""
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


class _Everything:
    """What replicas, gateways, billing and staff do to a few accounts."""

    def __init__(
        self,
        lanes: Sequence[GroupCommit[Ask, Decision]],
        stores: Sequence[Store],
        accounts: Accounts,
        leases: Leases,
        turns: Turns,
    ) -> None:
        self._lanes = lanes
        self._stores = stores
        self._accounts = accounts
        self._leases = leases
        self._turns = turns
        self._draw = random.Random(11)
        self._ids = [uuid4() for _ in range(9)]
        self._sequence = iter(range(1, 1_000_000))
        self.held: list[Ask] = []
        self.rides: list[Ask] = []

    async def reserve(self, number: int) -> None:
        ask = an_ask(self._draw.choice(self._ids))
        if isinstance(await self._lanes[number % 3].submit(ask), Held):
            self.held.append(ask)

    async def carry_on(self, number: int) -> None:
        if not self.held:
            await self.reserve(number)
            return
        ask = a_continuation(self._draw.choice(self.held), self._draw.choice((1, 1, 2, 3)))
        decision = await self._lanes[number % 3].submit(ask)
        if isinstance(decision, Held):
            (self.rides if decision.is_continuation else self.held).append(ask)

    async def settle(self, number: int) -> None:
        outcomes = ("completed", "empty")
        told = [settled(ask, next(self._sequence), self._draw.choice(outcomes)) for ask in self._some(12)]
        rides = self._draw.sample(self.rides, min(len(self.rides), 6))
        told += [
            settled(ask, next(self._sequence), "continuation", ended_as=self._draw.choice(outcomes)) for ask in rides
        ]
        await self._stores[number % 2].settle(told)

    async def forget(self, _: int) -> None:
        await self._turns.forget(limit=100)

    async def renew(self, _: int) -> None:
        keys = [(ask.account_id, ask.request_id) for ask in self._some(40) + self.rides[-40:]]
        await self._leases.renew("gateway-1", keys, lease_seconds=60)

    async def block(self, _: int) -> None:
        await self._accounts.block_token(uuid4(), account_id=self._draw.choice(self._ids), default_plan="free")

    async def suspend(self, number: int) -> None:
        account_id = self._draw.choice(self._ids)
        for is_suspended in (True, False):
            revision = 2 * number + (not is_suspended)
            await self._accounts.suspend(account_id, is_suspended=is_suspended, revision=revision, default_plan="free")

    async def change_plan(self, number: int) -> None:
        account_id, plan = self._draw.choice(self._ids), self._draw.choice(("free", "pro"))
        moment = NOW + timedelta(milliseconds=self._draw.choice((-1000, 1500)))
        await self._accounts.change_plan(
            account_id, plan, revision=number + 1, effective_at=moment, default_plan="free"
        )

    async def grant(self, _: int) -> None:
        account_id = self._draw.choice(self._ids)
        given = Grant(uuid4(), account_id, 3, NOW - timedelta(hours=1), NOW + timedelta(days=1))
        await self._accounts.grant(given, default_plan="free")

    def _some(self, number: int) -> list[Ask]:
        return self._draw.sample(self.held, min(len(self.held), number))


async def _repeat(act: Callable[[int], Awaitable[None]], times: int, *, of: int, first: int) -> None:
    for turn in range(times):
        await act(first + of * turn)


async def test_reservations_turns_folds_renewals_blocks_suspensions_plans_and_grants_never_wait_in_a_circle(
    database: Database,
) -> None:
    engine = create_engine(database.url("quota"))
    async with (
        replicas(database, TERMS, number=3, batch_limit=12) as lanes,
        accounts_of(database) as accounts,
        opened(database) as (_, one),
        opened(database) as (_, other),
    ):
        every = _Everything(lanes, (one, other), accounts, Leases(engine), Turns(engine))
        work = [(every.reserve, 30, 36), (every.settle, 20, 2), (every.renew, 20, 2), (every.block, 20, 1)]
        work += [(every.carry_on, 30, 24), (every.forget, 20, 1)]
        work += [(every.suspend, 10, 1), (every.change_plan, 12, 2), (every.grant, 10, 2)]
        async with asyncio.timeout(90):
            await asyncio.gather(
                *(_repeat(act, times, of=callers, first=n) for act, times, callers in work for n in range(callers))
            )
    await engine.dispose()
    assert await rows(database, DEADLOCKS) == [(0,)]
    assert len(every.held) > 200
    for used, reserved, drawn, charged, still_open, paid in await rows(database, WINDOWS):
        assert (used, reserved, drawn) == (charged, still_open, paid)
    for in_flight, extra, still_open, spare in await rows(database, ACCOUNTS):
        assert (in_flight, extra) == (still_open, spare)
    turns = await rows(database, TURNS)
    assert len(turns) > 50
    for known, answered, counted, newest, standing in turns:
        assert (known, newest, sorted(answered)) == (counted, counted, standing)
    assert sum(taken for taken, _ in await rows(database, GRANTS)) > 0
    assert all(taken == paid for taken, paid in await rows(database, GRANTS))
