"""Reservations on real Postgres: exact, once per request id, in the right windows."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import psycopg
import pytest

from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from quota.domain import Ask, Counts, Decision, Held, Limits, Refusal, Refused, Terms
from quota.lane import GroupCommit
from quota.store import Accounts, Reservations
from tests.service.quota.scene import TERMS, accounts_of, an_ask, opened, rows, turn_clock

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
WINDOWS = "SELECT kind, starts_on, used, reserved FROM quota.windows ORDER BY kind, starts_on"


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


async def reserve(reservations: Reservations, *asks: Ask, terms: Terms = TERMS) -> list[Decision]:
    return await reservations.reserve(asks, terms)


async def change_plan(accounts: Accounts, account_id: UUID, plan: str, *, revision: int) -> None:
    await accounts.change_plan(account_id, plan, revision=revision, effective_at=LONG_AGO, default_plan="free")


def outcomes(decisions: Sequence[Decision]) -> list[str]:
    return ["held" if isinstance(decision, Held) else decision.reason.value for decision in decisions]


async def test_the_last_prompt_is_held_and_the_next_refused(database: Database) -> None:
    account_id = uuid4()
    async with opened(database) as (reservations, _):
        for _ in range(4):
            await reserve(reservations, an_ask(account_id))
        (last,) = await reserve(reservations, an_ask(account_id))
        (refused,) = await reserve(reservations, an_ask(account_id))
    assert isinstance(last, Held)
    assert last.windows.daily == Counts(used=0, reserved=5)
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.DAILY_SPENT
    assert (refused.windows.daily, refused.windows.monthly) == (Counts(0, 5), Counts(0, 5))


async def test_one_batch_holds_what_is_left_and_refuses_the_rest_in_order(database: Database) -> None:
    account_id, other_id = uuid4(), uuid4()
    asks = [an_ask(account_id) for _ in range(7)] + [an_ask(other_id)]
    async with opened(database) as (reservations, _):
        decisions = await reserve(reservations, *asks)
    assert outcomes(decisions) == ["held"] * 5 + ["daily_spent"] * 2 + ["held"]
    assert [decision.windows.daily.reserved for decision in decisions] == [1, 2, 3, 4, 5, 5, 5, 1]


async def test_a_replay_is_answered_as_before_also_when_the_allowance_is_spent(database: Database) -> None:
    account_id = uuid4()
    asks = [an_ask(account_id) for _ in range(5)]
    async with opened(database) as (reservations, _):
        before = await reserve(reservations, *asks)
        again = await reserve(reservations, an_ask(account_id), *asks)
    assert outcomes(again) == ["daily_spent"] + ["held"] * 5
    for old, new in zip(before, again[1:], strict=True):
        assert isinstance(old, Held)
        assert isinstance(new, Held)
        assert (new.turn_id, new.call, new.plan, new.plans_version) == (old.turn_id, 1, "free", 7)
        assert new.is_replay
    assert await rows(database, "SELECT count(*) FROM quota.reservations") == [(5,)]


async def test_a_refused_request_id_is_decided_anew(database: Database) -> None:
    ask = an_ask(uuid4())
    spent = Terms(1, "free", {"free": Limits(0, 0)})
    async with opened(database) as (reservations, _):
        assert outcomes(await reserve(reservations, ask, terms=spent)) == ["daily_spent"]
        assert outcomes(await reserve(reservations, ask)) == ["held"]


async def test_the_same_request_id_twice_in_one_batch_takes_one_prompt(database: Database) -> None:
    ask = an_ask(uuid4())
    async with opened(database) as (reservations, _):
        first, second = await reserve(reservations, ask, replace(ask, gateway="gateway-2"))
    assert first == second
    assert await rows(database, "SELECT gateway FROM quota.reservations") == [("gateway-1",)]


async def test_the_same_request_id_of_two_accounts_is_two_requests(database: Database) -> None:
    request_id = uuid4()
    async with opened(database) as (reservations, _):
        decisions = await reserve(
            reservations, an_ask(uuid4(), request_id=request_id), an_ask(uuid4(), request_id=request_id)
        )
    assert [isinstance(decision, Held) and decision.is_replay for decision in decisions] == [False, False]


async def test_at_midnight_a_new_day_begins_and_the_month_goes_on(database: Database) -> None:
    account_id = uuid4()
    await turn_clock(database, datetime(2026, 3, 14, 23, 59, 59, 999_000, tzinfo=UTC))
    async with opened(database) as (reservations, _):
        assert outcomes(await reserve(reservations, *(an_ask(account_id) for _ in range(6))))[-1] == "daily_spent"
        await turn_clock(database, datetime(2026, 3, 15, tzinfo=UTC))
        decisions = await reserve(reservations, *(an_ask(account_id) for _ in range(4)))
    assert outcomes(decisions) == ["held"] * 3 + ["monthly_spent"]
    assert await rows(database, WINDOWS) == [
        ("day", date(2026, 3, 14), 0, 5),
        ("day", date(2026, 3, 15), 0, 3),
        ("month", date(2026, 3, 1), 0, 8),
    ]


@pytest.mark.parametrize(
    ("last", "first"),
    [
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)),
    ],
)
async def test_at_the_end_of_a_month_both_windows_begin(database: Database, last: datetime, first: datetime) -> None:
    account_id = uuid4()
    terms = Terms(1, "free", {"free": Limits(3, 3)})
    await turn_clock(database, last)
    async with opened(database) as (reservations, _):
        await reserve(reservations, *(an_ask(account_id) for _ in range(3)), terms=terms)
        await turn_clock(database, first)
        decisions = await reserve(reservations, *(an_ask(account_id) for _ in range(4)), terms=terms)
    assert outcomes(decisions) == ["held"] * 3 + ["daily_spent"]
    assert (decisions[0].windows.day, decisions[0].windows.month) == (first.date(), first.date())


async def test_a_replay_after_midnight_names_the_windows_it_was_held_in(database: Database) -> None:
    ask = an_ask(uuid4())
    await turn_clock(database, datetime(2026, 4, 30, 23, 59, tzinfo=UTC))
    async with opened(database) as (reservations, _):
        await reserve(reservations, ask)
        await turn_clock(database, datetime(2026, 5, 1, tzinfo=UTC))
        (again,) = await reserve(reservations, ask)
    assert (again.windows.day, again.windows.month) == (date(2026, 4, 30), date(2026, 4, 1))


async def test_the_windows_are_those_of_utc_wherever_the_server_believes_to_be(database: Database) -> None:
    await turn_clock(database, datetime.fromisoformat("2026-07-01T01:30:00+02:00"))
    async with opened(database) as (reservations, _):
        (held,) = await reserve(reservations, an_ask(uuid4()))
    assert (held.windows.day, held.windows.month) == (date(2026, 6, 30), date(2026, 6, 1))


async def test_an_unlimited_plan_is_counted_and_never_refused(database: Database) -> None:
    account_id = uuid4()
    async with opened(database) as (reservations, _), accounts_of(database) as accounts:
        await change_plan(accounts, account_id, "unlimited", revision=1)
        decisions = await reserve(reservations, *(an_ask(account_id) for _ in range(300)))
    assert set(outcomes(decisions)) == {"held"}
    assert decisions[-1].windows.monthly == Counts(0, 300)


async def test_a_plan_with_one_limit_only_is_bound_by_that_one(database: Database) -> None:
    terms = Terms(1, "monthly", {"monthly": Limits(None, 2), "daily": Limits(2, None)})
    first_id, second_id = uuid4(), uuid4()
    async with opened(database) as (reservations, _), accounts_of(database) as accounts:
        await change_plan(accounts, second_id, "daily", revision=1)
        one = await reserve(reservations, *(an_ask(first_id) for _ in range(3)), terms=terms)
        two = await reserve(reservations, *(an_ask(second_id) for _ in range(3)), terms=terms)
    assert outcomes(one)[-1] == "monthly_spent"
    assert outcomes(two)[-1] == "daily_spent"


async def test_a_plan_change_keeps_what_was_taken_and_applies_the_new_limits_at_once(database: Database) -> None:
    account_id = uuid4()
    async with opened(database) as (reservations, _), accounts_of(database) as accounts:
        await reserve(reservations, *(an_ask(account_id) for _ in range(6)))
        await change_plan(accounts, account_id, "pro", revision=1)
        (better,) = await reserve(reservations, an_ask(account_id))
        await change_plan(accounts, account_id, "free", revision=2)
        (worse,) = await reserve(reservations, an_ask(account_id))
    assert isinstance(better, Held)
    assert (better.plan, better.windows.daily) == ("pro", Counts(0, 6))
    assert outcomes([worse]) == ["daily_spent"]
    assert worse.windows.daily == Counts(0, 6)


async def test_the_newest_revision_of_a_plan_wins_in_whatever_order_changes_come(database: Database) -> None:
    account_id = uuid4()
    async with accounts_of(database) as accounts:
        for revision, plan in ((2, "pro"), (1, "free"), (3, "unlimited"), (2, "pro")):
            await change_plan(accounts, account_id, plan, revision=revision)
    assert await rows(database, "SELECT plan, revision FROM quota.accounts") == [("unlimited", 3)]


async def test_an_account_with_a_plan_that_is_gone_has_the_limits_of_the_default(database: Database) -> None:
    account_id = uuid4()
    async with opened(database) as (reservations, _), accounts_of(database) as accounts:
        await change_plan(accounts, account_id, "golden", revision=1)
        decisions = await reserve(reservations, *(an_ask(account_id) for _ in range(6)))
    assert outcomes(decisions) == ["held"] * 5 + ["daily_spent"]
    assert {(decision.assigned_plan, decision.plan) for decision in decisions} == {("golden", "free")}


async def test_a_blocked_token_is_refused_on_every_replica_and_takes_nothing_from_the_others(
    database: Database,
) -> None:
    account_id, token_id = uuid4(), uuid4()
    async with opened(database) as (first, _), opened(database) as (second, _), accounts_of(database) as accounts:
        (held,) = await reserve(first, before := an_ask(account_id, token_id=token_id))
        await accounts.block_token(token_id, account_id=None, default_plan="free")
        await accounts.block_token(token_id, account_id=None, default_plan="free")
        for replica in (first, second):
            decisions = await reserve(replica, an_ask(account_id, token_id=token_id), an_ask(account_id), before)
            assert outcomes(decisions) == ["token_blocked", "held", "held"]
    assert isinstance(held, Held)
    assert await rows(database, "SELECT count(*) FROM quota.reservations") == [(3,)]


async def test_replicas_that_race_for_the_same_requests_agree_on_every_one(database: Database) -> None:
    """Four connections decide the same ids at once, in different orders and batches, at the edge of the limit."""
    accounts = [uuid4() for _ in range(4)]
    asks = [an_ask(account_id) for account_id in accounts for _ in range(12)]
    answers: dict[UUID, set[str]] = {ask.request_id: set() for ask in asks}

    async def replica(reservations: Reservations, offset: int) -> None:
        lane: GroupCommit[Ask, Decision] = GroupCommit(
            lambda batch, senders: reservations.reserve(batch, TERMS, senders=senders),
            batch_limit=7,
            deadline_seconds=9,
        )
        mine = asks[offset:] + asks[:offset]
        decisions = await asyncio.gather(*(lane.submit(ask) for ask in mine))
        for ask, outcome in zip(mine, outcomes(decisions), strict=True):
            answers[ask.request_id].add(outcome)

    async with (
        opened(database) as (one, _),
        opened(database) as (two, _),
        opened(database) as (three, _),
        opened(database) as (four, _),
    ):
        await asyncio.gather(*(replica(each, 11 * n) for n, each in enumerate((one, two, three, four))))
    held = {request_id for (request_id,) in await rows(database, "SELECT request_id FROM quota.reservations")}
    assert {request_id for request_id, given in answers.items() if given == {"held"}} == held
    assert len(held) == 5 * len(accounts)
    assert set(await rows(database, "SELECT kind, used, reserved FROM quota.windows")) == {
        ("day", 0, 5),
        ("month", 0, 5),
    }


@pytest.mark.parametrize("limit", [1, None])
async def test_a_lone_request_that_reaches_two_replicas_at_once_is_held_by_both(
    database: Database, limit: int | None
) -> None:
    """With room for one only, the slower one finds the allowance spent by the very request that it was asked for."""
    terms = Terms(1, "free", {"free": Limits(limit, limit)})
    async with opened(database) as (one, _), opened(database) as (two, _):
        for _ in range(60):
            ask = an_ask(uuid4())
            decisions = await asyncio.gather(reserve(one, ask, terms=terms), reserve(two, ask, terms=terms))
            assert [outcomes(each) for each in decisions] == [["held"], ["held"]]
    assert set(await rows(database, "SELECT used, reserved FROM quota.windows")) == {(0, 1)}


async def test_a_killed_backend_loses_nothing_and_invents_nothing(database: Database) -> None:
    account_id = uuid4()
    terms = Terms(1, "free", {"free": Limits(400, 400)})
    answered: list[Decision] = []

    async def caller(lane: GroupCommit[Ask, Decision]) -> None:
        for _ in range(30):
            answered.append(await lane.submit(an_ask(account_id)))

    async def killer() -> None:
        async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as connection:
            for _ in range(8):
                await asyncio.sleep(0.03)
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = 'quota' AND datname = current_database()"
                )

    async with opened(database) as (reservations, _):
        lane: GroupCommit[Ask, Decision] = GroupCommit(
            lambda batch, senders: reservations.reserve(batch, terms, senders=senders),
            batch_limit=512,
            deadline_seconds=20,
        )
        await asyncio.gather(killer(), *(caller(lane) for _ in range(16)))
    assert outcomes(answered).count("held") == 400
    assert outcomes(answered).count("daily_spent") == 80
    assert await rows(database, "SELECT count(*) FROM quota.reservations") == [(400,)]
    assert set(await rows(database, "SELECT kind, used, reserved FROM quota.windows")) == {
        ("day", 0, 400),
        ("month", 0, 400),
    }


async def test_the_runtime_role_cannot_rewrite_history(database: Database) -> None:
    async with await psycopg.AsyncConnection.connect(database.url("quota"), autocommit=True) as connection:
        for statement in (
            "DELETE FROM quota.reservations",
            "DELETE FROM quota.windows",
            "UPDATE quota.windows SET starts_on = starts_on",
            "UPDATE quota.reservations SET day = day",
            "UPDATE quota.reservations SET answers = answers",
            "UPDATE quota.turns SET opened_at = opened_at",
            "DELETE FROM quota.blocked_tokens",
            "UPDATE quota.settlement_conflicts SET outcome = outcome",
            "CREATE OR REPLACE FUNCTION quota.clock() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement.encode())
