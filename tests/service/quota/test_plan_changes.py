"""Plans with their own effective time: in force at their moment, on every replica, and never before."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID, uuid4

import pytest

from devstack.database import Database
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from quota.store import Accounts
from tests.service.quota.scene import TERMS, accounts_of, an_ask, opened, outcomes, replicas, rows, turn_clock

MOMENT = datetime(2026, 3, 14, 15, tzinfo=UTC)
JUST_BEFORE = MOMENT - timedelta(microseconds=1)
PLANS = "SELECT plan, revision, changes_at FROM quota.accounts"


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    database = await fresh_database("quota")
    await turn_clock(database, MOMENT - timedelta(hours=1))
    return database


async def change(accounts: Accounts, account_id: UUID, plan: str, revision: int, effective_at: datetime) -> None:
    await accounts.change_plan(account_id, plan, revision=revision, effective_at=effective_at, default_plan="free")


async def test_a_plan_is_in_force_from_its_moment_on_and_not_a_microsecond_before(database: Database) -> None:
    account_id = uuid4()
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await change(accounts, account_id, "pro", 1, MOMENT)
        await turn_clock(database, JUST_BEFORE)
        before = await reservations.reserve([an_ask(account_id) for _ in range(6)], TERMS)
        read_before = await accounts.usage(account_id)
        await turn_clock(database, MOMENT)
        read_after = await accounts.usage(account_id)
        after = await reservations.reserve([an_ask(account_id) for _ in range(2)], TERMS)
    assert outcomes(before) == ["held"] * 5 + ["daily_spent"]
    assert {decision.plan for decision in before} == {"free"}
    assert (read_before[0], read_after[0]) == ("free", "pro")
    assert [(outcome, decision.plan) for outcome, decision in zip(outcomes(after), after, strict=True)] == [
        ("held", "pro")
    ] * 2
    assert await rows(database, PLANS) == [("pro", 1, None)]


async def test_the_reservation_itself_finds_that_a_plan_has_begun(database: Database) -> None:
    """Nobody read the usage in between, and others of the same batch are not disturbed."""
    account_id, other_id = uuid4(), uuid4()
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await change(accounts, account_id, "unlimited", 1, MOMENT)
        await turn_clock(database, MOMENT)
        asks = [an_ask(one) for one in (account_id, other_id) for _ in range(7)]
        decisions = await reservations.reserve(asks, TERMS)
    assert outcomes(decisions) == ["held"] * 7 + ["held"] * 5 + ["daily_spent"] * 2
    assert [decision.plan for decision in decisions] == ["unlimited"] * 7 + ["free"] * 7


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_the_newest_revision_among_those_effective_holds_in_whatever_order_they_are_told(
    database: Database, order: tuple[int, ...]
) -> None:
    """The second was meant for later than the third, which overtook it: it never comes into force."""
    account_id = uuid4()
    hour = timedelta(hours=1)
    told = [("pro", 1, MOMENT), ("unlimited", 2, MOMENT + 2 * hour), ("free", 3, MOMENT + hour)]
    seen = []
    async with accounts_of(database) as accounts:
        for index in order:
            await change(accounts, account_id, *told[index])
        for moment in (JUST_BEFORE, MOMENT, MOMENT + hour, MOMENT + 2 * hour, MOMENT + 9 * hour):
            await turn_clock(database, moment)
            plan, _ = await accounts.usage(account_id)
            seen.append(plan)
    assert seen == ["free", "pro", "free", "free", "free"]


async def test_a_change_that_is_told_late_holds_at_once_and_one_that_is_told_twice_once(database: Database) -> None:
    account_id = uuid4()
    async with accounts_of(database) as accounts:
        for _ in range(2):
            await change(accounts, account_id, "pro", 1, MOMENT - timedelta(days=400))
    assert await rows(database, PLANS) == [("pro", 1, None)]
    assert await rows(database, "SELECT count(*) FROM quota.plan_changes") == [(1,)]


async def test_a_plan_from_before_there_were_moments_stays_until_a_newer_revision_is_effective(
    database: Database,
) -> None:
    """The row was made by the release before, which kept no list of changes."""
    account_id = uuid4()
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await reservations.reserve([an_ask(account_id)], TERMS)
        await rows(database, "UPDATE quota.accounts SET plan = 'unlimited', revision = 4 RETURNING 1")
        await change(accounts, account_id, "pro", 3, MOMENT - timedelta(days=1))
        await change(accounts, account_id, "free", 5, MOMENT)
        old = await reservations.reserve([an_ask(account_id)], TERMS)
        await turn_clock(database, MOMENT)
        new = await reservations.reserve([an_ask(account_id)], TERMS)
    assert [decision.plan for decision in old + new] == ["unlimited", "free"]


async def test_under_load_on_three_replicas_every_prompt_is_held_under_the_plan_of_its_moment(
    database: Database,
) -> None:
    """From twenty a day to five in the middle of the load: what was held stays held, and nothing more is admitted."""
    account_id = uuid4()
    plans: Counter[tuple[str, str]] = Counter()
    is_turned = asyncio.Event()
    async with accounts_of(database) as accounts, replicas(database, TERMS, number=3, batch_limit=4) as lanes:
        await change(accounts, account_id, "pro", 1, MOMENT - timedelta(days=1))
        await change(accounts, account_id, "free", 2, MOMENT)

        async def one(number: int) -> None:
            decision = await lanes[number % 3].submit(an_ask(account_id))
            plans[decision.plan, outcomes([decision])[0]] += 1

        async def caller(number: int) -> None:
            while not is_turned.is_set():
                await one(number)
            for _ in range(3):
                await one(number)

        async def is_used() -> bool:
            return plans["pro", "held"] >= 8

        async def clock() -> None:
            assert await until(is_used, within_seconds=20)
            await turn_clock(database, MOMENT)
            is_turned.set()

        await asyncio.gather(clock(), *(caller(n) for n in range(8)))
    under = dict(await rows(database, "SELECT plan, count(*) FROM quota.reservations GROUP BY plan"))
    assert plans["pro", "held"] == under["pro"] >= 8
    assert plans["free", "held"] == under.get("free", 0) == 0
    assert plans["free", "daily_spent"] >= 8 * 3
