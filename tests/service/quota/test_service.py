"""The service over real NATS and Postgres: what is asked, what is heard, what is answered when something breaks."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from chassis.bus import Bus, ask, connect, publish
from contracts.billing import SUBSCRIPTION_CHANGED, SubscriptionChanged
from contracts.failures import Failure
from contracts.gateway import REQUEST_SETTLED, RequestSettled, Timings, TokenUsage
from contracts.outcomes import Outcome
from contracts.quota import (
    BLOCK_TOKEN,
    READ_USAGE,
    RESERVE,
    BlockToken,
    Continued,
    Denied,
    Granted,
    ReadUsage,
    Reserve,
    TokenBlocked,
)
from devstack.database import Database
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from tests.service.quota.quota_process import plans_at_speed, quota_here, reserve, usage
from tests.service.quota.scene import rows, turn_clock

NOW = datetime(2026, 3, 14, 15, tzinfo=UTC)


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    database = await fresh_database("quota")
    await turn_clock(database, NOW)
    return database


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test", instance="test") as bus:
        yield bus


async def change_plan(bus: Bus, account_id: UUID, plan: str, revision: int = 1) -> None:
    change = SubscriptionChanged(account_id=account_id, plan=plan, revision=revision, effective_at=NOW)
    event_id = f"{account_id}:{revision}"
    await publish(bus, SUBSCRIPTION_CHANGED, change, event_id=event_id, timeout_seconds=5)


def a_settlement(account_id: UUID, request_id: UUID, outcome: Outcome) -> RequestSettled:
    return RequestSettled(
        request_id=request_id,
        account_id=account_id,
        token_id=uuid4(),
        turn_id=request_id,
        call=1,
        outcome=outcome,
        plan="free",
        plans_version=1,
        alias_asked="smart-route-mini",
        alias_served="smart-route-mini",
        endpoint="chat/completions",
        is_stream=False,
        day=NOW.date(),
        month=NOW.date().replace(day=1),
        started_at=NOW,
        ended_at=NOW,
        timings=Timings(total_ms=1),
        tokens=TokenUsage(),
        target="local",
        attempts=1,
        error_code=None,
        trace_id=None,
    )


async def test_a_grant_says_plan_turn_and_both_windows(database: Database, nats_url: str, bus: Bus) -> None:
    request_id = uuid4()
    async with quota_here(database, nats_url):
        granted = await reserve(bus, uuid4(), request_id=request_id)
    assert isinstance(granted, Granted)
    assert (granted.plan, granted.plans_version) == ("free", 1)
    assert granted.turn.model_dump() == {"turn_id": request_id, "call": 1, "calls": 50}
    assert granted.daily.model_dump() == {
        "limit": 200,
        "granted": 0,
        "used": 1,
        "reserved": 1,
        "remaining": 199,
        "starts_on": date(2026, 3, 14),
        "resets_at": datetime(2026, 3, 15, tzinfo=UTC),
    }
    assert granted.monthly.model_dump() == {
        "limit": 1000,
        "granted": 0,
        "used": 1,
        "reserved": 1,
        "remaining": 999,
        "starts_on": date(2026, 3, 1),
        "resets_at": datetime(2026, 4, 1, tzinfo=UTC),
    }


async def test_a_continuation_is_granted_as_the_next_call_of_its_turn_and_leaves_both_windows_as_they_are(
    database: Database, nats_url: str, bus: Bus
) -> None:
    account_id, opener_id, request_id = uuid4(), uuid4(), uuid4()
    async with quota_here(database, nats_url):
        opened = await reserve(bus, account_id, request_id=opener_id)
        question = Reserve(
            request_id=request_id,
            account_id=account_id,
            token_id=uuid4(),
            gateway="gateway-2",
            continues=Continued(turn_id=opener_id, answers=1),
        )
        granted = await ask(bus, RESERVE, question, timeout_seconds=5)
        other = question.model_copy(update={"request_id": uuid4()})
        charged = await ask(bus, RESERVE, other, timeout_seconds=5)
    assert isinstance(opened, Granted)
    assert isinstance(granted, Granted)
    assert isinstance(charged, Granted)
    assert granted.turn.model_dump() == {"turn_id": opener_id, "call": 2, "calls": 50}
    assert (granted.daily, granted.monthly) == (opened.daily, opened.monthly)
    assert charged.turn.model_dump() == {"turn_id": other.request_id, "call": 1, "calls": 50}
    assert charged.daily.used == 2


async def test_a_denial_says_which_window_binds_and_what_both_hold(
    database: Database, nats_url: str, bus: Bus, tmp_path: Path
) -> None:
    account_id = uuid4()
    async with quota_here(database, nats_url, plans=plans_at_speed(tmp_path), deadline_seconds=10):
        replies = await asyncio.gather(*(reserve(bus, account_id) for _ in range(201)))
    assert {type(reply) for reply in replies} == {Granted, Denied}
    (denied,) = (reply for reply in replies if isinstance(reply, Denied))
    assert denied.reason == "daily_spent"
    assert (denied.daily.used, denied.daily.remaining, denied.monthly.remaining) == (200, 0, 800)


async def test_usage_of_an_account_that_nobody_ever_saw_is_the_default_plan_unused(
    database: Database, nats_url: str, bus: Bus
) -> None:
    async with quota_here(database, nats_url):
        read = await usage(bus, uuid4())
    assert (read.plan, read.alias, read.daily.used, read.monthly.remaining) == ("free", "smart-route-mini", 0, 1000)
    assert await rows(database, "SELECT count(*) FROM quota.accounts") == [(0,)]


async def test_usage_counts_what_is_finished_and_what_is_held(database: Database, nats_url: str, bus: Bus) -> None:
    account_id = uuid4()
    requests = [uuid4() for _ in range(3)]
    async with quota_here(database, nats_url):
        for request_id in requests:
            await reserve(bus, account_id, request_id=request_id)
        for request_id, outcome in zip(requests, (Outcome.COMPLETED, Outcome.EMPTY), strict=False):
            settled = a_settlement(account_id, request_id, outcome)
            await publish(bus, REQUEST_SETTLED, settled, event_id=str(request_id), timeout_seconds=5)

        async def is_folded() -> bool:
            return (await usage(bus, account_id)).daily.reserved == 1

        assert await until(is_folded, within_seconds=30)
        read = await usage(bus, account_id)
    assert (read.daily.used, read.daily.reserved, read.daily.remaining) == (2, 1, 198)
    assert (read.monthly.used, read.monthly.reserved, read.monthly.remaining) == (2, 1, 998)


async def test_a_plan_change_on_the_bus_is_in_force_for_the_next_prompt_and_keeps_what_was_used(
    database: Database, nats_url: str, bus: Bus
) -> None:
    account_id = uuid4()
    async with quota_here(database, nats_url):
        await reserve(bus, account_id)
        await change_plan(bus, account_id, "unlimited")

        async def is_heard() -> bool:
            return (await usage(bus, account_id)).plan == "unlimited"

        assert await until(is_heard, within_seconds=30)
        granted = await reserve(bus, account_id)
    assert isinstance(granted, Granted)
    assert (granted.plan, granted.daily.limit, granted.daily.remaining, granted.daily.used) == (
        "unlimited",
        None,
        None,
        2,
    )


async def test_a_plan_that_left_the_catalogue_is_said_in_the_log_once_and_replaced_by_the_default(
    database: Database, nats_url: str, bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    account_id = uuid4()
    async with quota_here(database, nats_url):
        await change_plan(bus, account_id, "golden")

        async def is_heard() -> bool:
            return bool(await rows(database, "SELECT FROM quota.accounts WHERE plan = 'golden'"))

        assert await until(is_heard, within_seconds=30)
        granted = await reserve(bus, account_id)
        await reserve(bus, account_id)
        assert (await usage(bus, account_id)).plan == "free"
    assert isinstance(granted, Granted)
    assert (granted.plan, granted.daily.limit) == ("free", 200)
    assert sum("not in the catalogue" in record.message for record in caplog.records) == 1


async def test_a_new_catalogue_is_in_force_without_a_restart(
    database: Database, nats_url: str, bus: Bus, tmp_path: Path
) -> None:
    plans = tmp_path / "plans.yaml"
    plan = "{name: free, alias: a, public_name: A, power: p, best_fit: b, daily_prompts: %d, monthly_prompts: null}"
    catalogue = "{version: %d, default_plan: free, plans: [" + plan + "]}"
    plans.write_text(catalogue % (1, 0))
    account_id = uuid4()
    async with quota_here(database, nats_url, plans=plans):
        assert isinstance(await reserve(bus, account_id), Denied)
        plans.write_text(catalogue % (2, 9))

        async def is_reloaded() -> bool:
            return (await usage(bus, account_id)).plans_version == 2

        assert await until(is_reloaded, within_seconds=30)
        granted = await reserve(bus, account_id)
    assert isinstance(granted, Granted)
    assert (granted.plans_version, granted.daily.limit) == (2, 9)


async def test_nothing_is_admitted_with_a_token_once_its_block_was_answered(
    database: Database, nats_url: str, bus: Bus
) -> None:
    account_id, token_id = uuid4(), uuid4()
    async with quota_here(database, nats_url), quota_here(database, nats_url):
        assert isinstance(await reserve(bus, account_id, token_id=token_id), Granted)
        for _ in range(2):
            blocked = await ask(bus, BLOCK_TOKEN, BlockToken(token_id=token_id), timeout_seconds=5)
            assert blocked == TokenBlocked(token_id=token_id)
        replies = await asyncio.gather(*(reserve(bus, account_id, token_id=token_id) for _ in range(20)))
    assert {reply.reason if isinstance(reply, Denied) else "" for reply in replies} == {"token_blocked"}


async def test_a_crash_is_answered_at_once(
    database: Database, nats_url: str, bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    async with quota_here(database, nats_url):
        await reserve(bus, uuid4())
        async with await psycopg.AsyncConnection.connect(database.owner_url("quota"), autocommit=True) as owner:
            await owner.execute("REVOKE ALL ON quota.windows FROM quota")
        began = time.monotonic()
        reserved = await reserve(bus, uuid4())
        read = await ask(bus, READ_USAGE, ReadUsage(account_id=uuid4()), timeout_seconds=30)
    assert time.monotonic() - began < 15
    assert [reply.code for reply in (reserved, read) if isinstance(reply, Failure)] == ["crashed", "crashed"]
    assert "permission denied" in caplog.text


async def test_one_ask_that_the_database_cannot_store_does_not_fail_those_beside_it(
    database: Database, nats_url: str, bus: Bus
) -> None:
    account_id = uuid4()
    poison = Reserve(request_id=uuid4(), account_id=account_id, token_id=uuid4(), gateway="\0")
    async with quota_here(database, nats_url):
        asked = [reserve(bus, account_id) for _ in range(9)]
        broken, *replies = await asyncio.gather(ask(bus, RESERVE, poison, timeout_seconds=5), *asked)
    assert isinstance(broken, Failure)
    assert all(isinstance(reply, Granted) for reply in replies)


async def test_while_the_database_refuses_everyone_asks_are_answered_unavailable_and_recover_by_themselves(
    database: Database, nats_url: str, bus: Bus
) -> None:
    account_id, request_id = uuid4(), uuid4()
    async with quota_here(database, nats_url):
        await reserve(bus, account_id)
        async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as admin:
            await admin.execute(f'ALTER DATABASE "{database.name}" CONNECTION LIMIT 0'.encode())
            await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'quota'")
            refused = await reserve(bus, account_id, request_id=request_id)
            await admin.execute(f'ALTER DATABASE "{database.name}" CONNECTION LIMIT -1'.encode())
        granted = await reserve(bus, account_id, request_id=request_id)
    assert isinstance(refused, Failure)
    assert refused.code == "unavailable"
    assert isinstance(granted, Granted)
    assert granted.daily.used == 2
