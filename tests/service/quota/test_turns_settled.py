"""What the end of a continuation does on real Postgres: its call is answered for good, or free to be answered again."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from chassis.database import create_engine
from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from quota.store import Turns
from tests.service.quota.scene import a_continuation, an_ask, opened, rows, settled, turn_clock
from tests.service.quota.turns import IN_FLIGHT, TURNS, WINDOWS, continued, decide, terms

NOW = datetime(2026, 3, 14, 15, tzinfo=UTC)


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


async def test_a_call_is_answered_once_and_again_only_when_that_was_not_delivered(database: Database) -> None:
    opener = an_ask(uuid4())
    asks = [a_continuation(opener) for _ in range(9)]
    async with opened(database) as (reservations, store):
        await reservations.reserve([opener], terms(daily=20))

        async def next_call(number: int) -> int | str:
            return (await decide(reservations, asks[number], by=terms(daily=20)))[0]

        assert [await next_call(0), await next_call(1)] == [2, 1]  # the first one is under way
        await store.settle([continued(asks[0], 1, "upstream_unavailable")])
        assert [await next_call(2), await next_call(3)] == [3, 1]  # it did not come through; calls are not taken back
        await store.settle([continued(asks[2], 2, "client_gone_late")])
        assert await next_call(4) == 1
        assert await rows(database, TURNS) == [(3, [1])]


@pytest.mark.parametrize(
    ("outcome", "ended_as", "is_free"),
    [
        ("continuation", "completed", False),
        ("continuation", "client_gone_late", False),
        ("continuation", None, False),
        ("continuation", "empty", True),
        ("continuation", "gateway_shutdown", True),
        ("expired", None, True),
        ("upstream_broken", None, True),
    ],
)
async def test_whether_an_answer_is_free_to_be_given_again_depends_on_how_its_continuation_ended(
    database: Database, outcome: str, ended_as: str | None, is_free: bool
) -> None:
    opener = an_ask(uuid4())
    ask = a_continuation(opener)
    async with opened(database) as (reservations, store):
        await reservations.reserve([opener], terms())
        await reservations.reserve([ask], terms())
        await store.settle([settled(ask, 1, outcome, ended_as=ended_as)], folded_through=1)
        assert await decide(reservations, a_continuation(opener)) == [3 if is_free else 1]


async def test_a_continuation_that_is_told_to_be_charged_changes_no_window_all_the_same(database: Database) -> None:
    opener = an_ask(uuid4())
    ask = a_continuation(opener)
    async with opened(database) as (reservations, store):
        await reservations.reserve([opener], terms())
        await reservations.reserve([ask], terms())
        for _ in range(2):
            await store.settle([settled(ask, 1, "completed")])
    assert await rows(database, WINDOWS) == [(0, 1, 0)]
    assert await rows(database, IN_FLIGHT) == [(1,)]
    assert await rows(database, TURNS) == [(2, [1])]
    assert await rows(database, "SELECT charged, ended_as FROM quota.reservations WHERE call = 2") == [
        (False, "completed")
    ]


async def test_a_late_settlement_that_was_first_in_the_stream_answers_or_frees_the_call_after_all(
    database: Database,
) -> None:
    opener = an_ask(uuid4())
    one, two = a_continuation(opener), a_continuation(opener)
    async with opened(database) as (reservations, store):
        await reservations.reserve([opener], terms())
        await reservations.reserve([one], terms())
        await store.settle([continued(one, 9, "empty")])
        await reservations.reserve([two], terms())
        assert await rows(database, TURNS) == [(3, [1])]
        await store.settle([continued(one, 5, "completed")])
        assert await rows(database, TURNS) == [(3, [1, 1])]
        await store.settle([continued(two, 6, "upstream_broken")])
        assert await rows(database, TURNS) == [(3, [1])]
        await store.settle([continued(one, 3, "client_gone_early")])
        assert await rows(database, TURNS) == [(3, [])]
        assert await decide(reservations, a_continuation(opener)) == [4]
    assert await rows(database, IN_FLIGHT) == [(2,)]


async def test_when_the_first_call_turns_out_free_open_continuations_go_on_and_further_ones_are_charged(
    database: Database,
) -> None:
    opener = an_ask(uuid4())
    ask = a_continuation(opener)
    async with opened(database) as (reservations, store):
        await reservations.reserve([opener], terms())
        await reservations.reserve([ask], terms())
        await store.settle([settled(opener, 1, "upstream_broken")])
        assert await decide(reservations, ask, a_continuation(opener, 2)) == [2, 1]
        await store.settle([continued(ask, 2)])
    assert await rows(database, WINDOWS) == [(0, 1, 0)]


async def test_a_replica_of_the_release_before_cannot_end_a_continuation(database: Database) -> None:
    """It would give back a prompt that was never held; so its fold fails, and the settlement comes again."""
    opener = an_ask(uuid4())
    async with opened(database) as (reservations, _):
        await reservations.reserve([opener], terms())
        await reservations.reserve([a_continuation(opener)], terms())
    ends = "UPDATE quota.reservations SET outcome = 'x', charged = false, settled_sequence = 1, settled_at = now()"
    async with await psycopg.AsyncConnection.connect(database.url("quota"), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.CheckViolation):
            await connection.execute(f"{ends} WHERE call = 2".encode())
        await connection.execute(f"{ends} WHERE call = 1".encode())


async def test_turns_are_forgotten_a_day_after_none_can_go_on(database: Database) -> None:
    openers = [an_ask(uuid4()) for _ in range(5)]
    engine = create_engine(database.url("quota"))
    async with opened(database) as (reservations, store):
        for hour, opener in enumerate(openers):
            await turn_clock(database, NOW + timedelta(hours=hour))
            await reservations.reserve([opener], terms())
            await reservations.reserve([ask := a_continuation(opener)], terms())
        await turn_clock(database, NOW + timedelta(days=8, hours=3))
        left = []
        for _ in range(3):
            await Turns(engine).forget(limit=2)
            left += await rows(database, "SELECT count(*) FROM quota.turns")
        assert left == [(3,), (2,), (2,)]
        assert await decide(reservations, a_continuation(openers[0]), by=terms(minutes=10**6)) == [1]
        await turn_clock(database, NOW + timedelta(days=9))
        await Turns(engine).forget(limit=2)
        await store.settle([continued(ask, 1, "empty")])
    await engine.dispose()
    assert await rows(database, TURNS) == []
