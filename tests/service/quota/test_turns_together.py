"""Agent turns on several replicas at once: every call is made once, and none beyond the cap."""

import asyncio
import random
from collections import Counter
from uuid import uuid4

import psycopg
import pytest

from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from quota.domain import Ask
from tests.service.quota.scene import a_continuation, an_ask, opened, replicas, rows, settled
from tests.service.quota.turns import IN_FLIGHT, TURNS, WINDOWS, calls, continued, terms


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


async def test_replicas_that_continue_one_turn_never_share_a_call_and_never_pass_the_cap(database: Database) -> None:
    """Callers answer any call that there is, some of them twice at once, and half of what rides fails."""
    opener = an_ask(uuid4())
    limits = terms(daily=None, calls=15)
    draw = random.Random(5)
    sequence = iter(range(1, 100_000))
    async with opened(database) as (_, store), replicas(database, limits, number=4, batch_limit=8) as lanes:
        await lanes[0].submit(opener)
        known = [1]
        seen: Counter[int] = Counter()

        async def caller(number: int) -> None:
            for turn in range(8):
                ask = a_continuation(opener, draw.choice(known))
                twice = await asyncio.gather(lanes[number % 4].submit(ask), lanes[(number + turn) % 4].submit(ask))
                (call,) = set(calls(twice))
                assert isinstance(call, int)
                seen[call] += 1
                if call > 1:
                    known.append(call)
                    await store.settle([continued(ask, next(sequence), draw.choice(["completed", "empty"]))])
                else:
                    await store.settle([settled(ask, next(sequence))])

        async with asyncio.timeout(60):
            await asyncio.gather(*(caller(n) for n in range(16)))
    assert seen.keys() == set(range(1, 16))
    assert {number for call, number in seen.items() if call > 1} == {1}
    assert seen[1] == 16 * 8 - 14
    made = "SELECT call FROM quota.reservations WHERE answers IS NOT NULL ORDER BY call"
    assert await rows(database, made) == [(call,) for call in range(2, 16)]
    twice_delivered = """
        SELECT answers FROM quota.reservations WHERE ended_as = 'completed' GROUP BY answers HAVING count(*) > 1"""
    assert await rows(database, twice_delivered) == []
    delivered = await rows(database, "SELECT answers FROM quota.reservations WHERE ended_as = 'completed' ORDER BY 1")
    ((made_calls, answered),) = await rows(database, TURNS)
    assert (made_calls, sorted(answered)) == (15, [answers for (answers,) in delivered]), "in whatever order they ended"
    assert await rows(database, WINDOWS) == [(16 * 8 - 14, 1, 0)]
    assert await rows(database, IN_FLIGHT) == [(1,)]


async def test_replicas_that_continue_many_turns_for_the_first_time_at_once_make_each_of_them_once(
    database: Database,
) -> None:
    openers = [an_ask(uuid4()) for _ in range(30)]
    async with replicas(database, terms(), number=4, batch_limit=8) as lanes:
        await asyncio.gather(*(lanes[0].submit(opener) for opener in openers))
        asks = [a_continuation(opener) for opener in openers for _ in range(4)]
        decisions = await asyncio.gather(*(lanes[n % 4].submit(ask) for n, ask in enumerate(asks)))
    found = [calls(decisions[n : n + 4]) for n in range(0, len(asks), 4)]
    assert [sorted(map(str, each)) for each in found] == [["1", "1", "1", "2"]] * 30
    assert await rows(database, f"SELECT DISTINCT calls, answered FROM ({TURNS}) AS t") == [(2, [1])]


async def test_a_killed_backend_loses_no_continuation_and_invents_none(database: Database) -> None:
    openers = [an_ask(uuid4()) for _ in range(8)]
    limits = terms(calls=31)
    found: list[list[int | str]] = []
    async with opened(database), replicas(database, limits, number=2) as lanes:
        await asyncio.gather(*(lanes[0].submit(opener) for opener in openers))

        async def agent(opener: Ask) -> None:
            mine = [await lanes[call % 2].submit(a_continuation(opener, call)) for call in range(1, 32)]
            found.append(calls(mine))

        async def killer() -> None:
            async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as connection:
                for _ in range(8):
                    await asyncio.sleep(0.03)
                    await connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE usename = 'quota' AND datname = current_database()"
                    )

        await asyncio.gather(killer(), *map(agent, openers))
    assert found == [[*range(2, 32), 1]] * 8
    assert set(await rows(database, "SELECT reserved FROM quota.windows")) == {(2,)}
