"""Extra prompts: drawn when a window of the plan is spent, each exactly once, given back to where they came from."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from quota.domain import Ask, Counts, Decision, Held, Limits, Terms, allowance
from quota.store import Accounts, Grant
from tests.service.quota.scene import TERMS, accounts_of, an_ask, opened, outcomes, replicas, rows, settled, turn_clock

NOW = datetime(2026, 3, 14, 15, tzinfo=UTC)
SOON, TOMORROW, LATER = NOW + timedelta(hours=1), NOW + timedelta(days=1), NOW + timedelta(days=30)
TAKEN = "SELECT prompts, taken FROM quota.grants ORDER BY ends_at"
WINDOWS = "SELECT kind, starts_on, used, reserved, drawn FROM quota.windows ORDER BY kind, starts_on"
EXTRA = "SELECT extra FROM quota.accounts"


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    database = await fresh_database("quota")
    await turn_clock(database, NOW)
    return database


async def grant(
    accounts: Accounts,
    account_id: UUID,
    prompts: int,
    *,
    starts_at: datetime = NOW,
    ends_at: datetime = LATER,
    grant_id: UUID | None = None,
) -> None:
    await accounts.grant(Grant(grant_id or uuid4(), account_id, prompts, starts_at, ends_at), default_plan="free")


def asks(account_id: UUID, number: int) -> list[Ask]:
    return [an_ask(account_id) for _ in range(number)]


def books_balance(decisions: Sequence[Decision], *, daily: int, monthly: int) -> bool:
    """Of each answer: used and remaining are the limit that is told, in both windows."""
    told = [(each.windows.daily, daily, each.windows.extra) for each in decisions]
    told += [(each.windows.monthly, monthly, each.windows.extra) for each in decisions]
    windows = [(counts, allowance(counts, limit, extra=extra)) for counts, limit, extra in told]
    return all(counts.taken + (window.remaining or 0) == window.limit for counts, window in windows)


async def test_extra_prompts_come_after_the_plan_is_spent_and_count_in_both_windows(database: Database) -> None:
    account_id = uuid4()
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await grant(accounts, account_id, 3)
        decisions = await reservations.reserve(asks(account_id, 9), TERMS)
        _, usage = await accounts.usage(account_id)
    assert outcomes(decisions) == ["held"] * 8 + ["daily_spent"]
    assert [decision.windows.extra for decision in decisions] == [3, 3, 3, 3, 3, 2, 1, 0, 0]
    assert [decision.windows.daily.drawn for decision in decisions] == [0, 0, 0, 0, 0, 1, 2, 3, 3]
    assert books_balance(decisions, daily=5, monthly=8)
    assert (usage.daily, usage.monthly, usage.extra) == (Counts(0, 8, 3), Counts(0, 8, 3), 0)
    assert await rows(database, TAKEN) == [(3, 3)]
    assert await rows(database, "SELECT count(*) FROM quota.reservations WHERE grant_id IS NOT NULL") == [(3,)]


async def test_what_was_drawn_leaves_the_plans_own_month_alone(database: Database) -> None:
    account_id = uuid4()
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await grant(accounts, account_id, 2, ends_at=SOON)
        today = await reservations.reserve(asks(account_id, 8), TERMS)
        await turn_clock(database, TOMORROW)
        tomorrow = await reservations.reserve(asks(account_id, 8), TERMS)
    assert outcomes(today) == ["held"] * 7 + ["daily_spent"]
    assert outcomes(tomorrow) == ["held"] * 3 + ["monthly_spent"] * 5
    assert await rows(database, WINDOWS) == [
        ("day", date(2026, 3, 14), 0, 7, 2),
        ("day", date(2026, 3, 15), 0, 3, 0),
        ("month", date(2026, 3, 1), 0, 10, 2),
    ]


async def test_when_the_month_is_spent_the_extra_prompts_go_on(database: Database) -> None:
    account_id = uuid4()
    terms = Terms(1, "free", {"free": Limits(100, 2)})
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await grant(accounts, account_id, 2)
        decisions = await reservations.reserve(asks(account_id, 5), terms)
    assert outcomes(decisions) == ["held"] * 4 + ["monthly_spent"]
    assert books_balance(decisions, daily=100, monthly=2)


async def test_those_that_end_first_are_drawn_first(database: Database) -> None:
    account_id = uuid4()
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        for prompts, ends_at in ((4, LATER), (2, SOON), (3, TOMORROW)):
            await grant(accounts, account_id, prompts, ends_at=ends_at)
        await reservations.reserve(asks(account_id, 5 + 4), TERMS)
        assert await rows(database, TAKEN) == [(2, 2), (3, 2), (4, 0)]
        decisions = await reservations.reserve(asks(account_id, 6), TERMS)
    assert outcomes(decisions) == ["held"] * 5 + ["daily_spent"]
    assert await rows(database, TAKEN) == [(2, 2), (3, 3), (4, 4)]


async def test_a_grant_counts_from_its_first_moment_until_before_its_last(database: Database) -> None:
    account_id = uuid4()
    seen = []
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await reservations.reserve(asks(account_id, 5), TERMS)
        await grant(accounts, account_id, 9, starts_at=SOON, ends_at=SOON + timedelta(hours=1))
        microsecond = timedelta(microseconds=1)
        for moment in (SOON - microsecond, SOON, SOON + timedelta(hours=1) - microsecond, SOON + timedelta(hours=1)):
            await turn_clock(database, moment)
            _, usage = await accounts.usage(account_id)
            seen.append((usage.extra, *outcomes(await reservations.reserve(asks(account_id, 1), TERMS))))
    assert seen == [(0, "daily_spent"), (9, "held"), (8, "held"), (0, "daily_spent")]
    assert await rows(database, TAKEN) == [(9, 2)]


async def test_the_same_grant_told_again_is_one_grant(database: Database) -> None:
    account_id, grant_id = uuid4(), uuid4()
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await grant(accounts, account_id, 2, grant_id=grant_id)
        await reservations.reserve(asks(account_id, 6), TERMS)
        await asyncio.gather(*(grant(accounts, account_id, 2, grant_id=grant_id) for _ in range(3)))
        decisions = await reservations.reserve(asks(account_id, 3), TERMS)
    assert outcomes(decisions) == ["held", "daily_spent", "daily_spent"]
    assert await rows(database, TAKEN) == [(2, 2)]


async def test_a_drawn_prompt_is_answered_as_before_when_it_is_asked_for_again(database: Database) -> None:
    account_id = uuid4()
    held = asks(account_id, 7)
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await grant(accounts, account_id, 2, ends_at=TOMORROW)
        await reservations.reserve(held, TERMS)
        again = await reservations.reserve(held + asks(account_id, 1), TERMS)
        await turn_clock(database, LATER)
        much_later = await reservations.reserve(held, TERMS)
    assert outcomes(again) == ["held"] * 7 + ["daily_spent"]
    assert outcomes(much_later) == ["held"] * 7
    assert await rows(database, TAKEN) == [(2, 2)]
    assert await rows(database, "SELECT in_flight FROM quota.accounts") == [(7,)]


async def test_what_is_not_charged_goes_back_to_its_grant(database: Database) -> None:
    account_id = uuid4()
    held = asks(account_id, 8)
    async with accounts_of(database) as accounts, opened(database) as (reservations, store):
        await grant(accounts, account_id, 3)
        await reservations.reserve(held, TERMS)
        await store.settle([settled(held[5], 1), settled(held[6], 2, "upstream_broken"), settled(held[0], 3)])
        assert await rows(database, TAKEN) == [(3, 2)]
        assert await rows(database, EXTRA) == [(1,)]
        decisions = await reservations.reserve(asks(account_id, 2), TERMS)
    assert outcomes(decisions) == ["held", "daily_spent"]
    assert books_balance(decisions, daily=5, monthly=8)
    assert await rows(database, TAKEN) == [(3, 3)]


async def test_what_goes_back_to_a_grant_that_is_over_is_gone(database: Database) -> None:
    account_id = uuid4()
    held = asks(account_id, 6)
    async with accounts_of(database) as accounts, opened(database) as (reservations, store):
        await grant(accounts, account_id, 1, ends_at=SOON)
        await reservations.reserve(held, TERMS)
        await turn_clock(database, SOON)
        await store.settle([settled(held[5], 1, "empty")])
        decisions = await reservations.reserve(asks(account_id, 1), TERMS)
    assert outcomes(decisions) == ["daily_spent"]
    assert await rows(database, TAKEN) == [(1, 0)]


async def test_a_prompt_drawn_before_midnight_is_settled_in_the_windows_it_was_held_in(database: Database) -> None:
    account_id = uuid4()
    held = asks(account_id, 6)
    midnight = datetime(2026, 4, 1, tzinfo=UTC)
    await turn_clock(database, midnight - timedelta(seconds=1))
    async with accounts_of(database) as accounts, opened(database) as (reservations, store):
        await grant(accounts, account_id, 1)
        await reservations.reserve(held, TERMS)
        await turn_clock(database, midnight)
        await reservations.reserve(asks(account_id, 2), TERMS)
        await store.settle([settled(held[0], 1), settled(held[1], 2, "empty"), settled(held[5], 3)])
    assert await rows(database, WINDOWS) == [
        ("day", date(2026, 3, 31), 2, 3, 1),
        ("day", date(2026, 4, 1), 0, 2, 0),
        ("month", date(2026, 3, 1), 2, 3, 1),
        ("month", date(2026, 4, 1), 0, 2, 0),
    ]
    assert await rows(database, "SELECT in_flight FROM quota.accounts") == [(5,)]


async def test_under_a_weaker_plan_nothing_is_negative_and_extra_prompts_are_still_there(database: Database) -> None:
    account_id = uuid4()
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await accounts.change_plan(account_id, "pro", revision=1, effective_at=NOW, default_plan="free")
        await reservations.reserve(asks(account_id, 15), TERMS)
        await accounts.change_plan(account_id, "free", revision=2, effective_at=NOW, default_plan="free")
        await grant(accounts, account_id, 2)
        decisions = await reservations.reserve(asks(account_id, 3), TERMS)
        await accounts.change_plan(account_id, "pro", revision=3, effective_at=NOW, default_plan="free")
        stronger = await reservations.reserve(asks(account_id, 6), TERMS)
    assert outcomes(decisions) == ["held", "held", "daily_spent"]
    assert [decision.windows.daily for decision in decisions] == [Counts(0, 16, 1), Counts(0, 17, 2), Counts(0, 17, 2)]
    assert decisions[0].windows.daily.room(5) == 0
    assert outcomes(stronger) == ["held"] * 5 + ["daily_spent"]


async def test_an_unlimited_plan_draws_nothing(database: Database) -> None:
    account_id = uuid4()
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await accounts.change_plan(account_id, "unlimited", revision=1, effective_at=NOW, default_plan="free")
        await grant(accounts, account_id, 2)
        decisions = await reservations.reserve(asks(account_id, 50), TERMS)
    assert set(outcomes(decisions)) == {"held"}
    assert await rows(database, TAKEN) == [(2, 0)]


async def test_accounts_of_one_batch_draw_each_from_their_own(database: Database) -> None:
    one, two, none = uuid4(), uuid4(), uuid4()
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await accounts.change_plan(two, "pro", revision=1, effective_at=NOW, default_plan="free")
        await grant(accounts, one, 2)
        await grant(accounts, two, 1)
        mixed = [an_ask(account_id) for _ in range(23) for account_id in (one, two, none)]
        decisions = await reservations.reserve(mixed, TERMS)
    held = Counter(ask.account_id for ask, each in zip(mixed, decisions, strict=True) if isinstance(each, Held))
    assert held == {one: 7, two: 21, none: 5}


async def test_speed_binds_extra_prompts_too(database: Database) -> None:
    account_id = uuid4()
    terms = Terms(1, "free", {"free": Limits(2, None, 4, 3)})
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await grant(accounts, account_id, 9)
        held = asks(account_id, 6)
        decisions = await reservations.reserve(held, terms)
        await turn_clock(database, SOON)
        more = await reservations.reserve(asks(account_id, 3), terms)
    assert outcomes(decisions) == ["held"] * 3 + ["too_many_a_minute"] * 3
    assert outcomes(more) == ["held", "too_many_in_flight", "too_many_in_flight"]
    assert await rows(database, TAKEN) == [(9, 2)]


async def test_a_sum_that_promises_more_than_the_grants_hold_is_made_again(database: Database) -> None:
    account_id = uuid4()
    async with accounts_of(database) as accounts, opened(database) as (reservations, _):
        await grant(accounts, account_id, 1)
        await rows(database, "UPDATE quota.accounts SET extra = 5 RETURNING 1")
        decisions = await reservations.reserve(asks(account_id, 8), TERMS)
    assert outcomes(decisions) == ["held"] * 6 + ["daily_spent"] * 2
    assert await rows(database, EXTRA) == [(0,)]


async def test_on_three_replicas_each_extra_prompt_is_drawn_exactly_once(database: Database) -> None:
    """Grants arrive, prompts end free of charge, and callers repeat themselves, all at once."""
    accounts_ids = [uuid4() for _ in range(3)]
    held: dict[UUID, list[Ask]] = {account_id: [] for account_id in accounts_ids}
    sequence = iter(range(1, 100_000))
    async with (
        accounts_of(database) as accounts,
        opened(database) as (_, store),
        replicas(database, TERMS, number=3, batch_limit=5) as lanes,
    ):

        async def caller(number: int) -> None:
            for turn in range(10):
                ask = an_ask(accounts_ids[(number + turn) % 3])
                first = await lanes[number % 3].submit(ask)
                again = await lanes[(number + 1) % 3].submit(ask) if turn % 4 == 0 else first
                if isinstance(first, Held):
                    assert isinstance(again, Held)
                    if turn % 3 == 0:
                        await store.settle([settled(ask, next(sequence), "empty")])
                    else:
                        held[ask.account_id].append(ask)
                elif isinstance(again, Held):
                    held[ask.account_id].append(ask)

        async def giver(account_id: UUID) -> None:
            for number in range(6):
                await grant(accounts, account_id, number + 1, ends_at=LATER - timedelta(days=number))
                await asyncio.sleep(0.02)

        async with asyncio.timeout(40):
            await asyncio.gather(*(giver(account_id) for account_id in accounts_ids), *(caller(n) for n in range(45)))
            for lane, account_id in zip(lanes, accounts_ids, strict=True):
                for _ in range(40):
                    decision = await lane.submit(ask := an_ask(account_id))
                    held[account_id] += [ask] if isinstance(decision, Held) else []
    assert [len(each) for each in held.values()] == [5 + 21] * 3
    assert set(await rows(database, "SELECT used + reserved, drawn FROM quota.windows")) == {(26, 21)}
    assert set(await rows(database, "SELECT sum(prompts), sum(taken) FROM quota.grants GROUP BY account_id")) == {
        (21, 21)
    }
    drawn = "SELECT count(*) FROM quota.reservations WHERE grant_id IS NOT NULL AND outcome IS NULL"
    assert await rows(database, drawn) == [(63,)]
    assert set(await rows(database, "SELECT extra, in_flight FROM quota.accounts")) == {(0, 26)}
