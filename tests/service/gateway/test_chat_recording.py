"""What cannot be recorded is not admitted, and what was admitted is recorded: peers and the bus away."""

import asyncio
from pathlib import Path

import nats
import pytest

from chassis import bus
from chassis.bus import provision
from contracts.outcomes import Outcome
from contracts.quota import BLOCK_TOKEN, BlockToken, TokenBlocked
from devstack.nats import RunningNats
from devstack.probes import until
from devstack.provider import Provider, faults, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import house, target


async def test_without_quota_nothing_is_admitted(nats_url: str, fresh_database: FreshDatabase, tmp_path: Path) -> None:
    async with Provider() as provider:
        targets = {"a": target(provider, "a")}
        async with house(nats_url, fresh_database, tmp_path, targets, without=["quota"]) as home:
            answer = await home.ask()
            await home.settlements(0)
        assert not provider.exchanges
    assert (answer.status, answer.json["error"]["code"]) == (503, "service_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_without_the_router_a_held_prompt_is_given_back(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider:
        targets = {"a": target(provider, "a")}
        async with house(nats_url, fresh_database, tmp_path, targets, without=["router"]) as home:
            answer = await home.ask()
            settled = await home.settlement()
            used = await home.cost()
    assert (answer.status, answer.json["error"]["code"]) == (503, "service_unavailable")
    assert (settled.outcome, settled.attempts, settled.alias_served) == (
        Outcome.UPSTREAM_UNAVAILABLE,
        0,
        "smart-route-mini",
    )
    assert used == 0


async def test_a_crash_of_ours_still_settles_and_tells_nothing(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret")

    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        monkeypatch.setattr("gateway.candidates.open_lane", crash)
        answer = await home.ask()
        settled = await home.settlement()
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal_error")
    assert b"secret" not in answer.body
    assert (settled.outcome, settled.error_code) == (Outcome.UPSTREAM_UNAVAILABLE, "internal_error")


async def test_while_settlements_are_not_stored_streams_end_well_and_nothing_new_is_admitted(
    nats_server: RunningNats, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    await provision(nats_server.url)
    async with (
        Provider(default=scripts.chunks(20, interval_seconds=0.05)) as provider,
        house(
            nats_server.url,
            fresh_database,
            tmp_path,
            {"a": target(provider, "a")},
            settle_timeout_seconds=0.5,
        ) as home,
    ):
        asking = asyncio.create_task(home.ask(stream=True))
        await provider.exchange(0)
        await nats_server.child.halt()
        answer = await asking
        assert answer.events[-1] == "[DONE]"
        refused = await home.ask()
        assert (refused.status, refused.json["error"]["code"]) == (503, "service_unavailable")
        await nats_server.child.start()
        (settled,) = await home.settlements(1, within_seconds=15)
        assert settled.outcome is Outcome.COMPLETED
        assert await until(home.answers, within_seconds=15)


async def test_a_revoked_token_is_refused_by_the_reservation_itself(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        await home.ask()
        (settled,) = await home.settlements(1)
        async with bus.connect(nats_url, name="test", instance="test") as connection:
            blocked = await bus.ask(connection, BLOCK_TOKEN, BlockToken(token_id=settled.token_id), timeout_seconds=2)
        assert isinstance(blocked, TokenBlocked)
        answer = await home.ask()
        await home.settlements(1)
    assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_api_key")


async def test_more_requests_than_may_be_open_are_turned_away(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider(default=faults.hang_before_headers()) as provider:
        targets = {"a": target(provider, "a")}
        async with house(nats_url, fresh_database, tmp_path, targets, open_requests_limit=2) as home:
            asking = [asyncio.create_task(home.ask()) for _ in range(2)]
            await provider.exchange(1)
            refused = await home.ask()
            for task in asking:
                task.cancel()
            await home.settlements(2)
    assert refused.status == 503


async def test_a_full_stream_of_settlements_stops_admission_until_it_takes_them_again(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, settle_timeout_seconds=0.3) as home,
    ):
        await home.cap_requests(10)
        answered, refused = await home.ask(), await home.ask()
        assert (answered.status, refused.status) == (200, 503)
        assert len(provider.exchanges) == 1, "a request was admitted that could not be recorded"
        await home.cap_requests(1024**2)
        (settled,) = await home.settlements(1)
        assert str(settled.request_id) == answered.headers["x-request-id"]
        assert await until(home.answers, within_seconds=30)


async def test_the_first_try_that_a_stream_refuses_stops_admission_and_the_one_it_takes_opens_it(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, settle_timeout_seconds=30) as home,
    ):
        await home.cap_requests(10)
        asking = asyncio.create_task(home.ask())
        await provider.exchange(0)
        await asyncio.sleep(0.5)
        refused = await home.ask()
        assert (refused.status, asking.done(), len(provider.exchanges)) == (503, False, 1)
        await home.cap_requests(1024**2)
        assert (await asking).status == 200
        assert await home.answers()
        await home.settlements(2)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_the_settlement_is_stored_before_the_client_sees_the_end(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, is_stream: bool
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        client = await nats.connect(nats_url)
        try:
            for number in range(1, 4):
                assert (await home.ask(stream=is_stream)).status == 200
                assert (await client.jetstream().stream_info("REQUESTS")).state.messages == number
        finally:
            await client.close()
