"""Billing as a real process, killed at the worst moments: nothing is lost, nothing is written or told twice."""

import asyncio
import json
import signal
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import nats
import psycopg

from chassis import failpoints
from contracts.streams import BILLING_REQUESTS
from devstack.nats import RunningNats
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import Billing, a_settlement, open_account, redeliver_after, settle, stored

INSIDE = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO billing.ledger %'
"""
TOLD = "SELECT revision FROM billing.subscription_changes WHERE published_at IS NOT NULL"
UNTOLD = "SELECT revision FROM billing.subscription_changes WHERE published_at IS NULL"


async def unacknowledged(nats_url: str) -> int:
    """Settlements that billing has not acknowledged, in hand or waiting."""
    client = await nats.connect(nats_url)
    try:
        info = await client.jsm().consumer_info("REQUESTS", BILLING_REQUESTS.name)
    finally:
        await client.close()
    return (info.num_ack_pending or 0) + (info.num_pending or 0)


async def all_acknowledged(nats_url: str) -> bool:
    async def none_left() -> bool:
        return await unacknowledged(nats_url) == 0

    return await until(none_left, within_seconds=30)


async def test_killed_between_commit_and_acknowledgement_it_still_writes_one_line_each(
    fresh_database: FreshDatabase, nats_url: str, tmp_path: Path
) -> None:
    billing = Billing(await fresh_database("billing"), nats_url, {failpoints.VARIABLE: str(tmp_path)})
    await redeliver_after(nats_url, seconds=1)
    settlements = [a_settlement() for _ in range(20)]
    async with billing.running() as process, billing.bus() as bus:
        (tmp_path / "billing.recorded").write_text("KILL")
        await settle(bus, *settlements)
        assert await asyncio.wait_for(process.child.ended(), 10) == -signal.SIGKILL
    written = await billing.wait_for_lines(1)
    assert len(written) >= 1
    assert await unacknowledged(nats_url) == 20

    async with billing.running():
        lines = await billing.wait_for_lines(20)
        assert await all_acknowledged(nats_url)
    assert sorted(str(line["request_id"]) for line in lines) == sorted(str(each.request_id) for each in settlements)
    assert await billing.rows("SELECT * FROM billing.settlement_conflicts") == []


async def test_a_replica_that_is_paused_in_its_transaction_does_not_hold_up_the_others_for_long(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    billing = Billing(await fresh_database("billing"), nats_url, {"BILLING_CLOSE_SECONDS": "0"})
    await redeliver_after(nats_url, seconds=1)
    # All of one account: whoever stands still inside a batch holds the lock of its chain.
    account = uuid4()
    settlements = [a_settlement(account_id=account) for _ in range(401)]

    async def is_inside() -> bool:
        return bool(await billing.rows(INSIDE))

    async with billing.running() as paused, billing.bus() as bus:
        async with await psycopg.AsyncConnection.connect(billing.database.admin_url) as blocker:
            await settle(bus, settlements[0])
            assert await billing.wait_for_lines(1)
            await blocker.execute("LOCK TABLE billing.ledger IN SHARE MODE")
            await settle(bus, *settlements[1:])
            assert await until(is_inside, within_seconds=30)
            paused.child.tell(signal.SIGSTOP)
        async with billing.running():
            lines = await billing.wait_for_lines(401, within_seconds=30)
            assert len(lines) == 401
            paused.child.tell(signal.SIGCONT)
            assert await all_acknowledged(nats_url)
    lines = await billing.wait_for_lines(401)
    assert sorted(line["sequence"] for line in lines) == list(range(1, 402))


async def test_killed_between_commit_and_publish_it_tells_the_change_once_after_all(
    fresh_database: FreshDatabase, nats_server: RunningNats, nats_url: str
) -> None:
    billing = Billing(await fresh_database("billing"), nats_url)
    async with billing.running() as process:
        async with billing.bus() as bus:
            account_id = await open_account(bus)

        async def is_open() -> bool:
            return bool(await billing.rows(TOLD))

        assert await until(is_open, within_seconds=30)
        await nats_server.child.halt()
        code, out, _ = await billing.command("set-plan", str(account_id), "pro", "--json")
        assert (code, json.loads(out)["published"]) == (0, False)
        await process.kill()
    await nats_server.child.start()
    assert len(await stored(nats_url, "SUBSCRIPTIONS")) == 1

    async with billing.running():

        async def is_told() -> bool:
            return not await billing.rows(UNTOLD)

        assert await until(is_told, within_seconds=30)
        await asyncio.sleep(1.2)  # one more look into the outbox
    told = [json.loads(event) for event in await stored(nats_url, "SUBSCRIPTIONS")]
    assert [event["id"] for event in told] == [f"{account_id}:1", f"{account_id}:2"]
    assert [event["data"]["plan"] for event in told] == ["free", "pro"]


async def test_killed_between_publish_and_mark_it_does_not_tell_the_change_twice(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    billing = Billing(await fresh_database("billing"), nats_url)
    async with billing.running() as process, billing.bus() as bus:
        account_id = await open_account(bus)

        async def events() -> bool:
            return len(await stored(nats_url, "SUBSCRIPTIONS")) == 2

        async def is_marked() -> bool:
            return bool(await billing.rows(TOLD))

        assert await until(is_marked, within_seconds=30)
        # A constraint that is checked for the mark alone lets the event go out and holds the mark up.
        async with await psycopg.AsyncConnection.connect(billing.database.admin_url, autocommit=True) as admin:
            await admin.execute(
                "CREATE FUNCTION billing.dawdle() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_sleep(8); RETURN NEW; END $$"
            )
            await admin.execute(
                "CREATE TRIGGER dawdle BEFORE UPDATE ON billing.subscription_changes "
                "FOR EACH ROW EXECUTE FUNCTION billing.dawdle()"
            )
            command = asyncio.create_task(billing.command("set-plan", str(account_id), "max"))
            assert await until(events, within_seconds=30)
            await process.kill()
            assert (await command)[0] == 0
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = 'billing' AND datname = current_database()"
            )
            await admin.execute("DROP TRIGGER dawdle ON billing.subscription_changes")
        assert len(await billing.rows(UNTOLD)) == 1

        async with billing.running():

            async def all_marked() -> bool:
                return not await billing.rows(UNTOLD)

            assert await until(all_marked, within_seconds=30)
    assert len(await stored(nats_url, "SUBSCRIPTIONS")) == 2


async def test_it_is_not_ready_without_its_bus_and_ready_again_when_that_is_back(
    fresh_database: FreshDatabase, nats_server: RunningNats, nats_url: str
) -> None:
    billing = Billing(await fresh_database("billing"), nats_url)
    async with billing.running() as process:
        ready = process.child.program.ready

        async def is_unready() -> bool:
            return not await ready()

        assert (await process.readiness() or {})["checks"] == {"nats": True, "database": True, "schema": True}
        await nats_server.child.halt()
        assert await until(is_unready, within_seconds=15)
        await nats_server.child.start()
        assert await until(ready, within_seconds=15)
        settled = a_settlement()
        late = settled.model_copy(update={"ended_at": settled.ended_at - timedelta(seconds=30)})
        async with billing.bus() as bus:
            await settle(bus, late)
        assert len(await billing.wait_for_lines(1)) == 1
        process.child.tell(signal.SIGTERM)
        assert await asyncio.wait_for(process.child.ended(), 10) == 0
