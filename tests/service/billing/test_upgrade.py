"""From the schema of release 0.1 with lines in it: they get their chain, and everything goes on from there."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import alembic.command
import psycopg
import pytest
import sqlalchemy.exc

from billing.domain.chain import line_hash
from billing.domain.lines import Posted, Settlement
from billing.domain.receipts import receipt_of
from billing.store import LedgerFilter, Store, rows
from chassis import migrations
from chassis.bus import TryLater
from chassis.database import create_engine
from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import a_settlement
from tests.service.billing.test_routes import ROUTE

COLUMNS_OF_0_1 = (
    *("request_id", "account_id", "token_id", "turn_id", "call", "outcome", "plan", "plans_version"),
    *("alias_asked", "alias_served", "endpoint", "is_stream", "target", "attempts", "day", "month", "error_code"),
    "trace_id",
)
# The statement of release 0.1, as one of its replicas still has it while the release after it is rolled out.
RECORD_OF_0_1 = f"""
INSERT INTO billing.ledger ({", ".join(COLUMNS_OF_0_1)}, prompts, input_tokens, cached_input_tokens, output_tokens,
    reasoning_tokens, tokens_source, event_time, stream_sequence)
VALUES ({", ".join(["%s"] * len(COLUMNS_OF_0_1))}, 1, 11, 3, 7, 2, 'provider', %s, %s)
ON CONFLICT (request_id) DO NOTHING
"""


async def at_release_0_1(database: Database) -> None:
    await at_revision(database, "0001")


async def at_revision(database: Database, revision: str) -> None:
    config = migrations._config("billing", database.owner_url("billing"))
    await asyncio.to_thread(alembic.command.upgrade, config, revision)


async def record_as_0_1(database: Database, *settlements: Settlement) -> None:
    async with await psycopg.AsyncConnection.connect(database.url("billing")) as connection:
        for settlement in settlements:
            told = [getattr(settlement.settled, name) for name in COLUMNS_OF_0_1]
            await connection.execute(RECORD_OF_0_1.encode(), [*told, settlement.settled.ended_at, settlement.sequence])


@asynccontextmanager
async def a_store(database: Database) -> AsyncIterator[Store]:
    store = Store(create_engine(database.url("billing")), database.url("billing"))
    try:
        yield store
    finally:
        await store.close()


def chains(lines: list[Posted]) -> dict[UUID, list[Posted]]:
    found = defaultdict(list)
    for posted in sorted(lines, key=lambda posted: (posted.entry.account_id, posted.line.sequence)):
        found[posted.entry.account_id].append(posted)
    return found


async def test_lines_of_release_0_1_get_a_chain_that_goes_on(fresh_database: FreshDatabase) -> None:
    database = await fresh_database()
    await at_release_0_1(database)
    accounts = [uuid4() for _ in range(7)]
    # More than a batch of the migration, of accounts that begin and end anywhere in it.
    old = [Settlement(a_settlement(account_id=accounts[n * n % 7]), n) for n in range(1, 2502)]
    await record_as_0_1(database, *old)
    await asyncio.to_thread(migrations.migrate, "billing", database.owner_url("billing"))
    async with a_store(database) as store:
        again = await store.ledger.record(old[:5])
        new = [Settlement(a_settlement(account_id=account), n) for n, account in enumerate(accounts, start=3000)]
        await store.ledger.record(new)
        lines = list(await store.ledger.lines(LedgerFilter(limit=10_000)))
    assert (again.lines, again.conflicts) == (0, 0), "what was recorded before is known"
    assert len(lines) == 2501 + 7
    for chain in chains(lines).values():
        assert [posted.line.sequence for posted in chain] == list(range(1, len(chain) + 1))
        assert [posted.id for posted in chain] == sorted(posted.id for posted in chain)
        assert all(line_hash(posted.line) == posted.line.hash for posted in chain)
        assert [posted.line.previous_hash for posted in chain[1:]] == [posted.line.hash for posted in chain[:-1]]
    first = lines[0]
    assert (first.entry.kind, first.entry.revision, first.entry.started_at) == ("settlement", 0, None)
    assert first.line.posted_on == first.line.recorded_at.date()


async def test_a_replica_of_release_0_1_writes_nothing_after_the_migration(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("billing")
    with pytest.raises(psycopg.ProgrammingError):
        await record_as_0_1(database, Settlement(a_settlement(), 1))


async def test_this_release_waits_for_its_schema(fresh_database: FreshDatabase) -> None:
    database = await fresh_database()
    await at_release_0_1(database)
    async with a_store(database) as store:
        with pytest.raises(TryLater):
            await store.ledger.record([Settlement(a_settlement(), 1)])


async def test_a_line_of_release_0_1_has_a_receipt_and_can_lose_to_an_earlier_settlement(
    fresh_database: FreshDatabase,
) -> None:
    database = await fresh_database()
    await at_release_0_1(database)
    began = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=3)
    uuid7 = UUID(int=(int(began.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | 5)
    settled = a_settlement(request_id=uuid7)
    await record_as_0_1(database, Settlement(settled, 9))
    await asyncio.to_thread(migrations.migrate, "billing", database.owner_url("billing"))
    async with a_store(database) as store:
        receipt = receipt_of(await store.ledger.lines_of(uuid7, account_id=settled.account_id))
        await store.ledger.record([Settlement(settled, 8)])
        lines = await store.ledger.lines_of(uuid7, account_id=settled.account_id)
    assert (receipt.started_at, receipt.daily, receipt.ledger_sequence) == (began, None, 1)
    assert [line.entry.kind for line in lines] == ["settlement", "reversal", "settlement"]
    assert receipt_of(lines).started_at == settled.started_at


async def lines_before_routes(database: Database, *settlements: Settlement) -> list[Posted]:
    """What the release before would have written of these, with its own columns, into the schema of its own."""
    async with await psycopg.AsyncConnection.connect(database.admin_url) as connection:
        # The statement of that release is today's without the route; nothing else of it has changed.
        await connection.execute("ALTER TABLE billing.ledger ADD COLUMN route jsonb")
        await connection.commit()
        async with a_store(database) as store:
            await store.ledger.record(list(settlements))
        await connection.execute("ALTER TABLE billing.ledger DROP COLUMN route")
        found = await connection.execute(f"SELECT {rows.LINE_COLUMNS} FROM billing.ledger ORDER BY id".encode())
        return [rows.posted(row) for row in await found.fetchall()]


async def test_lines_from_before_routes_stay_as_they_are_and_later_ones_have_theirs_in_the_same_chain(
    fresh_database: FreshDatabase,
) -> None:
    database = await fresh_database()
    await at_revision(database, "0003")
    account = uuid4()
    before = await lines_before_routes(database, *(Settlement(a_settlement(account_id=account), n) for n in (1, 2)))
    async with a_store(database) as store:
        with pytest.raises(TryLater):
            await store.ledger.record([Settlement(a_settlement(account_id=account, route=ROUTE), 3)])
    await asyncio.to_thread(migrations.migrate, "billing", database.owner_url("billing"))
    async with a_store(database) as store:
        again = await store.ledger.record([Settlement(a_settlement(account_id=account, route=ROUTE), 3)])
        lines = list(await store.ledger.lines(LedgerFilter(account_id=account)))
    assert again.lines == 1
    assert lines[:2] == before
    assert [posted.route for posted in lines] == [None, None, ROUTE]
    assert [posted.line.sequence for posted in lines] == [1, 2, 3]
    assert all(line_hash(posted.line) == posted.line.hash for posted in lines)
    assert [posted.line.previous_hash for posted in lines[1:]] == [posted.line.hash for posted in lines[:-1]]


async def test_the_column_for_routes_gives_up_rather_than_hold_up_those_who_write_and_can_be_tried_again(
    fresh_database: FreshDatabase,
) -> None:
    """A whole comparison reads the ledger for a minute; behind a waiting migration everybody would have to wait."""
    database = await fresh_database()
    await at_revision(database, "0003")
    migrate = asyncio.to_thread(migrations.migrate, "billing", database.owner_url("billing"))
    async with await psycopg.AsyncConnection.connect(database.admin_url) as reader:
        await reader.execute("SELECT count(*) FROM billing.ledger")
        with pytest.raises(sqlalchemy.exc.OperationalError, match="lock timeout"):
            await migrate
    await asyncio.to_thread(migrations.migrate, "billing", database.owner_url("billing"))
    await asyncio.to_thread(migrations.check, "billing", database.owner_url("billing"))


async def test_tables_and_migrations_agree_and_the_last_step_can_be_taken_back(fresh_database: FreshDatabase) -> None:
    database = await fresh_database("billing")
    await asyncio.to_thread(migrations.check, "billing", database.owner_url("billing"))
    config = migrations._config("billing", database.owner_url("billing"))
    await asyncio.to_thread(alembic.command.downgrade, config, "0003")
    await asyncio.to_thread(migrations.migrate, "billing", database.owner_url("billing"))
    await asyncio.to_thread(migrations.check, "billing", database.owner_url("billing"))
