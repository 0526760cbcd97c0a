"""Everything that changes an account at once: nobody waits in a circle, and the counters are what the rows say."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from chassis.database import create_engine
from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from quota.domain import Ask, Held, Limits, Terms
from quota.store import Grant, Leases
from tests.service.quota.scene import accounts_of, an_ask, opened, replicas, rows, settled

NOW = datetime.now(UTC)
TERMS = Terms(1, "free", {"free": Limits(40, 60, 30, 600), "pro": Limits(200, 400, None, None)})

WINDOWS = """
SELECT w.used, w.reserved, w.drawn, count(*) FILTER (WHERE r.charged), count(*) FILTER (WHERE r.outcome IS NULL),
       count(r.grant_id) FILTER (WHERE r.charged OR r.outcome IS NULL)
FROM quota.windows AS w JOIN quota.reservations AS r
  ON r.account_id = w.account_id AND w.starts_on = CASE w.kind WHEN 'day' THEN r.day ELSE r.month END
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
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


async def test_reservations_folds_renewals_blocks_suspensions_plans_and_grants_never_wait_in_a_circle(
    database: Database,
) -> None:
    draw = random.Random(11)
    ids = [uuid4() for _ in range(9)]
    open_: list[Ask] = []
    sequence = iter(range(1, 1_000_000))
    engine = create_engine(database.url("quota"))
    async with (
        replicas(database, TERMS, number=3, batch_limit=12) as lanes,
        accounts_of(database) as accounts,
        opened(database) as (_, one),
        opened(database) as (_, other),
    ):
        leases = Leases(engine)

        async def reserve(number: int) -> None:
            ask = an_ask(draw.choice(ids))
            if isinstance(await lanes[number % 3].submit(ask), Held):
                open_.append(ask)

        async def settle(number: int) -> None:
            ended = draw.sample(open_, min(len(open_), 12))
            told = [settled(ask, next(sequence), draw.choice(("completed", "empty"))) for ask in ended]
            await (one, other)[number % 2].settle(told)

        async def renew(_: int) -> None:
            keys = [(ask.account_id, ask.request_id) for ask in draw.sample(open_, min(len(open_), 40))]
            await leases.renew("gateway-1", keys, lease_seconds=60)

        async def block(_: int) -> None:
            await accounts.block_token(uuid4(), account_id=draw.choice(ids), default_plan="free")

        async def suspend(number: int) -> None:
            account_id = draw.choice(ids)
            for is_suspended in (True, False):
                await accounts.suspend(
                    account_id, is_suspended=is_suspended, revision=2 * number + (not is_suspended), default_plan="free"
                )

        async def change(number: int) -> None:
            plan = draw.choice(("free", "pro"))
            moment = NOW + timedelta(milliseconds=draw.choice((-1000, 1500)))
            await accounts.change_plan(
                draw.choice(ids), plan, revision=number + 1, effective_at=moment, default_plan="free"
            )

        async def grant(_: int) -> None:
            given = Grant(uuid4(), draw.choice(ids), 3, NOW - timedelta(hours=1), NOW + timedelta(days=1))
            await accounts.grant(given, default_plan="free")

        async def repeat(act: Callable[[int], Awaitable[None]], times: int, *, of: int, first: int) -> None:
            for turn in range(times):
                await act(first + of * turn)

        work = [(reserve, 30, 36), (settle, 20, 2), (renew, 20, 2), (block, 20, 1), (suspend, 10, 1)]
        work += [(change, 12, 2), (grant, 10, 2)]
        async with asyncio.timeout(90):
            await asyncio.gather(
                *(repeat(act, times, of=callers, first=n) for act, times, callers in work for n in range(callers))
            )
    await engine.dispose()
    assert await rows(database, DEADLOCKS) == [(0,)]
    assert len(open_) > 200
    for used, reserved, drawn, charged, still_open, paid in await rows(database, WINDOWS):
        assert (used, reserved, drawn) == (charged, still_open, paid)
    for in_flight, extra, still_open, spare in await rows(database, ACCOUNTS):
        assert (in_flight, extra) == (still_open, spare)
    assert sum(taken for taken, _ in await rows(database, GRANTS)) > 0
    assert all(taken == paid for taken, paid in await rows(database, GRANTS))
