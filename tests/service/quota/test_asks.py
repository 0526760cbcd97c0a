"""What is asked and told of accounts over the bus: speed, suspension, plans to come, extra prompts, and the record."""

import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from opentelemetry.trace import SpanContext

from chassis import telemetry
from chassis.bus import Bus, PeerUnavailable, ask, connect, publish
from chassis.failpoints import VARIABLE
from contracts.billing import PROMPTS_GRANTED, SUBSCRIPTION_CHANGED, PromptsGranted, SubscriptionChanged
from contracts.quota import (
    BLOCK_TOKEN,
    RESERVE,
    SUSPEND_ACCOUNT,
    AccountSuspension,
    BlockToken,
    Denied,
    Granted,
    Reserve,
    SuspendAccount,
    TokenBlocked,
)
from devstack.database import Database
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from tests.service.quota.quota_process import plans_at_speed, quota_here, replica, reserve, usage
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


def refusal(reply: object) -> tuple[str, int | None, float | None]:
    assert isinstance(reply, Denied)
    return reply.reason, reply.speed_limit, reply.retry_after_seconds


async def test_a_refusal_for_speed_names_its_limit_and_when_to_come_back(
    database: Database, nats_url: str, bus: Bus, tmp_path: Path
) -> None:
    crowd, hurry = uuid4(), uuid4()
    async with quota_here(database, nats_url, plans=plans_at_speed(tmp_path, in_flight=2, requests_per_minute=3)):
        for _ in range(2):
            assert isinstance(await reserve(bus, crowd), Granted)
        assert refusal(await reserve(bus, crowd)) == ("too_many_in_flight", 2, 1.0)
    async with quota_here(database, nats_url, plans=plans_at_speed(tmp_path, requests_per_minute=3)):
        for _ in range(3):
            assert isinstance(await reserve(bus, hurry), Granted)
        assert refusal(await reserve(bus, hurry)) == ("too_many_a_minute", 3, 20.0)
        await turn_clock(database, NOW + timedelta(seconds=20))
        assert isinstance(await reserve(bus, hurry), Granted)
        assert (await usage(bus, hurry)).daily.used == 4


async def test_a_suspended_account_is_refused_until_it_is_resumed(database: Database, nats_url: str, bus: Bus) -> None:
    account_id = uuid4()

    async def suspend(revision: int, *, is_suspended: bool) -> object:
        question = SuspendAccount(account_id=account_id, is_suspended=is_suspended, revision=revision)
        return await ask(bus, SUSPEND_ACCOUNT, question, timeout_seconds=5)

    async with quota_here(database, nats_url), quota_here(database, nats_url):
        held = AccountSuspension(account_id=account_id, is_suspended=True, revision=2)
        assert await suspend(2, is_suspended=True) == held
        assert await suspend(1, is_suspended=False) == held
        replies = [await reserve(bus, account_id) for _ in range(6)]
        assert {refusal(reply)[0] for reply in replies} == {"account_suspended"}
        await suspend(3, is_suspended=False)
        assert isinstance(await reserve(bus, account_id), Granted)


async def test_a_token_blocked_with_its_account_is_refused(database: Database, nats_url: str, bus: Bus) -> None:
    account_id, token_id = uuid4(), uuid4()
    async with quota_here(database, nats_url):
        blocked = await ask(bus, BLOCK_TOKEN, BlockToken(token_id=token_id, account_id=account_id), timeout_seconds=5)
        assert blocked == TokenBlocked(token_id=token_id)
        assert refusal(await reserve(bus, account_id, token_id=token_id))[0] == "token_blocked"
    assert await rows(database, "SELECT version FROM quota.accounts") == [(1,)]


async def test_a_plan_that_is_told_for_later_comes_into_force_by_itself(
    database: Database, nats_url: str, bus: Bus
) -> None:
    account_id = uuid4()
    later = NOW + timedelta(hours=1)
    change = SubscriptionChanged(account_id=account_id, plan="pro", revision=1, effective_at=later)
    async with quota_here(database, nats_url):
        await publish(bus, SUBSCRIPTION_CHANGED, change, event_id="1", timeout_seconds=5)

        async def is_heard() -> bool:
            return bool(await rows(database, "SELECT FROM quota.plan_changes"))

        assert await until(is_heard, within_seconds=20)
        before = await reserve(bus, account_id)
        await turn_clock(database, later)
        after = await reserve(bus, account_id)
    assert isinstance(before, Granted)
    assert isinstance(after, Granted)
    assert (before.plan, before.daily.limit) == ("free", 200)
    assert (after.plan, after.daily.limit, after.daily.used) == ("pro", 3000, 2)


async def test_extra_prompts_that_are_told_twice_are_in_both_windows_once(
    database: Database, nats_url: str, bus: Bus
) -> None:
    account_id = uuid4()
    granted = PromptsGranted(
        grant_id=uuid4(), account_id=account_id, prompts=25, starts_at=NOW, ends_at=NOW + timedelta(days=1)
    )
    async with quota_here(database, nats_url):
        for event_id in ("1", "2"):
            await publish(bus, PROMPTS_GRANTED, granted, event_id=event_id, timeout_seconds=5)

        async def is_acknowledged() -> bool:
            return await rows(database, "SELECT version FROM quota.accounts") == [(2,)]

        assert await until(is_acknowledged, within_seconds=20)
        reply = await reserve(bus, account_id)
        read = await usage(bus, account_id)
    assert isinstance(reply, Granted)
    for daily in (reply.daily, read.daily):
        assert (daily.limit, daily.granted, daily.used, daily.remaining) == (225, 25, 1, 224)
    assert (reply.monthly.limit, reply.monthly.remaining) == (1025, 1024)


async def test_a_reservation_keeps_what_its_record_will_need(database: Database, nats_url: str, bus: Bus) -> None:
    question = Reserve(
        request_id=uuid4(),
        account_id=uuid4(),
        token_id=uuid4(),
        gateway="gateway-1",
        alias="smart-route-ultra",
        endpoint="chat/completions",
        is_stream=True,
    )
    async with quota_here(database, nats_url, lease_seconds=7):
        with telemetry.span("a request of a customer", parent=SpanContext(0xABC, 0x1, is_remote=True)):
            granted = await ask(bus, RESERVE, question, timeout_seconds=5)
    assert isinstance(granted, Granted)
    assert granted.lease_seconds == 7
    kept = "SELECT alias, endpoint, is_stream, trace_id, reserved_at, lease_until FROM quota.reservations"
    assert await rows(database, kept) == [
        ("smart-route-ultra", "chat/completions", True, f"{0xABC:032x}", NOW, NOW + timedelta(seconds=7))
    ]


async def test_a_replica_that_dies_between_commit_and_reply_has_held_the_prompt_once(
    database: Database, nats_url: str, bus: Bus, tmp_path: Path
) -> None:
    account_id, request_id = uuid4(), uuid4()
    (tmp_path / "quota.reserved").write_text("KILL")
    async with replica(database, nats_url, extra={VARIABLE: str(tmp_path)}) as dying:
        with pytest.raises(PeerUnavailable):
            await ask(bus, RESERVE, _a_reserve(account_id, request_id), timeout_seconds=2)
        assert await dying.child.ended() == -signal.SIGKILL
        assert await rows(database, "SELECT request_id FROM quota.reservations") == [(request_id,)]
    async with quota_here(database, nats_url):
        again = await reserve(bus, account_id, request_id=request_id)
    assert isinstance(again, Granted)
    assert again.daily.used == 1


def _a_reserve(account_id: UUID, request_id: UUID) -> Reserve:
    return Reserve(request_id=request_id, account_id=account_id, token_id=uuid4(), gateway="gateway-1")
