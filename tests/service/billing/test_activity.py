"""What an account did: sums by day and outcome, and pages of its latest requests, as its receipts say."""

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql

from billing.domain.corrections import Decision, Differences, correction, credit_note
from billing.domain.lines import Settlement
from billing.handlers import read_activity, read_receipt
from billing.store import Store
from billing.store.activity import _DAYS, _LATEST, LONGEST_DAYS
from chassis.database import create_engine
from contracts.billing import Activity, ReadActivity, ReadReceipt
from contracts.gateway import RequestSettled
from contracts.outcomes import Outcome
from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import a_settlement

TODAY = datetime.now(UTC).date()
DECISION = Decision("anna", "a mistake of ours")
_PLACES = itertools.count(100)


@pytest_asyncio.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("billing")


@pytest_asyncio.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    opened = Store(create_engine(database.url("billing")), database.url("billing"))
    yield opened
    await opened.close()


async def settled(store: Store, account_id: UUID, *outcomes: Outcome, on: date = TODAY) -> list[RequestSettled]:
    """As many requests of that account, in this order."""
    told = [a_settlement(outcome, account_id=account_id, day=on) for outcome in outcomes]
    for each in told:
        await store.ledger.record([Settlement(each, next(_PLACES))])
    return told


async def activity(store: Store, account_id: UUID, **asked: object) -> Activity:
    question = ReadActivity.model_validate({"account_id": account_id, "since": TODAY - timedelta(days=5)} | asked)
    reply = await read_activity(store.activity)(question)
    assert isinstance(reply, Activity)
    return reply


def sums(found: Activity) -> list[tuple[int, str, int, int]]:
    """Days before today, outcome, requests, prompts."""
    return [((TODAY - day.day).days, day.result.value, day.requests, day.prompts) for day in found.days]


async def test_days_are_summed_by_outcome_and_latest_requests_come_first(store: Store) -> None:
    anna = uuid4()
    yesterday = await settled(store, anna, Outcome.COMPLETED, on=TODAY - timedelta(days=1))
    today = await settled(store, anna, Outcome.COMPLETED, Outcome.EMPTY, Outcome.COMPLETED)
    await settled(store, uuid4(), Outcome.COMPLETED)
    found = await activity(store, anna)
    assert sums(found) == [(1, "completed", 1, 1), (0, "completed", 2, 2), (0, "empty", 1, 0)]
    assert [receipt.request_id for receipt in found.requests] == [
        each.request_id for each in reversed([*yesterday, *today])
    ]
    assert found.more_before is None


async def test_each_request_is_shown_as_its_receipt_with_corrections_in_it(store: Store) -> None:
    anna = uuid4()
    first, second = await settled(store, anna, Outcome.COMPLETED, Outcome.COMPLETED)
    await store.ledger.correct(
        first.request_id,
        lambda named, lines, at: correction(named, lines, Differences(prompts=-1), decision=DECISION, at=at),
    )
    await store.ledger.correct(
        second.request_id, lambda named, lines, at: credit_note(named, lines, 1, decision=DECISION, at=at)
    )
    found = await activity(store, anna)
    assert sums(found) == [(0, "completed", 2, 1)]
    read = read_receipt(store.ledger)
    receipts = [await read(ReadReceipt(account_id=anna, request_id=each.request_id)) for each in (second, first)]
    assert list(found.requests) == receipts
    assert [(receipt.prompts, receipt.credited_prompts) for receipt in found.requests] == [(1, 1), (0, 0)]
    assert sum(day.prompts for day in found.days) == sum(receipt.prompts for receipt in found.requests)


async def test_a_line_that_was_reversed_is_counted_once_and_shown_once(store: Store) -> None:
    anna, request_id = uuid4(), uuid4()
    late = a_settlement(Outcome.EXPIRED, account_id=anna, request_id=request_id, day=TODAY)
    first = a_settlement(Outcome.COMPLETED, account_id=anna, request_id=request_id, day=TODAY)
    await store.ledger.record([Settlement(late, 9)])
    await store.ledger.record([Settlement(first, 8)])
    found = await activity(store, anna)
    assert sums(found) == [(0, "completed", 1, 1)]
    assert [(receipt.result, receipt.ledger_sequence) for receipt in found.requests] == [(Outcome.COMPLETED, 3)]


async def test_pages_follow_each_other_without_a_gap_and_end(store: Store) -> None:
    anna = uuid4()
    told = await settled(store, anna, *[Outcome.COMPLETED] * 7)
    seen, before = [], None
    for _ in range(3):
        page = await activity(store, anna, before=before, limit=3)
        seen += [receipt.request_id for receipt in page.requests]
        before = page.more_before
    assert (seen, before) == ([each.request_id for each in reversed(told)], None)
    assert (await activity(store, anna, limit=7)).more_before is None
    assert (await activity(store, anna, limit=0)).requests == ()


async def test_nothing_is_told_from_before_the_longest_time_or_before_since(store: Store) -> None:
    anna = uuid4()
    for back in (LONGEST_DAYS + 1, LONGEST_DAYS, 10):
        await settled(store, anna, Outcome.COMPLETED, on=TODAY - timedelta(days=back))
    everything = await activity(store, anna, since="2020-01-01")
    assert [days for days, *_ in sums(everything)] == [LONGEST_DAYS, 10]
    assert len(everything.requests) == 3, "pages go back as far as the account does"
    assert [days for days, *_ in sums(await activity(store, anna, since=TODAY - timedelta(days=10)))] == [10]


async def test_an_account_without_a_line_did_nothing(store: Store) -> None:
    nobody = uuid4()
    assert await activity(store, nobody) == Activity(account_id=nobody, days=(), requests=())


FILL = """
INSERT INTO billing.ledger (request_id, account_id, token_id, turn_id, call, outcome, prompts, plan, plans_version,
    alias_asked, alias_served, endpoint, is_stream, attempts, input_tokens, cached_input_tokens, output_tokens,
    reasoning_tokens, tokens_source, day, month, event_time, stream_sequence, kind, sequence, previous_hash, hash,
    revision, author, reason, posted_on, settled_by)
SELECT gen_random_uuid(), CASE WHEN n %% 2 = 0 THEN %(account)s::uuid ELSE md5((n %% 997)::text)::uuid END, %(account)s,
    gen_random_uuid(), 1, 'completed', 1, 'max', 1, 'a', 'a', 'chat/completions', true, 1, 0, 0, 0, 0, 'none',
    current_date - 60 + n / 1000, current_date, now(), n, 'settlement', n, repeat('a', 64), repeat('b', 64), 0, '', '',
    current_date, 'gateway-1'
FROM generate_series(1, 50000) AS n
"""


@pytest.mark.parametrize(
    ("query", "values", "rows"),
    [(_DAYS, (TODAY - timedelta(days=14), LONGEST_DAYS), 3_000), (_LATEST, (40_000, 21), 60)],
)
async def test_fifty_thousand_lines_are_not_read_for_a_page_or_for_two_weeks(
    database: Database, store: Store, query: str, values: tuple[object, ...], rows: int
) -> None:
    """Over the very connection of the store: how it plans is a part of it."""
    account = uuid4()
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
        await admin.execute(FILL.encode(), {"account": account})
        await admin.execute("VACUUM ANALYZE billing.ledger")
    async with store.activity._reading.held() as connection:
        numbered = query.replace("%s", "{}").format(*(f"${number}" for number in range(1, 2 + len(values))))
        kinds = ", ".join({UUID: "uuid", date: "date", int: "integer"}[type(value)] for value in (account, *values))
        await connection.execute(f"PREPARE asked ({kinds}) AS {numbered}".encode())
        given = sql.SQL(", ").join(sql.Literal(value) for value in (account, *values))
        explained = await connection.execute(sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked ({})").format(given))
        ((document,),) = await explained.fetchall()
    scans = list(scans_of(document[0]["Plan"]))
    assert all("Index" in scan["Node Type"] for scan in scans), scans
    assert sum(scan["Actual Rows"] * scan["Actual Loops"] for scan in scans) < rows, scans


def scans_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    below = plan.get("Plans", [])
    found = [scan for each in below for scan in scans_of(each)]
    return [plan, *found] if "Scan" in str(plan["Node Type"]) and not below else found
