"""A change of plan is told at its commit, whoever committed it: here the outbox is looked at once an hour."""

import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest_asyncio

from billing.domain.subscriptions import Subscription
from billing.relay import Relay
from billing.store import Store
from chassis.bus import Bus, connect
from chassis.database import create_engine
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import Billing
from tests.service.quota.quota_process import quota_here, usage

AN_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Told:
    """Quota listens to what billing's relay tells of this store."""

    billing: Billing
    bus: Bus
    store: Store

    async def open(self) -> UUID:
        anna = Subscription(uuid4(), "Anna", "free", 1, datetime.now(UTC))
        assert await self.store.subscriptions.open(anna, actor="test")
        return anna.account_id

    async def is_in_force(self, account_id: UUID, plan: str) -> bool:
        async def is_so() -> bool:
            return (await usage(self.bus, account_id)).plan == plan

        return await until(is_so, within_seconds=30, every_seconds=0.005)


@pytest_asyncio.fixture
async def told(fresh_database: FreshDatabase, nats_url: str) -> AsyncIterator[Told]:
    database = await fresh_database("billing", "quota")
    store = Store(create_engine(database.url("billing")), database.url("billing"))
    async with (
        connect(nats_url, name="test", instance="test") as bus,
        quota_here(database, nats_url),
        Relay(
            store.subscriptions, store.commits, bus, publish_timeout_seconds=5, poll_seconds=AN_HOUR_SECONDS
        ).running(),
    ):
        yield Told(Billing(database, nats_url), bus, store)
    await store.close()


async def test_a_plan_that_staff_sets_is_in_force_in_quota_without_waiting_for_the_next_look(told: Told) -> None:
    account_id = await told.open()
    assert await told.is_in_force(account_id, "free")
    code, out, _ = await told.billing.command("set-plan", str(account_id), "pro")
    assert (code, out.splitlines()[-1]) == (0, "published: in force everywhere")
    assert await told.is_in_force(account_id, "pro")


async def test_a_change_is_in_force_within_a_second_of_its_commit(told: Told) -> None:
    """The middle of many: a machine that is busy with other tests may be late with a few."""
    account_id = await told.open()
    took_seconds = []
    for number in range(100):
        plan = ("plus", "pro")[number % 2]
        await told.store.subscriptions.change_plan(account_id, plan, actor="test")
        began = time.monotonic()
        assert await told.is_in_force(account_id, plan)
        took_seconds.append(time.monotonic() - began)
    assert statistics.median(took_seconds) < 1.0


async def test_a_relay_that_lost_its_ear_listens_again_and_finds_what_it_missed(told: Told) -> None:
    account_id = await told.open()
    assert await told.is_in_force(account_id, "free")
    async with await psycopg.AsyncConnection.connect(told.billing.database.admin_url) as admin:
        ended = await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query = 'LISTEN billing_outbox'"
        )
        assert ended.rowcount == 1
    await told.store.subscriptions.change_plan(account_id, "max", actor="test")
    assert await told.is_in_force(account_id, "max")
