"""What a sweep does after everything else failed: nothing twice, nothing too early, nothing never."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from chassis.bus import Bus, connect, provision
from contracts.outcomes import Outcome
from devstack.database import Database
from devstack.nats import RunningNats
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from tests.service.quota.quota_process import quota_here, replica
from tests.service.quota.requests import becomes, held, renew, settle, told
from tests.service.quota.scene import rows

LEASE, SWEEP = 1.0, 0.1
OUTCOMES = "SELECT outcome, charged FROM quota.reservations ORDER BY reserved_at"
COUNTERS = "SELECT DISTINCT used, reserved, in_flight FROM quota.windows JOIN quota.accounts USING (account_id)"


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


async def test_leases_that_ran_out_while_nobody_could_renew_them_are_not_ended_before_their_gateway_can(
    database: Database, nats_url: str
) -> None:
    async with connect(nats_url, name="test", instance="test") as bus:
        async with quota_here(database, nats_url, lease_seconds=2, sweep_seconds=0):
            alive, dead = await held(bus, account_id := uuid4()), await held(bus, account_id)
        await asyncio.sleep(2.1)
        async with quota_here(database, nats_url, lease_seconds=2, sweep_seconds=SWEEP):
            await asyncio.sleep(0.5)
            assert await told(bus) == []
            for _ in range(5):
                await renew(bus, alive)
                await asyncio.sleep(0.6)
            await becomes(database, OUTCOMES, [(None, None), ("expired", False)])
            assert [settled.request_id for settled in await told(bus)] == [dead.request_id]


async def test_a_sweep_waits_for_nats_and_then_ends_what_is_over(database: Database, nats_server: RunningNats) -> None:
    await provision(nats_server.url)
    async with connect(nats_server.url, name="test", instance="test") as bus:
        async with quota_here(database, nats_server.url, lease_seconds=LEASE, sweep_seconds=SWEEP):
            await held(bus, uuid4())
            await nats_server.child.halt()
            await asyncio.sleep(2 * LEASE)
            assert await rows(database, OUTCOMES) == [(None, None)]
            await nats_server.child.start()
            await becomes(database, OUTCOMES, [("expired", False)], within=20)
        assert [settled.outcome for settled in await told(bus)] == [Outcome.EXPIRED]


async def test_a_sweep_goes_on_after_its_database_was_away(database: Database, nats_url: str) -> None:
    async with (
        connect(nats_url, name="test", instance="test") as bus,
        quota_here(database, nats_url, lease_seconds=LEASE, sweep_seconds=SWEEP),
        await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin,
    ):
        await held(bus, uuid4())
        await admin.execute(f'ALTER DATABASE "{database.name}" CONNECTION LIMIT 0'.encode())
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'quota'")
        await asyncio.sleep(2 * LEASE)
        await admin.execute(f'ALTER DATABASE "{database.name}" CONNECTION LIMIT -1'.encode())
        await becomes(database, OUTCOMES, [("expired", False)], within=20)


async def test_a_replica_that_dies_between_commit_and_acknowledgement_counts_once(
    database: Database, nats_url: str, tmp_path: Path
) -> None:
    (tmp_path / "quota.folded").write_text("KILL")
    async with connect(nats_url, name="test", instance="test") as bus:
        async with replica(database, nats_url, extra={"SMARTROUTE_FAILPOINTS": str(tmp_path)}) as dying:
            requests = [await held(bus, account_id := uuid4())]
            requests += [await held(bus, account_id) for _ in range(2)]
            for question in requests:
                await settle(bus, question)
            assert await asyncio.wait_for(dying.child.ended(), 15) == -9
        async with replica(database, nats_url):
            await becomes(database, OUTCOMES, [("completed", True)] * 3, within=25)
            assert await rows(database, COUNTERS) == [(3, 0, 0)]
    assert await rows(database, "SELECT * FROM quota.settlement_conflicts") == []


async def test_what_was_over_before_nats_was_away_is_not_told_when_it_is_back_before_its_gateway_can_speak(
    database: Database, nats_server: RunningNats
) -> None:
    """A gateway that kept a settlement during the outage has to be first in the stream."""
    await provision(nats_server.url)
    async with connect(nats_server.url, name="test", instance="test") as bus:
        async with quota_here(database, nats_server.url, lease_seconds=3, sweep_seconds=0.05):
            question = await held(bus, uuid4())
            await asyncio.sleep(2.9)
            await nats_server.child.halt()
            await asyncio.sleep(1.5)
            await nats_server.child.start()
            assert await until(bus_is_back(bus), within_seconds=30)
            await asyncio.sleep(0.7)
            sequence = await settle(bus, question)
            await becomes(database, OUTCOMES, [("completed", True)], within=20)
        assert sequence == 1


def bus_is_back(bus: Bus) -> Callable[[], Awaitable[bool]]:
    async def is_connected() -> bool:
        return bus.is_connected

    return is_connected


async def test_a_lock_that_nobody_could_renew_behind_ends_nothing_when_it_is_gone(
    database: Database, nats_url: str
) -> None:
    async with (
        connect(nats_url, name="test", instance="test") as bus,
        quota_here(database, nats_url, lease_seconds=3, sweep_seconds=0.05),
        await psycopg.AsyncConnection.connect(database.admin_url) as admin,
    ):
        question = await held(bus, uuid4())
        await asyncio.sleep(2)
        await admin.execute("LOCK TABLE quota.reservations")
        await asyncio.sleep(3)
        await admin.commit()
        await asyncio.sleep(0.7)
        assert (await renew(bus, question)).gone == ()
        await asyncio.sleep(1)
        assert await told(bus) == []
