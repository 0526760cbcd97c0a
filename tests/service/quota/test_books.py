"""Quota's books, asked for over the bus: as they were after any settlement of the stream."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from chassis.bus import Bus, ask, connect
from contracts.outcomes import Outcome
from contracts.quota import READ_BOOKS, AccountBooks, Books, ReadBooks, Reserve
from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from tests.service.quota.quota_process import quota_here
from tests.service.quota.requests import a_reserve, becomes, continued, held, settle
from tests.service.quota.scene import rows, turn_clock

SETTLED = "SELECT count(*) FROM quota.reservations WHERE outcome IS NOT NULL"
END = 1_000_000


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test", instance="test") as bus:
        yield bus


async def read(bus: Bus, question: ReadBooks) -> Books:
    reply = await ask(bus, READ_BOOKS, question, timeout_seconds=5)
    assert isinstance(reply, Books)
    return reply


async def of(bus: Bus, account_id: UUID, *, through: int = END, day: date | None = None) -> AccountBooks:
    question = ReadBooks(day=day or datetime.now(UTC).date(), through_sequence=through, account_id=account_id)
    (books,) = (await read(bus, question)).accounts
    return books


async def test_the_books_are_those_after_a_place_in_the_stream(database: Database, nats_url: str, bus: Bus) -> None:
    account_id = uuid4()
    async with quota_here(database, nats_url):
        requests = [await held(bus, account_id) for _ in range(5)]
        ends = [Outcome.COMPLETED, Outcome.EMPTY, Outcome.CLIENT_GONE_LATE, Outcome.COMPLETED]
        for question, outcome in zip(requests, ends, strict=False):
            await settle(bus, question, outcome)
        await becomes(database, SETTLED, [(4,)])
        found = [await of(bus, account_id, through=place) for place in range(5)]
    assert [(books.day_used, books.month_used, books.month_days_used) for books in found] == [
        (0, 0, 0),
        (1, 1, 1),
        (1, 1, 1),
        (2, 2, 2),
        (3, 3, 3),
    ]
    assert [(books.day_charged, books.day_settled) for books in found] == [(0, 0), (1, 1), (1, 2), (2, 3), (3, 4)]
    as_of_now = {
        (books.day_reserved, books.day_open, books.month_reserved, books.month_days_reserved) for books in found
    }
    assert as_of_now == {(1, 1, 1, 1)}
    assert {books.overdue for books in found} == {0}


async def test_an_open_continuation_is_no_held_prompt_and_a_settled_one_is_a_settled_request(
    database: Database, nats_url: str, bus: Bus
) -> None:
    async with quota_here(database, nats_url):
        opener = await held(bus, uuid4())
        first = await continued(bus, opener)
        before = await of(bus, opener.account_id)
        place = await settle(bus, first, Outcome.CONTINUATION)
        await settle(bus, opener)
        await becomes(database, SETTLED, [(2,)])
        await continued(bus, opener, answers=2)
        after = await of(bus, opener.account_id)
        between = await of(bus, opener.account_id, through=place)
    found = [(books.day_charged, books.day_settled, books.day_open) for books in (before, between, after)]
    assert found == [(0, 0, 1), (0, 1, 0), (1, 2, 0)]
    assert [(books.day_reserved, books.month_reserved) for books in (before, after)] == [(1, 1), (0, 0)]


async def test_days_of_a_month_are_apart_and_their_sum_is_the_month(
    database: Database, nats_url: str, bus: Bus
) -> None:
    account_id = uuid4()
    await turn_clock(database, datetime(2026, 2, 27, 12, tzinfo=UTC))
    async with quota_here(database, nats_url):
        requests: list[Reserve] = []
        for day, number in ((27, 1), (28, 2)):
            await turn_clock(database, datetime(2026, 2, day, 12, tzinfo=UTC))
            requests += [await held(bus, account_id) for _ in range(number)]
        await turn_clock(database, datetime(2026, 3, 1, 12, tzinfo=UTC))
        requests.append(await held(bus, account_id))
        for question in requests:
            await settle(bus, question)
        await becomes(database, SETTLED, [(4,)])
        days = [date(2026, 2, 26), date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1)]
        found = [await of(bus, account_id, day=day) for day in days]
        early = await of(bus, account_id, day=days[1], through=2)
    assert [(books.day_used, books.day_charged) for books in found] == [(0, 0), (1, 1), (2, 2), (1, 1)]
    assert [(books.month_used, books.month_days_used) for books in found] == [(3, 3), (3, 3), (3, 3), (1, 1)]
    assert (early.day_used, early.month_used, early.month_days_used) == (1, 2, 2)


async def test_accounts_come_page_by_page_in_the_order_of_their_ids(
    database: Database, nats_url: str, bus: Bus
) -> None:
    accounts = sorted(uuid4() for _ in range(7))
    async with quota_here(database, nats_url):
        for account_id in accounts:
            await held(bus, account_id)
        seen: list[UUID] = []
        after: UUID | None = None
        pages = 0
        while pages == 0 or after is not None:
            question = ReadBooks(day=datetime.now(UTC).date(), through_sequence=0, after=after, limit=3)
            page = await read(bus, question)
            seen += [books.account_id for books in page.accounts]
            after, pages = page.next, pages + 1
        nothing = await read(bus, ReadBooks(day=date(2020, 1, 1), through_sequence=0))
        unknown = await read(bus, ReadBooks(day=date(2020, 1, 1), through_sequence=0, account_id=uuid4()))
    assert seen == accounts
    assert pages == 3
    assert (nothing.accounts, nothing.next) == ((), None)
    assert (unknown.accounts, unknown.next) == ((), None)


async def test_prompts_that_nobody_ends_are_told_whatever_day_is_asked_for(
    database: Database, nats_url: str, bus: Bus
) -> None:
    account_id = uuid4()
    async with quota_here(database, nats_url, sweep_seconds=0):
        for _ in range(2):
            await held(bus, account_id)
        async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
            await admin.execute("UPDATE quota.reservations SET lease_until = now() - interval '61 seconds'")
        today = datetime.now(UTC).date()
        assert (await of(bus, account_id)).overdue == 2
        assert (await of(bus, account_id, day=today + timedelta(days=400))).overdue == 2


async def test_a_settlement_that_waits_for_its_turn_counts_as_settled_where_the_stream_says_so(
    database: Database, nats_url: str, bus: Bus
) -> None:
    question = a_reserve(uuid4())
    async with quota_here(database, nats_url, sweep_seconds=0):
        question = await held(bus, question.account_id)
        place = await settle(bus, question, Outcome.EXPIRED, event_id="expired")
        await becomes(database, "SELECT reason FROM quota.settlement_conflicts", [("waiting",)])
        before = await of(bus, question.account_id, through=place - 1)
        after = await of(bus, question.account_id, through=place)
    assert (before.day_settled, after.day_settled, after.day_open) == (0, 1, 1)
    assert await rows(database, "SELECT outcome FROM quota.reservations") == [(None,)]
