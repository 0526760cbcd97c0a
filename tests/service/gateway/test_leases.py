"""Held prompts: kept as long as their requests run, given back when a gateway dies or never heard the answer."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import nats
import pytest
from nats.aio.msg import Msg

from chassis import bus
from chassis.bus import Bus
from contracts.failures import Failure
from contracts.outcomes import Outcome
from contracts.quota import RENEW, RESERVE, Denied, Granted, Lease, Renew, Renewed, Reserve, Window
from devstack.probes import until
from devstack.provider import Provider, scripts
from devstack.pytest_plugin import FreshDatabase
from gateway.leases import PORTION, Leases
from gateway.peers import Peers
from tests.service.gateway.chat_house import house, target
from tests.service.gateway.chat_process import begun_streams, serving

MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC)
SHORT: dict[str, Any] = {"lease_seconds": 1.0, "sweep_seconds": 0.2}


async def test_a_stream_that_is_longer_than_its_lease_stays_held(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.chunks(70, interval_seconds=0.05)) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, quota=SHORT) as home,
    ):
        async with _renewals(nats_url) as renewals:
            answer = await home.ask(stream=True)
            settled = await home.settlement()
            while_open = len(renewals)
            await asyncio.sleep(0.8)
        cost = await home.cost()
    assert answer.events[-1] == "[DONE]"
    assert (settled.outcome, settled.timings.total_ms > 3000, cost) == (Outcome.COMPLETED, True, 1)
    assert while_open >= 5, "every third of a second"
    assert len(renewals) == while_open, "it was renewed after its end"


@asynccontextmanager
async def _renewals(nats_url: str) -> AsyncIterator[list[Renew]]:
    """Every `renew` that goes over the bus meanwhile."""
    heard: list[Renew] = []

    async def on_renew(message: Msg) -> None:
        heard.append(Renew.model_validate_json(message.data))

    client = await nats.connect(nats_url)
    try:
        await client.subscribe(RENEW.subject, cb=on_renew)
        await client.flush()
        yield heard
    finally:
        await client.close()


async def test_a_prompt_whose_settlement_is_kept_stays_held_until_it_is_stored(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        house(
            nats_url,
            fresh_database,
            tmp_path,
            {"a": target(provider, "a")},
            quota=SHORT,
            settle_timeout_seconds=0.3,
        ) as home,
    ):
        await home.cap_requests(10)
        assert (await home.ask()).status == 200
        await asyncio.sleep(2.5)
        await home.cap_requests(1024**2)
        settled = await home.settlement()
        cost = await home.cost()
    assert (settled.outcome, cost) == (Outcome.COMPLETED, 1)


async def test_a_prompt_that_a_crash_of_ours_left_unsettled_is_let_go(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, quota=SHORT) as home,
    ):
        monkeypatch.setattr("gateway.exchange.settled_of", crash)
        answer = await home.ask()
        settled = await home.settlement()
        cost = await home.cost()
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    assert (settled.outcome, cost) == (Outcome.EXPIRED, 0)


async def test_a_gateway_that_was_paused_beyond_the_lease_ends_its_answer_and_charges_nothing(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.chunks(100, interval_seconds=0.05)) as provider,
        house(
            nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"], quota=SHORT
        ) as home,
        serving(home, tmp_path / "data") as gateway,
    ):
        (asking,) = await begun_streams(home, 1)
        gateway.child.tell(signal.SIGSTOP)
        (expired,) = await home.settlements(1, within_seconds=15)
        gateway.child.tell(signal.SIGCONT)
        answer = await asking
        first, late = await home.settlements(2)
        cost = await home.cost()
        async with httpx.AsyncClient() as client:
            measured = (await client.get(f"{gateway.health}/metrics")).text
    assert answer.text.endswith("word99")
    assert answer.events[-1] == "[DONE]"
    assert first == expired
    assert (expired.outcome, late.outcome, cost) == (Outcome.EXPIRED, Outcome.COMPLETED, 0)
    assert expired.request_id == late.request_id
    assert re.search(r"^smartroute_leases_gone_total\{.*\} 1\.0$", measured, re.MULTILINE)


async def test_the_prompts_of_a_killed_gateway_come_back(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.chunks(1000, interval_seconds=0.05)) as provider,
        house(
            nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"], quota=SHORT
        ) as home,
    ):
        async with serving(home, tmp_path / "data") as gateway:
            streams = await begun_streams(home, 5)
            gateway.child.kill()
            answers = await asyncio.gather(*streams)
        settled = await home.settlements(5, within_seconds=15)
        cost = await home.cost()
    assert not any("[DONE]" in answer.events for answer in answers)
    assert {entry.outcome for entry in settled} == {Outcome.EXPIRED}
    assert {(entry.alias_asked, entry.is_stream) for entry in settled} == {("smart-route", True)}
    assert cost == 0


async def test_a_reservation_whose_answer_never_came_is_given_up_at_once_and_once_more(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    renewals: list[Renew] = []

    async def too_late(_: Reserve) -> Granted | Denied | Failure:
        await asyncio.sleep(5)
        return Failure(code="crashed", message="too late for anybody")

    async def renew(asked: Renew) -> Renewed | Failure:
        renewals.append(asked)
        return Renewed(lease_seconds=0.6)

    async def is_told_twice() -> bool:
        return len([each for each in renewals if each.abandoned]) >= 2

    async with (
        Provider() as provider,
        bus.connect(nats_url, name="test", instance="test") as connection,
        house(
            nats_url,
            fresh_database,
            tmp_path,
            {"a": target(provider, "a")},
            without=["quota"],
            reserve_timeout_seconds=0.3,
        ) as home,
    ):
        await bus.serve(connection, RENEW, renew, queue="test")
        await home.ask()
        assert not renewals, "nobody had received it: there is nothing to give up"
        await bus.serve(connection, RESERVE, too_late, queue="test")
        answer = await home.ask()
        assert await until(is_told_twice, within_seconds=30)
        await asyncio.sleep(0.5)
    assert answer.status == 503
    told = [lease for each in renewals for lease in each.abandoned]
    account_id = home.account_id
    assert told == [Lease(account_id=account_id, request_id=UUID(answer.headers["x-request-id"]))] * 2
    assert not any(each.open for each in renewals)


async def test_a_refusal_to_the_second_ask_gives_up_what_the_first_may_still_hold(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    renewals: list[Renew] = []
    asks: list[Reserve] = []
    window = Window(limit=5, used=5, reserved=5, remaining=0, starts_on=date(2026, 11, 1), resets_at=MIDNIGHT)

    async def slow_at_first(asked: Reserve) -> Granted | Denied | Failure:
        asks.append(asked)
        if len(asks) == 1:
            return Failure(code="unavailable", message="it may be carried out all the same")
        return Denied(reason="daily_spent", plan="free", plans_version=1, daily=window, monthly=window)

    async def renew(asked: Renew) -> Renewed | Failure:
        renewals.append(asked)
        return Renewed(lease_seconds=0.6)

    async def is_told() -> bool:
        return any(each.abandoned for each in renewals)

    async with (
        Provider() as provider,
        bus.connect(nats_url, name="test", instance="test") as connection,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["quota"]) as home,
    ):
        await bus.serve(connection, RENEW, renew, queue="test")
        await bus.serve(connection, RESERVE, slow_at_first, queue="test")
        refused = await home.ask()
        assert await until(is_told, within_seconds=30)
        again = await home.ask()
    assert (refused.status, again.status) == (429, 429)
    told = {lease.request_id for each in renewals for lease in each.abandoned}
    assert told == {UUID(refused.headers["x-request-id"])}, "an answer to the first ask leaves nothing behind"


@asynccontextmanager
async def _leases(nats_url: str, answer: Callable[[Renew], Renewed | Failure]) -> AsyncIterator[tuple[Leases, Bus]]:
    """Leases in front of a quota that answers so."""

    async def renew(asked: Renew) -> Renewed | Failure:
        return answer(asked)

    async with (
        bus.connect(nats_url, name="quota", instance="quota") as quota,
        bus.connect(nats_url, name="gateway", instance="gateway-1") as connection,
    ):
        await bus.serve(quota, RENEW, renew, queue="quota")
        peers = Peers(connection, reserve_timeout_seconds=1, choose_timeout_seconds=1)
        leases = Leases(peers, instance="gateway-1")
        async with leases.renewing():
            yield leases, connection


async def test_all_that_is_open_is_renewed_every_third_of_the_lease_in_portions(nats_url: str) -> None:
    asked: list[Renew] = []

    def answer(renew: Renew) -> Renewed:
        asked.append(renew)
        return Renewed(lease_seconds=3.0)

    held = [Lease(account_id=uuid4(), request_id=uuid4()) for _ in range(2 * PORTION + 500)]
    async with _leases(nats_url, answer) as (leases, _):
        began = asyncio.get_running_loop().time()
        for lease in held:
            leases.hold(lease, seconds=3.0)

        async def has_rounds() -> bool:
            return len(asked) >= 6

        assert await until(has_rounds, within_seconds=20)
        took = asyncio.get_running_loop().time() - began
    assert 1.9 < took < 5.5, "two rounds are due after one second and two; two leases are six"
    for portions in (asked[:3], asked[3:6]):
        assert sorted(len(each.open) for each in portions) == [500, PORTION, PORTION]
        assert {lease.request_id for each in portions for lease in each.open} == {lease.request_id for lease in held}
        assert {each.gateway for each in portions} == {"gateway-1"}


async def test_what_was_not_renewed_is_tried_again_soon_and_what_has_ended_is_not(nats_url: str) -> None:
    asked: list[tuple[float, Renew]] = []
    loop = asyncio.get_running_loop()

    def answer(renew: Renew) -> Renewed | Failure:
        asked.append((loop.time(), renew))
        return Failure(code="unavailable", message="") if len(asked) == 1 else Renewed(lease_seconds=9.0)

    stays, ends = (Lease(account_id=uuid4(), request_id=uuid4()) for _ in range(2))
    async with _leases(nats_url, answer) as (leases, _):
        leases.hold(stays, seconds=9.0)
        leases.hold(ends, seconds=9.0)

        async def has_asked(times: int) -> bool:
            return len(asked) >= times

        assert await until(lambda: has_asked(1), within_seconds=30)
        leases.release(ends.request_id)
        assert await until(lambda: has_asked(2), within_seconds=30)
    (first_at, first), (second_at, second) = asked
    assert set(first.open) == {stays, ends}
    assert second.open == (stays,)
    assert second_at - first_at < 2.5, "not only after another third of the lease"


async def test_what_quota_has_settled_already_is_not_renewed_again(
    nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Renew] = []
    gone, stays = (Lease(account_id=uuid4(), request_id=uuid4()) for _ in range(2))

    def answer(renew: Renew) -> Renewed:
        asked.append(renew)
        return Renewed(lease_seconds=0.3, gone=(gone.request_id,))

    async with _leases(nats_url, answer) as (leases, _):
        leases.hold(gone, seconds=0.3)
        leases.hold(stays, seconds=0.3)

        async def has_rounds() -> bool:
            return len(asked) >= 3

        assert await until(has_rounds, within_seconds=30)
    assert set(asked[0].open) == {gone, stays}
    assert all(each.open == (stays,) for each in asked[1:])
    assert caplog.messages.count("request was settled while it was open") == 1
