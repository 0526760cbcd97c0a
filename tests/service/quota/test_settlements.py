"""The fold of the stream of settlements into windows, on real Postgres: the first in the stream wins."""

import asyncio
from itertools import permutations
from uuid import UUID, uuid4

import pytest

from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from quota.domain import Ask, Held, Limits, Settlement, Terms
from tests.service.quota.scene import TERMS, an_ask, opened, rows

WINDOWS = "SELECT DISTINCT used, reserved FROM quota.windows"
CONFLICTS = "SELECT request_id, sequence, outcome, reason FROM quota.settlement_conflicts ORDER BY sequence"


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


def settled(ask: Ask, sequence: int, outcome: str = "completed") -> Settlement:
    return Settlement(ask.account_id, ask.request_id, sequence, outcome, outcome == "completed")


async def test_a_charged_prompt_is_used_and_another_is_given_back(database: Database) -> None:
    account_id = uuid4()
    kept, given_back, still_open = (an_ask(account_id) for _ in range(3))
    async with opened(database) as (reservations, store):
        await reservations.reserve([kept, given_back, still_open], TERMS)
        await store.settle([settled(kept, 1), settled(given_back, 2, "empty")])
    assert await rows(database, WINDOWS) == [(1, 1)]
    query = "SELECT outcome, charged, settled_sequence FROM quota.reservations ORDER BY settled_sequence"
    assert await rows(database, query) == [("completed", True, 1), ("empty", False, 2), (None, None, None)]


async def test_what_was_given_back_can_be_held_again_and_what_was_used_cannot(database: Database) -> None:
    account_id = uuid4()
    asks = [an_ask(account_id) for _ in range(5)]
    async with opened(database) as (reservations, store):
        await reservations.reserve(asks, TERMS)
        await store.settle([settled(ask, n, "completed" if n % 2 else "upstream_broken") for n, ask in enumerate(asks)])
        decisions = await reservations.reserve([an_ask(account_id) for _ in range(4)], TERMS)
    assert [isinstance(decision, Held) for decision in decisions] == [True, True, True, False]
    assert await rows(database, WINDOWS) == [(2, 3)]


async def test_a_held_prompt_stays_held_for_its_caller_after_it_was_settled(database: Database) -> None:
    ask = an_ask(uuid4())
    async with opened(database) as (reservations, store):
        await reservations.reserve([ask], TERMS)
        await store.settle([settled(ask, 1, "empty")])
        (again,) = await reservations.reserve([ask], TERMS)
    assert isinstance(again, Held)
    assert await rows(database, WINDOWS) == [(0, 0)]


@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_the_end_is_the_same_for_every_order_in_which_settlements_are_processed(
    database: Database, is_one_batch: bool
) -> None:
    """Three settlements of one request and one of another, the first redelivered: 60 orders, an account each."""
    outcomes = {1: "client_gone_early", 2: "completed", 3: "empty"}
    orders = sorted(set(permutations([1, 2, 3, 1, 9])))
    expected = []
    async with opened(database) as (reservations, store):
        for order in orders:
            ask, other = an_ask(account_id := uuid4()), an_ask(account_id)
            await reservations.reserve([ask, other], TERMS)
            told = [settled(other, 9) if n == 9 else settled(ask, n, outcomes[n]) for n in order]
            for batch in [told] if is_one_batch else [[one] for one in told]:
                await store.settle(batch)
            expected += [(ask.request_id, 2, "completed", "later"), (ask.request_id, 3, "empty", "later")]
    assert len(orders) == 60
    assert await rows(database, WINDOWS) == [(1, 0)]
    assert sorted(await rows(database, CONFLICTS)) == sorted(expected)
    winners = "SELECT DISTINCT settled_sequence, outcome FROM quota.reservations ORDER BY 1"
    assert await rows(database, winners) == [(1, "client_gone_early"), (9, "completed")]


async def test_a_settlement_that_nobody_reserved_is_kept_and_invents_no_usage(database: Database) -> None:
    ask, stray = an_ask(uuid4()), an_ask(uuid4())
    async with opened(database) as (reservations, store):
        await reservations.reserve([ask], TERMS)
        await store.settle([settled(stray, 4), settled(ask, 5)])
        await store.settle([settled(stray, 4)])
    assert await rows(database, WINDOWS) == [(1, 0)]
    assert await rows(database, CONFLICTS) == [(stray.request_id, 4, "completed", "no_reservation")]


async def test_settlements_and_reservations_at_once_never_wait_in_a_circle_and_add_up(database: Database) -> None:
    """Two replicas fold the same stream in different batches while two others reserve."""
    accounts = sorted(uuid4() for _ in range(12))
    terms = Terms(1, "free", {"free": Limits(1000, 1000)})
    first = [an_ask(account_id) for account_id in accounts for _ in range(10)]
    told = [settled(ask, n, "completed" if n % 3 else "empty") for n, ask in enumerate(first)]

    def mixed(values: list[UUID], step: int) -> list[Ask]:
        return [an_ask(values[(n * step) % len(values)]) for n in range(24)]

    async with opened(database) as (one, store), opened(database) as (two, other):
        await one.reserve(first, terms)
        folds = [store.settle(told[n : n + 15]) for n in range(0, 120, 15)]
        folds += [other.settle(told[::-1][n : n + 20]) for n in range(0, 120, 20)]

        async def reserving(step: int) -> None:
            for _ in range(5):
                await (one if step == 5 else two).reserve(mixed(accounts, step), terms)

        async with asyncio.timeout(30):
            await asyncio.gather(*folds, reserving(5), reserving(7))
    used, reserved = (await rows(database, "SELECT sum(used), sum(reserved) FROM quota.windows WHERE kind = 'day'"))[0]
    assert used == sum(settlement.is_charged for settlement in told)
    assert reserved == 240
    assert await rows(database, CONFLICTS) == []
