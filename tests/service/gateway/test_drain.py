"""SIGTERM under load: unready at once, nobody is cut off without a word, and all is settled before the end."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from chassis import bus
from contracts.failures import Failure
from contracts.outcomes import Outcome
from contracts.quota import RESERVE, Denied, Granted, Reserve, Turn, Window
from devstack.probes import http_ready, until
from devstack.provider import Provider, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import house, target
from tests.service.gateway.chat_process import begun_streams, serving


async def test_a_stop_under_a_hundred_streams_lets_them_end_or_tells_them_and_settles_all(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
        serving(home, tmp_path / "data", GATEWAY_GRACE_SECONDS="5") as gateway,
    ):
        await home.give_plan("unlimited")
        provider.enqueue(*[scripts.chunks(10, interval_seconds=0.2)] * 50)
        provider.enqueue(*[scripts.chunks(1000, interval_seconds=0.2)] * 50)
        streams = await begun_streams(home, 100)
        gateway.child.tell(signal.SIGTERM)
        assert await until(lambda: _is_unready(gateway.health), within_seconds=4)
        assert await until(lambda: _is_closed(gateway.origin), within_seconds=4)
        answers = await asyncio.gather(*streams)
        assert await gateway.child.ended() == 0
        settled = await home.settlements(100)
        cost = await home.cost()
    outcomes = {str(entry.request_id): entry.outcome for entry in settled}
    assert len(outcomes) == 100
    for answer in answers:
        outcome = outcomes[answer.headers["x-request-id"]]
        if answer.events[-1] == "[DONE]":
            assert outcome is Outcome.COMPLETED
        else:
            assert answer.events[-1]["error"]["code"] == "gateway_stopping"
            assert outcome is Outcome.GATEWAY_SHUTDOWN
    ended = list(outcomes.values())
    assert ended.count(Outcome.COMPLETED) == ended.count(Outcome.GATEWAY_SHUTDOWN) == cost == 50


async def _is_unready(health: str) -> bool:
    return not await http_ready(f"{health}/readyz")()


async def _is_closed(origin: str) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            await client.get(f"{origin}/v1/models")
        except httpx.ConnectError:
            return True
    return False


async def test_a_kept_connection_is_told_that_it_ends_with_its_answer(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.answer("Hi", delay_seconds=1.0)) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
        serving(home, tmp_path / "data", GATEWAY_GRACE_SECONDS="5") as gateway,
        gateway.client(home.token) as client,
    ):
        asking = asyncio.create_task(
            client.post(
                "/v1/chat/completions", json={"model": "smart-route", "messages": [{"role": "user", "content": "?"}]}
            )
        )
        await provider.exchange(0)
        gateway.child.tell(signal.SIGTERM)
        answer = await asking
        assert await gateway.child.ended() == 0
        await home.settlements(1)
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")


async def test_a_request_that_is_granted_only_after_the_limit_is_given_back(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    asked = asyncio.Event()

    async def grant_slowly(reserve: Reserve) -> Granted | Denied | Failure:
        asked.set()
        await asyncio.sleep(2)
        today = datetime.now(UTC)
        window = Window(
            limit=10, used=1, reserved=1, remaining=9, starts_on=today.date(), resets_at=today + timedelta(hours=1)
        )
        turn = Turn(turn_id=reserve.request_id, call=1, calls=50)
        return Granted(plan="free", plans_version=1, turn=turn, daily=window, monthly=window)

    async with (
        Provider() as provider,
        bus.connect(nats_url, name="test", instance="test") as connection,
        house(
            nats_url,
            fresh_database,
            tmp_path,
            {"a": target(provider, "a")},
            without=["quota"],
            reserve_timeout_seconds=10.0,
            grace_seconds=1.0,
        ) as home,
    ):
        await bus.serve(connection, RESERVE, grant_slowly, queue="test")
        asking = asyncio.create_task(home.ask(stream=True))
        await asked.wait()
        await home.stop("gateway")
        answer = await asking
        settled = await home.settlement()
    assert not provider.exchanges
    assert (answer.status, answer.json["error"]["code"]) == (503, "gateway_stopping")
    assert settled.outcome is Outcome.GATEWAY_SHUTDOWN


@pytest.mark.parametrize("sent", [b"", b'{"model": "smart-route", '])
async def test_a_request_that_is_not_even_complete_at_the_limit_is_told_in_our_words(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, sent: bytes
) -> None:
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
        serving(home, tmp_path / "data", GATEWAY_GRACE_SECONDS="1") as gateway,
    ):
        host, port = gateway.origin.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {home.token}\r\n"
        writer.write(f"{head}content-length: 100\r\n\r\n".encode() + sent)
        await asyncio.sleep(0.3)
        gateway.child.tell(signal.SIGTERM)
        answer = await reader.read()
        writer.close()
        assert await gateway.child.ended() == 0
        await home.settlements(0)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"gateway_stopping"' in answer
