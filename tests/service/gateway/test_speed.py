"""The plan's speed and a suspended account, as customers are told of them."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from chassis import bus
from contracts.quota import SUSPEND_ACCOUNT, AccountSuspension, SuspendAccount
from devstack.probes import until
from devstack.provider import Provider, faults
from devstack.pytest_plugin import FreshDatabase
from devstack.repository import PLANS
from tests.service.gateway.chat_house import Answer, House, house, target

ALLOWANCE = ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-smartroute-daily-remaining")


def plans_at_speed(folder: Path, *, daily_prompts: int = 200, **speed: int) -> Path:
    """The shipped plans with another speed (and day) of the free one."""
    plans: dict[str, Any] = yaml.safe_load(PLANS.read_text())
    plans["plans"][0] |= {"speed": speed, "daily_prompts": daily_prompts}
    path = folder / "plans.yaml"
    path.write_text(yaml.safe_dump(plans))
    return path


def assert_too_fast(answer: Answer, *, speed: str) -> None:
    error = answer.json["error"]
    assert (answer.status, error["code"], error["type"]) == (429, "rate_limit_exceeded", "requests")
    assert f"The speed of the plan `free` is {speed}." in error["message"]
    assert "x-should-retry" not in answer.headers, "a retry helps: the SDKs must make it"
    assert all(name in answer.headers for name in ALLOWANCE)
    assert "x-smartroute-turn" not in answer.headers


async def test_more_at_once_than_the_plan_allows_is_told_to_come_back_in_a_second(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    plans = plans_at_speed(tmp_path, in_flight=1)
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, plans=plans) as home,
    ):
        provider.enqueue(faults.hang_before_headers())
        asking = asyncio.create_task(home.ask())
        await provider.exchange(0)
        refused = await home.ask()
        asking.cancel()
        assert await until(home.answers, within_seconds=30)
        await home.settlements(2)
    assert_too_fast(refused, speed="1 request at once")
    assert refused.headers["retry-after"] == "1"


async def test_a_place_that_comes_free_in_a_moment_is_waited_for(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    """Without it, a client that keeps to its limit would be refused for prompts that have ended, but are not folded."""
    plans = plans_at_speed(tmp_path, in_flight=1)
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, plans=plans) as home,
    ):
        provider.enqueue(faults.hang_before_headers())
        asking = asyncio.create_task(home.ask())
        await provider.exchange(0)
        waiting = asyncio.create_task(home.ask())
        await asyncio.sleep(0.2)
        assert not waiting.done()
        asking.cancel()
        assert (await waiting).status == 200
        assert [(await home.ask()).status for _ in range(5)] == [200] * 5, "one after the other, as fast as they end"
        await home.settlements(7)


async def test_more_a_minute_than_the_plan_allows_is_told_when_to_come_back(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    plans = plans_at_speed(tmp_path, requests_per_minute=3)
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, plans=plans) as home,
    ):
        answers = [await home.ask() for _ in range(4)]
        used = await home.cost()
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert_too_fast(answers[3], speed="3 requests a minute")
    assert 1 <= int(answers[3].headers["retry-after"]) <= 20
    assert answers[3].headers["x-smartroute-daily-remaining"] == "197"
    assert used == 3


async def test_a_spent_window_is_named_before_a_speed(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    plans = plans_at_speed(tmp_path, daily_prompts=1, in_flight=1)
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, plans=plans) as home,
    ):
        provider.enqueue(faults.hang_before_headers())
        asking = asyncio.create_task(home.ask())
        await provider.exchange(0)
        refused = await home.ask()
        asking.cancel()
        await home.settlements(1)
    assert (refused.status, refused.json["error"]["code"]) == (429, "insufficient_quota")
    assert refused.headers["x-should-retry"] == "false"


async def test_the_sdk_retries_what_was_only_too_fast_and_succeeds(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    plans = plans_at_speed(tmp_path, requests_per_minute=60)
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, plans=plans) as home,
        openai.AsyncOpenAI(base_url=home.base_url, api_key=home.token, max_retries=5) as client,
    ):
        at_once = await asyncio.gather(*(home.ask() for _ in range(60)))
        assert {answer.status for answer in at_once} == {200}
        answer = await client.chat.completions.create(model="smart-route", messages=[{"role": "user", "content": "Hi"}])
    assert answer.choices[0].message.content


async def _suspend(home: House, *, is_suspended: bool, revision: int) -> None:
    wanted = SuspendAccount(account_id=home.account_id, is_suspended=is_suspended, revision=revision)
    async with bus.connect(home.nats_url, name="test", instance="test") as connection:
        reply = await bus.ask(connection, SUSPEND_ACCOUNT, wanted, timeout_seconds=2)
    assert isinstance(reply, AccountSuspension)
    assert reply.is_suspended == is_suspended


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_suspended_account_is_told_so_with_what_is_left_of_its_allowance(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, is_stream: bool
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        await home.ask()
        await _suspend(home, is_suspended=True, revision=1)
        refused = await home.ask(stream=is_stream)
        await _suspend(home, is_suspended=False, revision=2)
        again = await home.ask(stream=is_stream)
        await home.settlements(2)
    error = refused.json["error"]
    assert (refused.status, error["code"], error["type"]) == (403, "account_suspended", "permission_error")
    assert refused.headers["x-smartroute-daily-remaining"] == "199"
    assert again.status == 200
