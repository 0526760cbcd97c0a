"""A plan's speed on real Postgres: open prompts at once, and the bucket of requests a minute."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from quota.domain import Decision, Limits, Refusal, Refused, Terms
from quota.domain.speed import bucket_room
from tests.service.quota.scene import an_ask, opened, outcomes, replicas, rows, settled, turn_clock

NOW = datetime(2026, 3, 14, 15, tzinfo=UTC)


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


def terms(*, in_flight: int | None = None, rate: int | None = None, daily: int | None = None) -> Terms:
    return Terms(1, "free", {"free": Limits(daily, None, in_flight, rate)})


def refused(decision: Decision) -> Refused:
    assert isinstance(decision, Refused)
    return decision


async def test_open_prompts_of_an_account_share_its_room_also_inside_one_batch(database: Database) -> None:
    account_id, other_id = uuid4(), uuid4()
    first = an_ask(account_id)
    async with opened(database) as (reservations, store):
        await reservations.reserve([first], terms(in_flight=3))
        asks = [an_ask(account_id) for _ in range(4)] + [an_ask(other_id)]
        decisions = await reservations.reserve(asks, terms(in_flight=3))
        again = await reservations.reserve([first, an_ask(account_id)], terms(in_flight=3))
        await store.settle([settled(first, 1)])
        after = await reservations.reserve([an_ask(account_id) for _ in range(2)], terms(in_flight=3))
    assert outcomes(decisions) == ["held", "held", "too_many_in_flight", "too_many_in_flight", "held"]
    assert (refused(decisions[2]).speed_limit, refused(decisions[2]).retry_after_seconds) == (3, 1.0)
    assert refused(decisions[2]).windows.daily.reserved == 3
    assert outcomes(again) == ["held", "too_many_in_flight"]
    assert outcomes(after) == ["held", "too_many_in_flight"]
    query = "SELECT in_flight FROM quota.accounts ORDER BY in_flight"
    assert await rows(database, query) == [(1,), (3,)]


async def test_a_spent_window_is_named_before_a_speed(database: Database) -> None:
    account_id = uuid4()
    async with opened(database) as (reservations, _):
        decisions = await reservations.reserve(
            [an_ask(account_id) for _ in range(3)], terms(in_flight=2, rate=2, daily=2)
        )
        decisions += await reservations.reserve([an_ask(account_id)], terms(in_flight=1, rate=1, daily=3))
        decisions += await reservations.reserve([an_ask(account_id)], terms(in_flight=9, rate=2, daily=3))
    assert outcomes(decisions) == ["held", "held", "daily_spent", "too_many_in_flight", "too_many_a_minute"]


async def test_a_refusal_for_speed_costs_nothing(database: Database) -> None:
    account_id = uuid4()
    await turn_clock(database, NOW)
    async with opened(database) as (reservations, _):
        await reservations.reserve([an_ask(account_id) for _ in range(9)], terms(in_flight=2, rate=5))
        await reservations.reserve([an_ask(account_id) for _ in range(9)], terms(in_flight=2, rate=5))
        decisions = await reservations.reserve([an_ask(account_id) for _ in range(9)], terms(rate=5))
    assert Counter(outcomes(decisions)) == {"held": 3, "too_many_a_minute": 6}
    assert set(await rows(database, "SELECT reserved FROM quota.windows")) == {(5,)}


async def test_the_bucket_is_full_at_first_refills_evenly_and_says_when_to_come_back(database: Database) -> None:
    account_id = uuid4()
    limits = terms(rate=6)
    await turn_clock(database, NOW)
    async with opened(database) as (reservations, _):
        burst = await reservations.reserve([an_ask(account_id) for _ in range(8)], limits)
        later: list[Decision] = []
        for seconds in (9.999, 10, 10, 25, 30):
            await turn_clock(database, NOW + timedelta(seconds=seconds))
            later += await reservations.reserve([an_ask(account_id)], limits)
        await turn_clock(database, NOW + timedelta(hours=1))
        much_later = await reservations.reserve([an_ask(account_id) for _ in range(9)], limits)
    assert outcomes(burst) == ["held"] * 6 + ["too_many_a_minute"] * 2
    assert (refused(burst[6]).speed_limit, refused(burst[6]).retry_after_seconds) == (6, 10.0)
    assert outcomes(later) == ["too_many_a_minute", "held", "too_many_a_minute", "held", "held"]
    assert refused(later[0]).retry_after_seconds == pytest.approx(0.001)
    assert refused(later[2]).retry_after_seconds == 10.0
    assert outcomes(much_later) == ["held"] * 6 + ["too_many_a_minute"] * 3


@pytest.mark.parametrize("rate", [1, 7, 60, 999, 1300])
async def test_the_statement_counts_the_bucket_as_the_rule_does(database: Database, rate: int) -> None:
    """In portions, at odd moments: what is admitted is what the rule says is there."""
    account_id, now, full_at = uuid4(), NOW, NOW
    refill = timedelta(microseconds=-(-60_000_000 // rate))
    async with opened(database) as (reservations, _):
        for milliseconds, portion in (
            (0, rate // 2 + 1),
            (37, rate),
            (1009, 5),
            (2003, 90),
            (30_011, rate),
            (61_000, rate + 3),
        ):
            now += timedelta(milliseconds=milliseconds)
            await turn_clock(database, now)
            room = bucket_room((full_at - now) // timedelta(microseconds=1), rate)
            decisions = await reservations.reserve([an_ask(account_id) for _ in range(portion)], terms(rate=rate))
            assert outcomes(decisions).count("held") == min(room, portion)
            full_at = max(full_at, now) + min(room, portion) * refill


async def test_with_a_weaker_plan_the_debt_stays_and_nothing_is_negative(database: Database) -> None:
    account_id = uuid4()
    await turn_clock(database, NOW)
    async with opened(database) as (reservations, _):
        await reservations.reserve([an_ask(account_id) for _ in range(60)], terms(in_flight=100, rate=60))
        (in_flight,) = await reservations.reserve([an_ask(account_id)], terms(in_flight=5, rate=60))
        (a_minute,) = await reservations.reserve([an_ask(account_id)], terms(rate=2))
    assert refused(in_flight).reason is Refusal.TOO_MANY_IN_FLIGHT
    assert refused(a_minute).retry_after_seconds == 30.0


async def test_a_plan_without_speed_keeps_no_bucket(database: Database) -> None:
    async with opened(database) as (reservations, _):
        await reservations.reserve([an_ask(uuid4()) for _ in range(9)], terms())
    assert set(await rows(database, "SELECT rate_full_at, in_flight FROM quota.accounts")) == {(None, 1)}


async def test_replicas_and_many_callers_never_have_more_open_than_the_plan_allows(database: Database) -> None:
    """Callers hold a prompt for a moment and settle it; after each commit the open rows are counted from outside."""
    accounts = [uuid4() for _ in range(3)]
    most = 0
    sequence = iter(range(1, 100_000))

    async with opened(database) as (_, store), replicas(database, terms(in_flight=4), number=3) as lanes:

        async def caller(number: int) -> Counter[str]:
            seen: Counter[str] = Counter()
            for turn in range(12):
                ask = an_ask(accounts[(number + turn) % 3])
                (outcome,) = outcomes([await lanes[number % 3].submit(ask)])
                seen[outcome] += 1
                if outcome == "held":
                    await store.settle([settled(ask, next(sequence), "completed" if turn % 2 else "empty")])
            return seen

        async def watcher(callers: "asyncio.Future[list[Counter[str]]]") -> int:
            seen = 0
            query = "SELECT count(*) FROM quota.reservations WHERE outcome IS NULL GROUP BY account_id"
            while not callers.done():
                seen = max([seen, *(number for (number,) in await rows(database, query))])
            return seen

        callers = asyncio.gather(*(caller(n) for n in range(36)))
        most = await watcher(callers)
        total = sum(await callers, Counter())
    assert most == 4
    assert total["held"] > 40
    assert total["too_many_in_flight"] > 40
    assert set(await rows(database, "SELECT in_flight FROM quota.accounts")) == {(0,)}
    assert set(await rows(database, "SELECT reserved FROM quota.windows")) == {(0,)}


async def test_replicas_and_many_callers_take_exactly_what_the_bucket_holds(database: Database) -> None:
    accounts = [uuid4() for _ in range(3)]
    answers: dict[UUID, list[str]] = {account_id: [] for account_id in accounts}
    await turn_clock(database, NOW)
    async with replicas(database, terms(rate=70), number=3) as lanes:

        async def caller(number: int) -> None:
            for turn in range(10):
                account_id = accounts[(number + turn) % 3]
                answers[account_id] += outcomes([await lanes[number % 3].submit(an_ask(account_id))])

        await asyncio.gather(*(caller(n) for n in range(48)))
    assert [given.count("held") for given in answers.values()] == [70, 70, 70]
    assert [given.count("too_many_a_minute") for given in answers.values()] == [90, 90, 90]
