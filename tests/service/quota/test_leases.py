"""Leases on real Postgres and NATS: renewed, run out, told to the stream, and ended by what the stream says first."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from chassis.bus import Bus, ask, connect
from contracts.outcomes import Outcome
from contracts.quota import RESERVE, Granted
from devstack.database import Database
from devstack.pytest_plugin import FreshDatabase
from tests.service.quota.quota_process import quota_here
from tests.service.quota.requests import a_reserve, becomes, continued, held, renew, settle, told
from tests.service.quota.scene import rows

LEASE, SWEEP = 1.0, 0.1
OUTCOMES = "SELECT outcome, charged FROM quota.reservations ORDER BY reserved_at"
WINDOWS = "SELECT DISTINCT used, reserved, drawn FROM quota.windows"
IN_FLIGHT = "SELECT in_flight FROM quota.accounts"


@pytest.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    return await fresh_database("quota")


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="test", instance="test") as bus:
        yield bus


async def test_a_prompt_whose_gateway_died_comes_back_and_the_stream_says_why(
    database: Database, nats_url: str, bus: Bus
) -> None:
    account_id = uuid4()
    async with quota_here(database, nats_url, instance="quota-7", lease_seconds=LEASE, sweep_seconds=SWEEP):
        question = await held(bus, account_id)
        await becomes(database, OUTCOMES, [("expired", False)])
        assert await rows(database, WINDOWS) == [(0, 0, 0)]
        assert await rows(database, IN_FLIGHT) == [(0,)]
        (settled,) = await told(bus)
    assert (settled.request_id, settled.account_id, settled.token_id) == (
        question.request_id,
        account_id,
        question.token_id,
    )
    assert (settled.outcome, settled.settled_by, settled.prompts) == (Outcome.EXPIRED, "quota-7", 0)
    assert (settled.alias_asked, settled.alias_served) == ("smart-route-ultra", "smart-route-mini")
    assert (settled.endpoint, settled.is_stream, settled.attempts) == ("chat/completions", True, 0)
    assert settled.timings.total_ms >= LEASE * 1000
    assert settled.daily is not None
    assert (settled.daily.limit, settled.daily.used, settled.daily.remaining) == (200, 0, 200)


async def test_a_continuation_whose_gateway_died_gives_no_prompt_back_and_can_be_asked_for_again(
    database: Database, nats_url: str, bus: Bus
) -> None:
    async with quota_here(database, nats_url, lease_seconds=LEASE, sweep_seconds=SWEEP):
        opener = await held(bus, uuid4())
        await settle(bus, opener)
        await becomes(database, WINDOWS, [(1, 0, 0)])
        question = await continued(bus, opener)
        await becomes(database, OUTCOMES, [("completed", True), ("expired", False)])
        await becomes(database, "SELECT calls, answered FROM quota.turns", [(2, [])])
        assert await rows(database, WINDOWS) == [(1, 0, 0)]
        assert await rows(database, IN_FLIGHT) == [(0,)]
        await continued(bus, opener)
        settled = (await told(bus))[1]
    assert (settled.request_id, settled.turn_id, settled.call) == (question.request_id, opener.request_id, 2)
    assert (settled.outcome, settled.ended_as, settled.prompts) == (Outcome.EXPIRED, None, 0)
    assert settled.daily is not None
    assert (settled.daily.limit, settled.daily.used, settled.daily.remaining) == (200, 1, 199)


async def test_a_renewed_prompt_stays_held_for_longer_than_its_lease(
    database: Database, nats_url: str, bus: Bus
) -> None:
    async with quota_here(database, nats_url, lease_seconds=LEASE, sweep_seconds=SWEEP):
        question, other = await held(bus, account_id := uuid4()), await held(bus, account_id)
        for _ in range(8):
            renewed = await renew(bus, question)
            assert (renewed.lease_seconds, renewed.gone) == (LEASE, ())
            await asyncio.sleep(LEASE / 3)
        assert [settled.request_id for settled in await told(bus)] == [other.request_id]
        await settle(bus, question)
        await becomes(database, OUTCOMES, [("completed", True), ("expired", False)])


async def test_renewing_tells_what_is_settled_unknown_or_another_gateways(
    database: Database, nats_url: str, bus: Bus
) -> None:
    async with quota_here(database, nats_url):
        account_id = uuid4()
        open_, done, foreign = [await held(bus, account_id) for _ in range(3)]
        foreign = await held(bus, account_id, gateway="gateway-2")
        await settle(bus, done)
        await becomes(database, "SELECT count(*) FROM quota.reservations WHERE outcome IS NOT NULL", [(1,)])
        renewed = await renew(bus, open_, done, foreign, unknown := a_reserve(account_id))
    assert set(renewed.gone) == {done.request_id, foreign.request_id, unknown.request_id}


async def test_an_abandoned_prompt_is_back_at_once_and_only_for_its_gateway(
    database: Database, nats_url: str, bus: Bus
) -> None:
    async with quota_here(database, nats_url, lease_seconds=3, sweep_seconds=0.2):
        await asyncio.sleep(3.2)  # after a start gateways are given the time to renew
        account_id = uuid4()
        mine, foreign = await held(bus, account_id), await held(bus, account_id, gateway="gateway-2")
        await renew(bus, abandoned=(mine, foreign, a_reserve(account_id)))
        await becomes(database, OUTCOMES, [("expired", False), (None, None)], within=1.5)


async def test_a_late_settlement_of_a_paused_gateway_loses_and_is_kept(
    database: Database, nats_url: str, bus: Bus
) -> None:
    async with quota_here(database, nats_url, lease_seconds=LEASE, sweep_seconds=SWEEP):
        question = await held(bus, uuid4())
        await becomes(database, OUTCOMES, [("expired", False)])
        sequence = await settle(bus, question)
        await becomes(
            database,
            "SELECT sequence, outcome, reason FROM quota.settlement_conflicts WHERE reason = 'later'",
            [(sequence, "completed", "later")],
        )
        assert await rows(database, WINDOWS) == [(0, 0, 0)]


async def test_an_expiry_waits_for_a_settlement_that_another_replica_has_taken_and_not_folded(
    database: Database, nats_url: str, bus: Bus
) -> None:
    """A replica that stands still has the settlement in hand when the lease runs out: the prompt must not be free."""
    async with quota_here(database, nats_url, lease_seconds=LEASE, sweep_seconds=0):
        question = await held(bus, uuid4())
    await settle(bus, question)
    frozen = await bus.client.jetstream().pull_subscribe_bind("quota_requests", "REQUESTS")
    (taken,) = await frozen.fetch(1, timeout=2)
    async with quota_here(database, nats_url, lease_seconds=LEASE, sweep_seconds=SWEEP):
        reasons = "SELECT sequence, reason FROM quota.settlement_conflicts"
        await becomes(database, reasons, [(2, "waiting")])
        await asyncio.sleep(1)
        assert await rows(database, WINDOWS) == [(0, 1, 0)]
        await taken.nak()
        await becomes(database, OUTCOMES, [("completed", True)])
        assert await rows(database, WINDOWS) == [(1, 0, 0)]


async def test_a_settlement_that_is_quicker_than_its_reservation_ends_it_as_the_ledger_has_it(
    database: Database, nats_url: str, bus: Bus
) -> None:
    async with quota_here(database, nats_url, lease_seconds=LEASE, sweep_seconds=SWEEP):
        question = a_reserve(uuid4())
        await settle(bus, question)
        await becomes(database, "SELECT reason FROM quota.settlement_conflicts", [("no_reservation",)])
        reply = await ask(bus, RESERVE, question, timeout_seconds=5)
        assert isinstance(reply, Granted)
        await becomes(database, OUTCOMES, [("completed", True)])
        assert await rows(database, WINDOWS) == [(1, 0, 0)]
        assert [settled.outcome for settled in await told(bus)] == [Outcome.COMPLETED]


async def test_several_sweepers_end_a_prompt_once(database: Database, nats_url: str, bus: Bus) -> None:
    async with (
        quota_here(database, nats_url, instance="a", lease_seconds=LEASE, sweep_seconds=SWEEP),
        quota_here(database, nats_url, instance="b", lease_seconds=LEASE, sweep_seconds=SWEEP),
        quota_here(database, nats_url, instance="c", lease_seconds=LEASE, sweep_seconds=SWEEP),
    ):
        account_id = uuid4()
        for _ in range(30):
            await held(bus, account_id)
        await becomes(database, "SELECT DISTINCT outcome FROM quota.reservations", [("expired",)])
        settled = await told(bus)
    assert len({one.request_id for one in settled}) == 30
    assert await rows(database, WINDOWS) == [(0, 0, 0)]
    assert await rows(database, IN_FLIGHT) == [(0,)]


async def test_without_a_sweep_nothing_ends(database: Database, nats_url: str, bus: Bus) -> None:
    async with quota_here(database, nats_url, lease_seconds=0.5, sweep_seconds=0):
        await held(bus, uuid4())
        await asyncio.sleep(1.5)
        assert await told(bus) == []
    assert await rows(database, OUTCOMES) == [(None, None)]
