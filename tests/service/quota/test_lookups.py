"""What a reservation reads is looked up by key, however large the tables become: no statement of its path scans one."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from devstack.database import Database
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from quota.store import Grant
from tests.service.quota.scene import TERMS, accounts_of, an_ask, opened, outcomes, rows, turn_clock

NOW = datetime(2026, 3, 14, 15, tzinfo=UTC)
SCANS = "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE schemaname = 'quota' ORDER BY relname"

CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'quota' AND datname = current_database()"


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    database = await fresh_database("quota")
    await turn_clock(database, NOW)
    return database


async def test_no_statement_on_the_path_of_a_reservation_scans_a_table(database: Database) -> None:
    """Windows that begin, a plan that comes into force, grants that are drawn, refusals, replays.

    The statistics say that the tables are tiny, so that the planner would scan them if it could.
    """
    account_id = uuid4()
    later = NOW + timedelta(hours=1)
    async with accounts_of(database) as accounts:
        grant = Grant(uuid4(), account_id, 3, NOW, NOW + timedelta(days=2))
        await accounts.grant(grant, default_plan="free")
        await accounts.change_plan(account_id, "pro", revision=1, effective_at=later, default_plan="free")
        await accounts.block_token(uuid4(), account_id=None, default_plan="free")
    async with opened(database) as (reservations, _):
        held = [an_ask(account_id)]
        await reservations.reserve(held, TERMS)
    await is_told(database)
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as connection:
        await connection.execute("ANALYZE")
    before = await rows(database, SCANS)
    async with opened(database) as (reservations, _):
        asks = held + [an_ask(one) for one in (account_id, uuid4()) for _ in range(8)]
        first = await reservations.reserve(asks, TERMS)
        await turn_clock(database, later)
        again = await reservations.reserve([*asks, an_ask(account_id)], TERMS)
    assert outcomes(first) == ["held"] * 8 + ["daily_spent"] + ["held"] * 5 + ["daily_spent"] * 3
    assert outcomes(again) == ["held"] * 9 + ["held"] * 5 + ["daily_spent"] * 3 + ["held"]
    await is_told(database)
    assert await rows(database, SCANS) == before


async def is_told(database: Database) -> None:
    """Connections tell their statistics when they end."""

    async def have_ended() -> bool:
        return await rows(database, CONNECTED) == [(0,)]

    assert await until(have_ended, within_seconds=30)
