"""Agent turns on real Postgres: what rides on the prompt of an earlier request, and what holds one of its own."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from quota.domain import Continued, Counts, Held, Refused
from quota.store import Grant
from tests.service.quota.scene import a_continuation, accounts_of, an_ask, opened, rows, settled, turn_clock
from tests.service.quota.turns import IN_FLIGHT, TURNS, WINDOWS, calls, continued, decide, terms

NOW = datetime(2026, 3, 14, 15, tzinfo=UTC)


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


async def test_an_agent_that_calls_on_and_on_pays_one_prompt(database: Database) -> None:
    opener = an_ask(uuid4())
    async with opened(database) as (reservations, store):
        assert await decide(reservations, opener) == [1]
        for call in range(2, 9):
            ask = a_continuation(opener, call - 1)
            (held,) = await reservations.reserve([ask], terms())
            assert isinstance(held, Held)
            assert (held.turn_id, held.call, held.is_replay, held.is_continuation) == (
                opener.request_id,
                call,
                False,
                True,
            )
            assert held.windows.daily == Counts(used=1, reserved=0) if call > 2 else Counts(used=0, reserved=1)
            await store.settle([settled(opener, 1), continued(ask, call)])
    assert await rows(database, WINDOWS) == [(1, 0, 0)]
    assert await rows(database, IN_FLIGHT) == [(0,)]
    assert await rows(database, TURNS) == [(8, [1, 2, 3, 4, 5, 6, 7])]
    kept = "SELECT call, answers, outcome, charged, ended_as FROM quota.reservations ORDER BY call"
    assert (await rows(database, kept))[:3] == [
        (1, None, "completed", True, None),
        (2, 1, "continuation", False, "completed"),
        (3, 2, "continuation", False, "completed"),
    ]


async def test_a_turn_goes_on_while_its_first_call_is_open_or_when_it_was_charged_and_not_otherwise(
    database: Database,
) -> None:
    openers = [an_ask(uuid4()) for _ in range(3)]
    async with opened(database) as (reservations, store):
        await reservations.reserve(openers, terms())
        await store.settle([settled(openers[1], 1), settled(openers[2], 2, "upstream_broken")])
        assert await decide(reservations, *map(a_continuation, openers)) == [2, 2, 1]
    assert sorted(await rows(database, "SELECT used, reserved FROM quota.windows WHERE kind = 'day'")) == [
        (0, 1),
        (0, 1),
        (1, 0),
    ]


async def test_a_call_beyond_the_cap_opens_a_turn_of_its_own_and_costs_one(database: Database) -> None:
    opener = an_ask(uuid4())
    asks = [a_continuation(opener, answers) for answers in (1, 2, 3)]
    async with opened(database) as (reservations, _):
        found = [await decide(reservations, ask, by=terms(calls=3)) for ask in (opener, *asks)]
        (again,) = await reservations.reserve([asks[2]], terms(calls=3))
        further = a_continuation(asks[2])
        assert await decide(reservations, further, by=terms(calls=3)) == [2]
    assert found == [[1], [2], [3], [1]]
    assert isinstance(again, Held)
    assert again.turn_id == asks[2].request_id
    assert await rows(database, WINDOWS) == [(0, 2, 0)]


async def test_a_turn_that_is_as_old_as_the_plan_allows_is_over(database: Database) -> None:
    opener = an_ask(uuid4())
    async with opened(database) as (reservations, _):
        await turn_clock(database, NOW)
        await reservations.reserve([opener], terms())
        await turn_clock(database, NOW + timedelta(minutes=30) - timedelta(microseconds=1))
        assert await decide(reservations, a_continuation(opener), by=terms(minutes=30)) == [2]
        await turn_clock(database, NOW + timedelta(minutes=30))
        assert await decide(reservations, a_continuation(opener, 2), by=terms(minutes=30)) == [1]
        assert await decide(reservations, a_continuation(opener, 2), by=terms(minutes=31)) == [3]
    assert await rows(database, WINDOWS) == [(0, 2, 0)]


async def test_no_plan_keeps_a_turn_open_for_longer_than_a_week(database: Database) -> None:
    opener = an_ask(uuid4())
    async with opened(database) as (reservations, _):
        await turn_clock(database, NOW)
        await reservations.reserve([opener], terms())
        await turn_clock(database, NOW + timedelta(days=7))
        assert await decide(reservations, a_continuation(opener), by=terms(minutes=60 * 24 * 30)) == [1]


async def test_the_turn_of_another_account_or_of_nobody_and_a_continuation_as_a_turn_are_charged(
    database: Database,
) -> None:
    opener, foreign = an_ask(account_id := uuid4()), an_ask(uuid4())
    second = a_continuation(opener)
    unknown = an_ask(account_id)
    async with opened(database) as (reservations, _):
        assert await decide(reservations, opener, foreign) == [1, 1]
        assert await decide(reservations, second) == [2]
        asks = [replace(a_continuation(other), account_id=account_id) for other in (foreign, unknown, second)]
        assert await decide(reservations, *asks) == [1, 1, 1]
    query = "SELECT used, reserved FROM quota.windows WHERE kind = 'day' AND account_id = "
    assert await rows(database, f"{query} '{account_id}'") == [(0, 4)]
    assert await rows(database, TURNS) == [(2, [1])]


@pytest.mark.parametrize("answers", [-1, 0, 2, 3, 2**31 - 1])
async def test_an_answer_to_a_call_that_was_never_made_is_charged(database: Database, answers: int) -> None:
    opener = an_ask(uuid4())
    async with opened(database) as (reservations, _):
        await reservations.reserve([opener], terms())
        assert await decide(reservations, a_continuation(opener, answers)) == [1]
        assert await decide(reservations, a_continuation(opener)) == [2]


async def test_with_spent_windows_a_turn_goes_on_and_a_new_one_is_refused(database: Database) -> None:
    account_id = uuid4()
    asks = [an_ask(account_id) for _ in range(5)]
    async with opened(database) as (reservations, _):
        await reservations.reserve(asks, terms())
        rides, refused = await reservations.reserve([a_continuation(asks[0]), an_ask(account_id)], terms())
        (late,) = await reservations.reserve([a_continuation(asks[1], 2)], terms())
    assert calls([rides, refused, late]) == [2, "daily_spent", "daily_spent"]
    assert rides.windows.daily == refused.windows.daily == Counts(0, 5)


async def test_no_grant_is_drawn_for_a_continuation(database: Database) -> None:
    account_id = uuid4()
    now = datetime.now(UTC)
    grant = Grant(uuid4(), account_id, 3, now - timedelta(hours=1), now + timedelta(hours=1))
    opener = an_ask(account_id)
    async with opened(database) as (reservations, store), accounts_of(database) as accounts:
        await accounts.grant(grant, default_plan="free")
        await reservations.reserve([an_ask(account_id), opener], terms(daily=1))
        ask = a_continuation(opener)
        assert await decide(reservations, ask, by=terms(daily=1)) == [2]
        assert await rows(database, "SELECT extra FROM quota.accounts") == [(2,)]
        await store.settle([settled(opener, 1), continued(ask, 2)])
        assert await decide(reservations, a_continuation(opener), by=terms(daily=1)) == [1]
    assert await rows(database, "SELECT taken FROM quota.grants") == [(2,)]
    assert await rows(database, WINDOWS) == [(1, 2, 2)]


async def test_a_blocked_token_and_a_suspended_account_stop_a_turn(database: Database) -> None:
    opener, token_id = an_ask(uuid4()), uuid4()
    async with opened(database) as (reservations, _), accounts_of(database) as accounts:
        await reservations.reserve([opener], terms())
        await accounts.block_token(token_id, account_id=opener.account_id, default_plan="free")
        mine, other = a_continuation(opener, token_id=token_id), a_continuation(opener)
        assert await decide(reservations, mine, other) == ["token_blocked", 2]
        await accounts.suspend(opener.account_id, is_suspended=True, revision=1, default_plan="free")
        assert await decide(reservations, a_continuation(opener, 2), other) == ["account_suspended", 2]
    assert await rows(database, TURNS) == [(2, [1])]


async def test_continuations_count_among_the_requests_in_flight(database: Database) -> None:
    opener = an_ask(uuid4())
    asks = [a_continuation(opener) for _ in range(3)]
    limits = terms(in_flight=2, daily=1)
    async with opened(database) as (reservations, store):
        await reservations.reserve([opener], limits)
        await store.settle([settled(opener, 1)])
        await reservations.reserve([asks[0]], limits)
        await store.settle([continued(asks[0], 2)])
        both = [a_continuation(opener, 2), an_ask(uuid4())]
        assert await decide(reservations, *both, by=limits) == [3, 1]
        other = a_continuation(opener, 3)
        assert await decide(reservations, other, by=limits) == [4]
        (refused,) = await reservations.reserve([a_continuation(opener, 4)], limits)
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.speed_limit, refused.retry_after_seconds) == ("too_many_in_flight", 2, 1.0)
        await store.settle([continued(other, 3)])
        assert await decide(reservations, a_continuation(opener, 4), by=limits) == [5]
    assert await rows(database, f"{IN_FLIGHT} ORDER BY 1") == [(1,), (2,)]


async def test_continuations_take_from_the_bucket_of_requests(database: Database) -> None:
    opener = an_ask(uuid4())
    limits = terms(rate=3)
    await turn_clock(database, NOW)
    async with opened(database) as (reservations, _):
        found = [await decide(reservations, ask, by=limits) for ask in (opener, a_continuation(opener))]
        asks = [a_continuation(opener, 2), a_continuation(opener, 2), an_ask(opener.account_id)]
        decisions = await reservations.reserve(asks, limits)
        await turn_clock(database, NOW + timedelta(seconds=20))
        assert await decide(reservations, a_continuation(opener, 3), by=limits) == [4]
    assert found == [[1], [2]]
    # The second of two that answer the same is a prompt of its own: for that there is nothing in the bucket.
    assert calls(decisions) == [3, "too_many_a_minute", "too_many_a_minute"]
    assert [one.retry_after_seconds for one in decisions if isinstance(one, Refused)] == [20.0, 20.0]


async def test_what_is_refused_for_speed_takes_no_call_and_answers_nothing(database: Database) -> None:
    opener = an_ask(uuid4())
    await turn_clock(database, NOW)
    async with opened(database) as (reservations, _):
        await reservations.reserve([opener], terms(daily=1, in_flight=1))
        twins = [a_continuation(opener) for _ in range(12)]
        assert await decide(reservations, *twins, by=terms(daily=1, in_flight=1)) == ["too_many_in_flight"] * 12
        # With a cap that only the first of them could meet, too: none has taken it.
        capped = terms(daily=1, in_flight=1, calls=2)
        assert await decide(reservations, *twins, by=capped) == ["too_many_in_flight"] * 12
        assert await decide(reservations, twins[5], by=capped) == ["too_many_in_flight"]
        assert await decide(reservations, twins[5], twins[0], by=terms(daily=1, calls=2)) == [2, "daily_spent"]
    assert await rows(database, TURNS) == [(2, [1])]


async def test_a_continuation_is_answered_as_before_whatever_happened_since(database: Database) -> None:
    opener = an_ask(uuid4())
    ask, charged = a_continuation(opener), a_continuation(opener)
    async with opened(database) as (reservations, store):
        await reservations.reserve([opener], terms())
        assert await decide(reservations, ask, ask, replace(ask, continues=None)) == [2, 2, 2]
        assert await decide(reservations, charged) == [1]
        await store.settle([settled(opener, 1, "empty"), continued(ask, 2, "empty")])
        for again in (ask, replace(ask, continues=None), replace(ask, continues=Continued(uuid4(), 7))):
            (held,) = await reservations.reserve([again], terms(daily=0, calls=1))
            assert isinstance(held, Held)
            assert (held.turn_id, held.call, held.is_replay) == (opener.request_id, 2, True)
        (held,) = await reservations.reserve([charged], terms(daily=0))
        assert isinstance(held, Held)
        assert (held.turn_id, held.call) == (charged.request_id, 1)
    assert await rows(database, "SELECT count(*) FROM quota.reservations") == [(3,)]


async def test_a_turn_goes_on_across_midnight_in_the_windows_of_its_calls(database: Database) -> None:
    opener = an_ask(uuid4())
    await turn_clock(database, datetime(2026, 4, 30, 23, 50, tzinfo=UTC))
    async with opened(database) as (reservations, store):
        await reservations.reserve([opener], terms())
        await turn_clock(database, datetime(2026, 5, 1, 0, 10, tzinfo=UTC))
        ask = a_continuation(opener)
        held, *_ = decisions = await reservations.reserve([ask, an_ask(opener.account_id)], terms())
        await store.settle([settled(opener, 1), continued(ask, 2)])
        (again,) = await reservations.reserve([ask], terms())
    assert calls(decisions) == [2, 1]
    assert (held.windows.day, held.windows.month) == (date(2026, 5, 1), date(2026, 5, 1))
    assert (again.windows.day, calls([again])) == (date(2026, 5, 1), [2])
    query = "SELECT kind, starts_on, used, reserved FROM quota.windows ORDER BY kind, starts_on"
    assert await rows(database, query) == [
        ("day", date(2026, 4, 30), 1, 0),
        ("day", date(2026, 5, 1), 0, 1),
        ("month", date(2026, 4, 1), 1, 0),
        ("month", date(2026, 5, 1), 0, 1),
    ]


async def test_at_the_edge_of_the_window_a_mixed_batch_is_exact_and_in_order(database: Database) -> None:
    account_id, other_id = uuid4(), uuid4()
    first, second, foreign = an_ask(account_id), an_ask(account_id), an_ask(other_id)
    async with opened(database) as (reservations, _):
        await reservations.reserve([first, second, foreign], terms())
        batch = [
            an_ask(account_id),  # the third prompt of the account
            a_continuation(first),
            a_continuation(first),  # the same answer: the fourth
            a_continuation(second),
            a_continuation(first, 2),  # not there when the batch began: the fifth
            an_ask(account_id),
            a_continuation(foreign),
            a_continuation(second, 9),
            an_ask(other_id),
        ]
        decisions = await reservations.reserve(batch, terms())
    assert calls(decisions) == [1, 2, 1, 2, 1, "daily_spent", 2, "daily_spent", 1]
    assert [one.windows.daily.reserved for one in decisions] == [3, 2, 4, 2, 5, 5, 1, 5, 2]
    assert sorted(await rows(database, WINDOWS)) == [(0, 2, 0), (0, 5, 0)]
    assert await rows(database, f"{IN_FLIGHT} ORDER BY 1") == [(3,), (7,)]


async def test_one_that_waits_is_told_that_the_answer_is_being_given_and_rides_when_that_has_failed(
    database: Database,
) -> None:
    opener = an_ask(uuid4())
    first = a_continuation(opener)
    again = replace(an_ask(opener.account_id), continues=Continued(opener.request_id, 1, waits=True))
    async with opened(database) as (reservations, store):
        assert [*await decide(reservations, opener), *await decide(reservations, first)] == [1, 2]
        assert await decide(reservations, again) == ["turn_busy"]
        assert await rows(database, WINDOWS) == [(0, 1, 0)]
        await store.settle([continued(first, 1, "upstream_unavailable")])
        assert await decide(reservations, again) == [3]
        assert await rows(database, WINDOWS) == [(0, 1, 0)]


async def test_one_that_waits_for_nothing_opens_a_turn_at_once(database: Database) -> None:
    opener = an_ask(uuid4())
    first = a_continuation(opener)
    late = replace(an_ask(opener.account_id), continues=Continued(opener.request_id, 1, waits=True))
    unknown = replace(an_ask(opener.account_id), continues=Continued(uuid4(), 1, waits=True))
    async with opened(database) as (reservations, store):
        assert [*await decide(reservations, opener), *await decide(reservations, first)] == [1, 2]
        await store.settle([continued(first, 1)])
        assert await decide(reservations, late, unknown) == [1, 1]
