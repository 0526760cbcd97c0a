"""Growing waits, counted in the database: exact for any number of tries at once, and never a lock-out."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import psycopg
import pytest

from chassis.database import create_engine
from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from gateway.portal.errors import TooManyTries
from gateway.portal.identity.throttle import Throttle
from gateway.store.throttle import Counter, Pace, ThrottleStore

KEY = b"a key that is long enough for a test"
PACE = Pace(free=3, first_seconds=2, cap_seconds=60, decay_seconds=600)


def _counter(name: str, pace: Pace = PACE) -> Counter:
    return Counter(hashlib.sha256(name.encode()).digest(), pace)


@asynccontextmanager
async def _store(database: Database) -> AsyncIterator[ThrottleStore]:
    engine = create_engine(database.url("gateway"), pool_size=12)
    try:
        yield ThrottleStore(engine)
    finally:
        await engine.dispose()


async def _pass_time(database: Database, seconds: float) -> None:
    """Move every counter into the past."""
    async with await psycopg.AsyncConnection.connect(database.url("gateway"), autocommit=True) as connection:
        await connection.execute(
            "UPDATE gateway.sign_in_failures SET last_at = last_at - make_interval(secs => %s)", (seconds,)
        )


async def _failures(database: Database) -> list[int]:
    async with await psycopg.AsyncConnection.connect(database.url("gateway")) as connection:
        rows = await (await connection.execute("SELECT failures FROM gateway.sign_in_failures ORDER BY 1")).fetchall()
    return [row[0] for row in rows]


async def test_three_failures_are_free_and_each_one_more_doubles_the_wait_up_to_a_minute(
    fresh_database: FreshDatabase,
) -> None:
    database = await fresh_database("gateway")
    counter = _counter("ada")
    async with _store(database) as store:
        for _ in range(4):
            assert await store.count([counter]) is None
        for wait in (2, 4, 8, 16, 32, 60, 60):
            told = await store.count([counter])
            assert told == pytest.approx(wait, abs=1)
            await _pass_time(database, wait - 1.5)
            assert await store.count([counter]) is not None, "it is still too early"
            await _pass_time(database, 1.5)
            assert await store.count([counter]) is None


async def test_a_try_that_comes_too_early_counts_on_no_counter_and_makes_no_wait_longer(
    fresh_database: FreshDatabase,
) -> None:
    database = await fresh_database("gateway")
    account, address = _counter("account"), _counter("address")
    async with _store(database) as store:
        for _ in range(4):
            await store.count([account])
        for _ in range(5):
            assert await store.count([account, address]) == pytest.approx(2, abs=1)
        assert await _failures(database) == [4]
        await _pass_time(database, 2)
        assert await store.count([account, address]) is None
        assert await _failures(database) == [1, 5]


async def test_failures_are_forgotten_one_by_one(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("gateway")
    counter = _counter("ada")
    async with _store(database) as store:
        for _ in range(4):
            await store.count([counter])
        await _pass_time(database, 600)
        assert await store.count([counter]) is None, "three are remembered, and three are free"
        assert await _failures(database) == [4]
        await _pass_time(database, 86_400)
        assert await store.count([counter]) is None
        assert await _failures(database) == [1]


async def test_of_many_tries_at_once_as_many_get_through_as_one_after_another(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("gateway")
    async with _store(database) as store, _store(database) as replica:
        for subjects in (["account"], ["address", "account b"], ["account c", "address c"]):
            counters = [_counter(name) for name in subjects]
            tries = [each.count(counters) for _ in range(20) for each in (store, replica)]
            assert (await asyncio.gather(*tries)).count(None) == 4


async def test_years_of_guesses_are_forgotten_within_hours(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("gateway")
    counter = _counter("ada")
    async with _store(database) as store:
        for _ in range(40):
            await _pass_time(database, 60)
            assert await store.count([counter]) is None
        assert await _failures(database) == [PACE.ceiling]
        await _pass_time(database, 600 * (PACE.ceiling - PACE.free))
        assert await store.count([counter]) is None
        assert await store.count([counter]) is not None


async def test_counters_that_nobody_adds_to_are_removed(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("gateway")
    async with _store(database) as store:
        for number in range(5):
            await store.count([_counter(f"old {number}")])
        await _pass_time(database, 7200)
        await store.count([_counter("new")])
        assert await store.purge(idle=timedelta(hours=1), limit=3) == 3
        assert await store.purge(idle=timedelta(hours=1), limit=3) == 2
        assert await _failures(database) == [1]


async def test_guesses_at_an_account_do_not_keep_its_owner_out_of_a_known_browser(
    fresh_database: FreshDatabase,
) -> None:
    database = await fresh_database("gateway")
    async with _store(database) as store:
        throttle = Throttle(store, KEY)
        for number in range(4):
            await throttle.sign_in(email="ada@example.com", address=f"198.51.100.{number}", device=None)
        with pytest.raises(TooManyTries):
            await throttle.sign_in(email="ada@example.com", address="203.0.113.1", device=None)
        await throttle.sign_in(email="ada@example.com", address="203.0.113.1", device="her browser")


async def test_a_stolen_device_cookie_is_good_for_no_more_guesses_than_any_other_way(
    fresh_database: FreshDatabase,
) -> None:
    database = await fresh_database("gateway")
    async with _store(database) as store:
        throttle = Throttle(store, KEY)
        for number in range(4):
            await throttle.sign_in(email="ada@example.com", address=f"198.51.100.{number}", device="stolen")
        with pytest.raises(TooManyTries) as refused:
            await throttle.sign_in(email="ada@example.com", address="198.51.100.9", device="stolen")
        assert refused.value.seconds == 2


async def test_who_guesses_at_many_accounts_from_one_address_waits_and_cannot_wash_that_away(
    fresh_database: FreshDatabase,
) -> None:
    database = await fresh_database("gateway")
    async with _store(database) as store:
        throttle = Throttle(store, KEY)
        for number in range(11):
            await throttle.sign_in(email=f"{number}@example.com", address="198.51.100.1", device=None)
            if number < 10:
                own = await throttle.sign_in(email="eve@example.com", address="198.51.100.1", device=None)
                await throttle.succeeded(own)
        with pytest.raises(TooManyTries):
            await throttle.sign_in(email="next@example.com", address="198.51.100.1", device=None)
        await throttle.sign_in(email="next@example.com", address="198.51.100.2", device=None)


async def test_neither_e_mails_nor_addresses_are_kept(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("gateway")
    async with _store(database) as store:
        await Throttle(store, KEY).sign_in(email="ada@example.com", address="198.51.100.1", device=None)
    async with await psycopg.AsyncConnection.connect(database.url("gateway")) as connection:
        rows = await (await connection.execute("SELECT subject FROM gateway.sign_in_failures")).fetchall()
    plain = [hashlib.sha256(text.encode()).digest() for text in ("ada@example.com", "account\0ada@example.com")]
    assert len(rows) == 2
    assert not {row[0] for row in rows} & set(plain)
    assert all(len(row[0]) == 32 for row in rows)
