"""The ledger: exactly one line per request, whatever is delivered how often, and nobody changes it afterwards."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio

from billing.domain.lines import Settlement
from billing.handlers import record_settlements
from billing.store import LedgerFilter, Store
from chassis import bus
from chassis.bus import TryLater
from chassis.database import create_engine
from contracts.gateway import REQUEST_SETTLED, Cost, Timings, TokenUsage, WindowAfter
from contracts.outcomes import Outcome
from contracts.streams import BILLING_REQUESTS
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import Billing, a_settlement, settle, stored


@pytest_asyncio.fixture
async def billing(fresh_database: FreshDatabase, nats_url: str) -> Billing:
    return Billing(await fresh_database("billing"), nats_url)


@pytest_asyncio.fixture
async def store(billing: Billing) -> AsyncIterator[Store]:
    url = billing.database.url("billing")
    store = Store(create_engine(url), url)
    yield store
    await store.close()


@pytest.mark.parametrize("outcome", list(Outcome))
async def test_every_outcome_gets_a_line_and_only_the_charged_ones_cost_a_prompt(
    store: Store, outcome: Outcome
) -> None:
    settled = a_settlement(outcome)
    await store.ledger.record([Settlement(settled, 1)])
    (posted,) = await store.ledger.lines(LedgerFilter())
    line = posted.entry
    assert (line.outcome, line.prompts) == (outcome.value, 1 if outcome in ("completed", "client_gone_late") else 0)


async def test_a_line_holds_what_the_settlement_said(store: Store) -> None:
    settled = a_settlement(
        day=date(2026, 2, 28),
        month=date(2026, 2, 1),
        error_code="upstream_timeout",
        timings=Timings(admitted_ms=1.25, first_content_ms=300.0625, total_ms=2000),
        daily=WindowAfter(limit=200, used=17, remaining=183, resets_at=datetime(2026, 3, 1, tzinfo=UTC)),
        monthly=WindowAfter(limit=None, used=170, remaining=None, resets_at=datetime(2026, 3, 1, tzinfo=UTC)),
        cost=Cost(amount=Decimal("0.00012345678"), currency="EUR"),
        settled_by="gateway-2",
    )
    await store.ledger.record([Settlement(settled, 41)])
    (posted,) = await store.ledger.lines(LedgerFilter(request_id=settled.request_id))
    entry = posted.entry
    nested = {"tokens", "timings", "started_at", "ended_at", "daily", "monthly", "cost"}
    # How a continuation ended decides in quota whether its turn goes on; it costs nothing either way. A route stands
    # beside the line.
    said = settled.model_dump(exclude=nested | {"ended_as", "route"})
    assert said == {name: getattr(entry, name) for name in said}
    assert (entry.input_tokens, entry.cached_input_tokens, entry.output_tokens, entry.reasoning_tokens) == (11, 3, 7, 2)
    assert (entry.tokens_source, entry.started_at, entry.event_time) == (
        "provider",
        settled.started_at,
        settled.ended_at,
    )
    assert (str(entry.admitted_ms), str(entry.first_content_ms), str(entry.total_ms)) == (
        "1.250",
        "300.062",
        "2000.000",
    )
    assert (entry.daily_limit, entry.daily_used, entry.daily_remaining) == (200, 17, 183)
    assert (entry.monthly_limit, entry.monthly_used, entry.monthly_remaining) == (None, 170, None)
    assert entry.daily_resets_at == entry.monthly_resets_at == datetime(2026, 3, 1, tzinfo=UTC)
    assert (str(entry.cost), entry.cost_currency) == ("0.0001234568", "EUR")
    assert (entry.kind, entry.revision, entry.stream_sequence, posted.line.sequence) == ("settlement", 0, 41, 1)
    assert 0 <= (posted.line.recorded_at - settled.ended_at).total_seconds() < 60
    assert posted.line.posted_on == posted.line.recorded_at.date()


async def test_the_same_message_again_changes_nothing(store: Store, billing: Billing) -> None:
    settlement = Settlement(a_settlement(), 7)
    first = await store.ledger.record([settlement])
    again = await store.ledger.record([settlement])
    assert (len(first.ages_seconds), len(again.ages_seconds), again.conflicts) == (1, 0, 0)
    assert await billing.rows("SELECT * FROM billing.settlement_conflicts") == []


async def test_of_two_settlements_the_first_in_the_stream_wins_and_the_other_is_kept_whole(
    store: Store, billing: Billing
) -> None:
    winner = a_settlement(Outcome.COMPLETED)
    loser = winner.model_copy(update={"outcome": Outcome.EXPIRED})
    # Out of order inside the batch: the place in the stream decides.
    recorded = await store.ledger.record([Settlement(loser, 9), Settlement(winner, 8)])
    again = await store.ledger.record([Settlement(loser, 9)])
    (line,) = [posted.entry for posted in await store.ledger.lines(LedgerFilter())]
    (conflict,) = await billing.rows("SELECT * FROM billing.settlement_conflicts")
    assert (line.outcome, line.stream_sequence) == ("completed", 8)
    assert (conflict["request_id"], conflict["stream_sequence"]) == (winner.request_id, 9)
    assert conflict["payload"] == loser.model_dump(mode="json")
    assert (recorded.conflicts, again.conflicts, recorded.late_firsts) == (1, 0, [])


async def test_a_first_settlement_that_comes_late_reverses_the_wrong_line_and_gets_its_own(
    store: Store, billing: Billing
) -> None:
    first = a_settlement(Outcome.COMPLETED)
    later = first.model_copy(update={"outcome": Outcome.EXPIRED, "tokens": TokenUsage(), "settled_by": "quota"})
    await store.ledger.record([Settlement(later, 9)])
    recorded = await store.ledger.record([Settlement(first, 8)])
    again = await store.ledger.record([Settlement(later, 9), Settlement(first, 8)])
    lines = await store.ledger.lines(LedgerFilter(request_id=first.request_id))
    (conflict,) = await billing.rows("SELECT * FROM billing.settlement_conflicts")
    assert [
        (line.entry.kind, line.entry.outcome, line.entry.prompts, line.entry.stream_sequence) for line in lines
    ] == [
        ("settlement", "expired", 0, 9),
        ("reversal", "expired", 0, 9),
        ("settlement", "completed", 1, 8),
    ]
    assert [line.entry.revision for line in lines] == [0, 1, 2]
    assert (lines[1].entry.corrects, lines[1].entry.author) == (lines[0].id, "billing")
    assert "the settlement at 8 of the stream came before the one at 9" in lines[1].entry.reason
    assert (recorded.conflicts, recorded.late_firsts, recorded.lines) == (1, [first.request_id], 2)
    assert (again.conflicts, again.late_firsts, again.lines) == (0, [], 0)
    assert (conflict["stream_sequence"], conflict["payload"]) == (9, later.model_dump(mode="json"))


async def test_two_replicas_with_the_same_batch_write_one_line_each_and_no_conflict(
    store: Store, billing: Billing
) -> None:
    url = billing.database.url("billing")
    other = Store(create_engine(url), url)
    batch = [Settlement(a_settlement(), sequence) for sequence in range(1, 201)]
    try:
        results = await asyncio.gather(store.ledger.record(batch), other.ledger.record(batch))
    finally:
        await other.close()
    assert sum(len(result.ages_seconds) for result in results) == 200
    assert [result.conflicts for result in results] == [0, 0]
    assert len(await billing.rows("SELECT id FROM billing.ledger")) == 200


async def test_duplicates_on_the_stream_make_one_line_per_request(store: Store, billing: Billing) -> None:
    settlements = [a_settlement() for _ in range(30)]
    async with billing.bus() as connection:
        await settle(connection, *settlements, twice=True)
        async with bus.consume(connection, REQUEST_SETTLED, BILLING_REQUESTS, record_settlements(store.ledger)):
            lines = await billing.wait_for_lines(30)

            async def all_kept() -> bool:
                return len(await billing.rows("SELECT 1 AS one FROM billing.settlement_conflicts")) == 30

            assert await until(all_kept, within_seconds=30)
    assert len(await stored(billing.nats_url, "REQUESTS")) == 60
    assert [line["request_id"] for line in lines] == [settled.request_id for settled in settlements]


async def test_a_poisoned_message_holds_up_nobody_and_is_not_lost(store: Store, billing: Billing) -> None:
    good = [a_settlement() for _ in range(10)]
    # Postgres text cannot hold this character: the contract allows it, the statement fails.
    poison = a_settlement(error_code="broken\x00")
    async with billing.bus() as connection:
        await settle(connection, *good[:5], poison)
        await connection.request(REQUEST_SETTLED.subject, b'{"no": "event"}', headers=None, timeout_seconds=5)
        await settle(connection, *good[5:])
        async with bus.consume(connection, REQUEST_SETTLED, BILLING_REQUESTS, record_settlements(store.ledger)):
            lines = await billing.wait_for_lines(10)
        info = await connection.client.jsm().consumer_info("REQUESTS", BILLING_REQUESTS.name)
    assert {line["request_id"] for line in lines} == {settled.request_id for settled in good}
    assert await stored(billing.nats_url, "DEAD_LETTERS") == [b'{"no": "event"}']
    assert (info.num_ack_pending, info.num_pending) == (1, 0), "the poisoned settlement waits for its next try"


@pytest.mark.parametrize(
    ("table", "column"), [("ledger", "prompts"), ("settlement_conflicts", "payload"), ("closes", "totals")]
)
@pytest.mark.parametrize(
    "verb", ["UPDATE billing.{0} SET {1} = {1}", "DELETE FROM billing.{0}", "TRUNCATE billing.{0}"]
)
async def test_the_runtime_role_cannot_change_what_is_written(
    billing: Billing, table: str, column: str, verb: str
) -> None:
    async with await psycopg.AsyncConnection.connect(billing.database.url("billing")) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(verb.format(table, column).encode())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing.subscription_changes SET plan = 'max'",
        "UPDATE billing.subscription_changes SET revision = 9, actor = 'nobody'",
        "DELETE FROM billing.subscription_changes",
        "DELETE FROM billing.subscriptions",
        "UPDATE billing.grants SET prompts = 9",
        "DELETE FROM billing.grants",
        "DELETE FROM billing.ledger_heads",
        "UPDATE billing.ledger_heads SET account_id = account_id",
        "ALTER TABLE billing.ledger DISABLE TRIGGER ALL",
        "DROP TABLE billing.ledger",
        "INSERT INTO billing.ledger (id) OVERRIDING SYSTEM VALUE VALUES (1)",
    ],
)
async def test_the_runtime_role_cannot_rewrite_history(billing: Billing, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(billing.database.url("billing")) as connection:
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.IntegrityError)):
            await connection.execute(statement.encode())


async def test_the_ledger_is_read_by_account_and_day_newest_last(store: Store) -> None:
    account: UUID = uuid4()
    mine = [a_settlement(account_id=account, day=date(2026, 3, day)) for day in (1, 2, 2, 3)]
    others = [a_settlement(day=date(2026, 3, 2))]
    await store.ledger.record([Settlement(settled, number) for number, settled in enumerate(mine + others, start=1)])
    lines = await store.ledger.lines(LedgerFilter(account_id=account, limit=3))
    on_the_second = await store.ledger.lines(LedgerFilter(account_id=account, day=date(2026, 3, 2)))
    assert [line.entry.request_id for line in lines] == [settled.request_id for settled in mine[1:]]
    assert [line.entry.request_id for line in on_the_second] == [settled.request_id for settled in mine[1:3]]


async def test_settlements_wait_for_a_schema_that_is_not_there_yet(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    billing = Billing(await fresh_database(), nats_url)
    url = billing.database.url("billing")
    store = Store(create_engine(url), url)
    try:
        with pytest.raises(TryLater):
            await store.ledger.record([Settlement(a_settlement(), 1)])
        with pytest.raises(TryLater):
            await store.subscriptions.standings()
    finally:
        await store.close()
    code, out, err = await billing.command("ledger")
    assert (code, out) == (1, "")
    assert "python -m billing migrate" in err


async def test_a_lost_connection_is_replaced(store: Store, billing: Billing) -> None:
    await store.ledger.record([Settlement(a_settlement(), 1)])
    await billing.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND usename = 'billing'"
    )
    with pytest.raises(TryLater):
        await store.ledger.record([Settlement(a_settlement(), 2)])
    await store.ledger.record([Settlement(a_settlement(), 2)])
    assert len(await store.ledger.lines(LedgerFilter())) == 2
