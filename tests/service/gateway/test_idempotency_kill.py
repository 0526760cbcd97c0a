"""A gateway that dies with a key in its hands, as a real process: the answer is charged once and not lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from contracts.outcomes import Outcome
from devstack.probes import until
from devstack.provider import Provider
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import Answer, House, house, target
from tests.service.gateway.gateway_process import Gateway

KEY = "order 4711"


@asynccontextmanager
async def mortal(home: House, failpoints: Path, *, hold_seconds: float) -> AsyncIterator[House]:
    """The house with a gateway of its own process, which dies at the armed places."""
    extra = {
        "SMARTROUTE_FAILPOINTS": str(failpoints),
        "GATEWAY_IDEMPOTENCY_HOLD_SECONDS": str(hold_seconds),
        "GATEWAY_DATA_DIR": str(failpoints.parent / "data"),
    }
    async with Gateway(home.database, home.nats_url, extra).running() as process:
        yield replace(home, base_url=f"{process.origin}/v1")


@pytest.mark.parametrize("place", ["gateway.settled", "gateway.upstream_ended"])
async def test_a_gateway_that_dies_after_the_answer_is_stored_leaves_it_to_be_replayed(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, place: str
) -> None:
    failpoints = tmp_path / "failpoints"
    failpoints.mkdir()
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
    ):
        async with mortal(home, failpoints, hold_seconds=90) as gateway:
            (failpoints / place).write_text("KILL")
            with pytest.raises(aiohttp.ClientError):
                await gateway.ask(key=KEY)
        async with mortal(home, failpoints, hold_seconds=90) as gateway:
            replayed = await gateway.ask(key=KEY)
        settled = await home.settlements(1 if place == "gateway.settled" else 0)
    assert (replayed.status, replayed.headers["idempotent-replayed"]) == (200, "true")
    assert len(provider.exchanges) == 1
    assert [one.outcome for one in settled] == [Outcome.COMPLETED] * len(settled)


async def test_a_claim_of_a_dead_gateway_is_a_conflict_until_its_time_is_over(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    failpoints = tmp_path / "failpoints"
    failpoints.mkdir()
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
        mortal(home, failpoints, hold_seconds=5) as other,
        mortal(home, failpoints, hold_seconds=5) as gateway,
    ):
        (failpoints / "gateway.reserved").write_text("KILL")
        with pytest.raises(aiohttp.ClientError):
            await other.ask(key=KEY)
        early = await gateway.ask(key=KEY)
        assert (early.status, early.json["error"]["code"]) == (409, "idempotency_conflict")
        answers: list[Answer] = []

        async def is_answered() -> bool:
            answers[:] = await asyncio.gather(*(gateway.ask(key=KEY) for _ in range(4)))
            return any(answer.status == 200 for answer in answers)

        assert await until(is_answered, within_seconds=20)
        fresh = [answer for answer in answers if answer.status == 200 and "idempotent-replayed" not in answer.headers]
        assert len(fresh) == 1
        (settled,) = await home.settlements(1)
    assert str(settled.request_id) == fresh[0].headers["x-request-id"]
    assert len(provider.exchanges) == 1
